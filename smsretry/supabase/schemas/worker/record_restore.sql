-- Record that the database was restored from a backup. What went out after that was taken looks
-- unsent. So the next claim of each older text looks for it at the provider, and has a number that no
-- worker from before the restore holds (smsretry.claim_rows). False: it is on record already.
--   since: when the backup was taken
--   run_id: the run that the database had forgotten; null: a person says so
create or replace function smsretry.record_restore(
    since timestamptz,
    who text,
    because text,
    run_id uuid default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    insert into smsretry.restores (since, restored_at, run_id, who, because)
    values (
        record_restore.since,
        v_now,
        record_restore.run_id,
        record_restore.who,
        record_restore.because
    )
    on conflict
    do nothing;
    if not found then
        return false;
    end if;
    update public.sms_retry_queue q -- its message may be one of the time that is forgotten
    set
        in_doubt_since = v_now,
        reconcile_count = 0,
        held_since = null,
        scheduled_for = v_now,
        updated_at = v_now
    where q.status = 'pending' and q.in_doubt_since is not null;
    return true;
end
$$;
