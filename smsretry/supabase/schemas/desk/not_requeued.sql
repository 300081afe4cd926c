-- Why smsretry.requeue_text leaves a row alone; null: it may be requeued. The caller holds row and send log locked.
create or replace function smsretry.not_requeued(retry public.sms_retry_queue, log public.send_logs, states text[])
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when retry.status <> all (states) then 'It has changed meanwhile'
        when log.id is null then 'Its send log is gone'
        when not exists (select 1 from public.customers c where c.id = retry.customer_id) then 'Its customer is gone'
        when smsretry.is_sent(log.provider_message_id, log.status::text)
            and not smsretry.is_undelivered(log.id, log.provider_message_id)
            then 'Its send log says that it was sent'
        when exists (select 1 from public.sms_retry_queue q
                     where q.send_log_id = retry.send_log_id and q.id <> retry.id
                       and (q.created_at, q.id) > (retry.created_at, retry.id))
            then 'A newer row is of the same text'
        when exists (select 1 from public.sms_retry_queue q
                     where q.send_log_id = retry.send_log_id and q.id <> retry.id and q.status in ('pending', 'processing'))
            then 'Another row of the same text waits'
        when smsretry.is_unsettled(retry.id)
            then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
    end;
end
$$;
