-- Put a row in doubt if a message of its text may have left already. Returns why; null: nothing was done.
create or replace function smsretry.put_in_doubt(retry public.sms_retry_queue, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_earlier record;
    v_forgotten record;
begin
    -- A new row is in doubt from its insert on (before_insert). One that was claimed before may have been requeued.
    if retry.claim_no > 1 then
        select * into v_earlier from smsretry.earlier_doubt(retry.send_log_id, retry.business_id);
        if v_earlier.attempt_id is not null then
            retry.attempt_id := v_earlier.attempt_id;
            retry.in_doubt_since := v_earlier.since;
            retry.reconcile_count := 0;
            retry.held_since := null;
            retry.why := v_earlier.why;
            retry.why_code := 'in_doubt';
            perform smsretry.put_back(retry, put_in_doubt.at, put_in_doubt.at);
            return v_earlier.why;
        end if;
    end if;
    select * into v_forgotten from smsretry.forgotten(retry);
    if v_forgotten.since is not null then
        return smsretry.doubt(
            retry, v_forgotten.since, v_forgotten.until, v_forgotten.who, v_forgotten.because, put_in_doubt.at);
    end if;
    return null;
end
$$;
