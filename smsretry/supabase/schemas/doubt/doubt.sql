-- Put a text in doubt because a restored backup may have forgotten its send between since and until. That send is written as
-- an attempt. The first look is due at once. who, because: of the person who recorded the restore. Returns why. The row is locked.
create or replace function smsretry.doubt(
    retry public.sms_retry_queue, since timestamptz, until timestamptz, who text, because text, at timestamptz
)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.claimed_at := doubt.since;
    retry := smsretry.begin_for_application(retry);
    update public.sms_send_attempts a set outcome = 'in_doubt', finished_at = doubt.at
    where a.id = retry.attempt_id and a.outcome is distinct from 'accepted';
    retry.in_doubt_since := doubt.until;
    retry.reconcile_count := 0;
    retry.recover_count := 0;
    retry.held_since := null;
    retry.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
    retry.why_code := 'restored';
    perform smsretry.put_back(retry, doubt.at, doubt.at);
    perform smsretry.note_event(retry.id, 'put_in_doubt', doubt.who, doubt.because);
    return retry.why;
end
$$;
