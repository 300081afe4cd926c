-- Take back one row whose worker fell silent: recover_stuck_sms_retries. The caller holds it locked.
create or replace function smsretry.recover_row(retry public.sms_retry_queue, look_in interval, life interval, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    k_suspect constant integer := 2; -- the column sms_retry_queue.work goes by it, too
    v_due timestamptz := recover_row.at + coalesce(look_in, interval '0');
begin
    -- Nobody can have texted a customer without a number.
    if retry.claimed_by_application and retry.begun_at is null and retry.in_doubt_since is null
        and not exists (select 1 from public.customers c
                        where c.id = retry.customer_id and coalesce(btrim(c.phone), '') = '') then
        retry := smsretry.begin_for_application(retry);
    end if;
    if retry.begun_at is not null then
        update public.sms_send_attempts a
        set finished_at = recover_row.at, outcome = 'in_doubt', worker_died = true
        where a.id = retry.attempt_id and a.finished_at is null;
        retry.in_doubt_since := recover_row.at;
        retry.expires_at := coalesce(retry.expires_at, least(retry.claimed_at, recover_row.at) + life);
        retry.attempt_count := greatest(
            retry.attempt_count, (select a.attempt_number from public.sms_send_attempts a where a.id = retry.attempt_id));
        retry.last_error := 'The worker died after the send began: it is unknown whether the text went out';
        retry.error_code := null;
        retry.why_code := 'worker_died';
    else
        -- Without a limit: a text that was never tried, or is in doubt, is never failed because workers died.
        retry.recover_count := retry.recover_count + 1;
        if retry.in_doubt_since is null then
            v_due := retry.scheduled_for;
            if retry.recover_count >= k_suspect then
                v_due := recover_row.at + make_interval(mins => least(retry.recover_count - k_suspect, 15));
                retry.why_code := 'worker_died';
                retry.why := 'Its worker died ' || retry.recover_count
                    || ' times before the send began: it is claimed alone from now on';
            end if;
        end if;
    end if;
    perform smsretry.save_row(retry, recover_row.at, due => v_due);
end
$$;
