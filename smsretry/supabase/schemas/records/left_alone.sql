-- Say why an order about texts leaves a row alone; null: it may be requeued, cancelled, or looked
-- at now. The caller has locked row and send log. What waits for a next try, a cap, a rate, a
-- carrier's answer or evidence waits for its time: a look would change nothing.
create or replace function smsretry.left_alone(
    what text,
    retry public.sms_retry_queue,
    log public.send_logs,
    at timestamptz
)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_state constant text := smsretry.text_state(retry, at);
begin
    return case
        when v_state = 'sent' then 'It is sent already'
        when what = 'requeue'
            then case
                when v_state not in ('failed', 'cancelled')
                    then 'It has not ended, it is ' || replace(v_state, '_', ' ')
                when log.id is null then 'Its send log is gone'
                when not exists (
                    select from public.customers c
                    where c.id = retry.customer_id
                )
                    then 'Its customer is gone'
                when smsretry.is_sent(log.provider_message_id, log.status::text)
                  and not smsretry.is_undelivered(log.id, log.provider_message_id)
                    then 'Its send log says that it was sent'
                when exists (
                    select from public.sms_retry_queue q
                    where q.send_log_id = retry.send_log_id
                      and q.id <> retry.id
                      and (
                          (q.created_at, q.id) > (retry.created_at, retry.id)
                          or q.status in ('pending', 'processing')
                      )
                )
                    then 'Another row of the same text waits, or is newer'
                when (
                    smsretry.earlier_doubt(retry.send_log_id, retry.business_id)
                ).attempt_id is not null -- never simply sent again
                    then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
            end
        when v_state in ('failed', 'cancelled')
            then 'It has ended, it is ' || v_state || ': requeue it'
        when what = 'cancel' and v_state = 'in_doubt'
            then 'It may have gone out, and the provider''s log is being checked'
        when retry.status = 'processing' then 'A worker has it at this moment'
        when what = 'cancel' then null
        when retry.scheduled_for <= at
            then 'It is due already: the next run takes it'
        when retry.held_since is not null
          or retry.reason = 'quiet_hours'
              and v_state <> 'in_doubt'
              and coalesce(
                  retry.why_code::text,
                  ''
              ) not in ('daily_cap', 'day_spent')
            then null
        when v_state = 'in_doubt'
            then 'It may have gone out, and the provider''s log is checked at its own times'
        -- Each look asks anew what somebody may have mended: hours and zones, too.
        when retry.why_code = 'quiet_hours'
          or retry.why_code = any (smsretry.why_codes_of('sender', 'passing'))
            then null
        else 'It waits for its time, and not for somebody: a look now would change nothing'
    end;
end
$$;
