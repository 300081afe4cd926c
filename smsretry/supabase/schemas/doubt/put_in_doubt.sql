-- Put a row in doubt if a message of its text may have left already: by an earlier send, or in the time that a restored backup has
-- forgotten, whose send is then written as an attempt. The first look is due at once. Says why; nulls: nothing was done. The row is
-- locked.
create or replace function smsretry.put_in_doubt(retry public.sms_retry_queue, at timestamptz, out why text, out why_code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_earlier record;
    v_forgotten record;
begin
    -- A new row is in doubt from its insert on (before_insert). One that was claimed before may have been requeued.
    select * into v_earlier from smsretry.earlier_doubt(retry.send_log_id, retry.business_id) where retry.claim_no > 1;
    select * into v_forgotten from smsretry.forgotten(retry) where v_earlier.attempt_id is null;
    if v_earlier.attempt_id is not null then
        retry.attempt_id := v_earlier.attempt_id;
        retry.in_doubt_since := v_earlier.since;
        why := v_earlier.why;
        why_code := 'in_doubt';
    elsif v_forgotten.since is null then
        return;
    else
        retry.claimed_at := v_forgotten.since;
        retry := smsretry.begin_for_application(retry);
        update public.sms_send_attempts a set outcome = 'in_doubt', finished_at = put_in_doubt.at
        where a.id = retry.attempt_id and a.outcome is distinct from 'accepted';
        retry.in_doubt_since := v_forgotten.until;
        retry.recover_count := 0;
        why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
        why_code := 'restored';
    end if;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := why;
    retry.why_code := why_code;
    perform smsretry.save_row(retry, at, due => at);
    if v_forgotten.since is not null then
        perform smsretry.note_event(retry.id, 'put_in_doubt', v_forgotten.who, v_forgotten.because);
    end if;
end
$$;
