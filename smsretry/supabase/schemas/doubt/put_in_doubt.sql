-- Put a row in doubt if a message of its text may have left already; the first look is due at once. Says why; nulls: nothing was
-- done. The row is locked.
--   by an earlier send: the text may have been queued anew (smsretry.earlier_doubt)
--   in the time that a restored backup has forgotten: the text is older than the restore if its row, send log or scheduled send is.
--   That send is written as an attempt. Only a later look that found nothing, or a person's word, clears it: a message that was
--   found does not prove that no other exists
create or replace function smsretry.put_in_doubt(retry public.sms_retry_queue, at timestamptz, out why text, out why_code text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_earlier record;
    v_restore record;
begin
    -- A new row is in doubt from its insert on (before_insert). One that was claimed before may have been requeued.
    select * into v_earlier from smsretry.earlier_doubt(retry.send_log_id, retry.business_id) where retry.claim_no > 1;
    if v_earlier.attempt_id is not null then
        retry.attempt_id := v_earlier.attempt_id;
        retry.in_doubt_since := v_earlier.since;
        why := v_earlier.why;
        why_code := 'in_doubt';
    elsif exists (select from smsretry.restores) then -- on most days there are none
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
                and a.outcome = 'not_sent' and a.settled_by in ('reconcile', 'operator'))
          -- Nobody can have texted a customer without a number.
          and exists (select from public.customers c where c.id = retry.customer_id and coalesce(btrim(c.phone), '') <> '');
        if v_restore.since is null then
            return;
        end if;
        retry.claimed_at := v_restore.since;
        retry.attempt_id := smsretry.presume_attempt(retry, at);
        retry.in_doubt_since := v_restore.until;
        retry.recover_count := 0;
        why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
        why_code := 'restored';
        perform smsretry.note_event(retry.id, 'put_in_doubt', v_restore.who, v_restore.because);
    else
        return;
    end if;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := why;
    retry.why_code := why_code;
    perform smsretry.save_row(retry, at, due => at);
end
$$;
