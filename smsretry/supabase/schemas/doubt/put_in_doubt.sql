-- If a message of this text may have left already, its row goes back to the queue in doubt about that, and the answer says
-- why. Null: there is none, and nothing was done. The caller holds the row locked.
create or replace function smsretry.put_in_doubt(retry public.sms_retry_queue, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_earlier record;
    v_forgotten record;
begin
    -- A row is in doubt about an earlier send from its insert on. But somebody may have put back one that had ended, which
    -- was claimed before.
    if retry.claim_no > 1 then
        select * into v_earlier from smsretry.earlier_doubt(put_in_doubt.retry.send_log_id, put_in_doubt.retry.business_id);
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

revoke all on function smsretry.put_in_doubt from public, anon, authenticated;
grant execute on function smsretry.put_in_doubt to service_role;
