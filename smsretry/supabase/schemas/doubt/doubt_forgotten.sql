-- Put a row in doubt if its message may have left in the time that a restored backup has forgotten: the text is older than the restore if
-- its row, send log or scheduled send is. That send is written as an attempt, and the first look is due at once. Only a later look
-- that found nothing, or a person's word, clears it: a message that was found does not prove that no other exists. Says why; nulls:
-- nothing was done. The caller holds the row locked.
create or replace function smsretry.doubt_forgotten(retry public.sms_retry_queue, at timestamptz, out why text, out why_code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_restore record;
begin
    if not exists (select from smsretry.restores) then -- as on most days
        return;
    end if;
    select min(r.since) as since, max(r.restored_at) as until, max(r.who) as who, max(r.because) as because into v_restore
    from smsretry.restores r
    where (retry.created_at < r.restored_at
           or exists (select from public.send_logs l where l.id = retry.send_log_id and l.created_at < r.restored_at)
           or exists (select from public.scheduled_sends s where s.id = retry.send_log_id and s.created_at < r.restored_at))
      and not exists (
          select from public.sms_send_attempts a
          -- An array, so that an index finds them without statistics.
          where a.retry_id = any (array(select q.id from public.sms_retry_queue q where q.send_log_id = retry.send_log_id))
            and a.begun_at <= r.since and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent' and a.settled_by in ('reconcile', 'operator'));
    retry.claimed_at := v_restore.since;
    retry.attempt_id := case when v_restore.since is not null then smsretry.presume_attempt(retry, doubt_forgotten.at) end;
    if retry.attempt_id is not null then
        why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
        why_code := 'restored';
        retry.in_doubt_since := v_restore.until;
        retry.reconcile_count := 0;
        retry.recover_count := 0;
        retry.held_since := null;
        retry.why := why;
        retry.why_code := why_code;
        perform smsretry.note_event(retry.id, 'put_in_doubt', v_restore.who, v_restore.because);
        perform smsretry.save_row(retry, doubt_forgotten.at, due => doubt_forgotten.at);
    end if;
end
$$;
