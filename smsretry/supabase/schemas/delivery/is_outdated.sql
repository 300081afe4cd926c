-- Whether a look's decision no longer holds when it is written: it acts on a failure (fails) and the text may have arrived
-- or waits again; or the look saw nothing final (saw), and a callback has reported a failure since.
create or replace function smsretry.is_outdated(
    attempt public.sms_send_attempts, retry public.sms_retry_queue, fails boolean, decision text, saw text, at timestamptz
)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if fails then
        return not smsretry.is_lost(attempt.delivery_status) or retry.status <> 'completed'
            or smsretry.may_have_arrived(retry.send_log_id, attempt.id)
            or exists (select 1 from public.sms_retry_queue q
                       where q.send_log_id = retry.send_log_id and q.status in ('pending', 'processing'));
    end if;
    return smsretry.is_lost(attempt.delivery_status) and decision in ('look_again', 'unknown')
        and attempt.delivery_look_at <= is_outdated.at and not smsretry.is_lost(saw);
end
$$;
