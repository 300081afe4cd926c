-- List the desk's commands that the database permits for a text; the desk decides which it advises.
--   explain: look at its next try, which is another row of the same text
create or replace function smsretry.possible_actions(
    retry public.sms_retry_queue,
    log public.send_logs,
    customer public.customers
)
returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when log.id is null or customer.id is null then '{}'
        when retry.status in ('failed', 'cancelled')
            then case
                when smsretry.left_alone(
                    'requeue',
                    retry,
                    log,
                    smsretry.clock()
                ) is null
                    then array['requeue']
                when smsretry.is_sent(log.provider_message_id, log.status::text)
                  and not smsretry.is_undelivered(log.id, log.provider_message_id)
                    then '{}'
                when (
                    smsretry.earlier_doubt(retry.send_log_id, retry.business_id)
                ).attempt_id is not null
                    then array['resolve']
                else array['explain']
            end
        when retry.status = 'pending'
            then array[
                case
                    when retry.in_doubt_since is null then 'cancel'
                    else 'resolve'
                end
            ]
                || case
                    when smsretry.left_alone(
                        'look',
                        retry,
                        log,
                        smsretry.clock()
                    ) is null
                        then array['look-again']
                    else '{}'
                end
        else '{}'
    end;
end
$$;
