-- Notice that the database went back in time: it had accepted this run and does not know it, or
-- knows of no end although the run had finished. Records the restore once, and returns since when
-- the database has forgotten; null: nothing new. A database that knows no earlier run is another
-- one, or has pruned this one.
--   due_at: when the run was to begin
--   send_to: whom the worker texts. Unless that is everybody, nothing is noticed: its database is
--     often a fresh copy
--   finished: whether the run had finished
create or replace function smsretry.notice_restore(
    run_id uuid,
    due_at timestamptz,
    send_to text,
    finished boolean default false
)
returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_until constant timestamptz := least(due_at, smsretry.clock());
    v_since timestamptz;
begin
    if notice_restore.run_id is null
        or send_to <> 'all'
        or exists (
            select from smsretry.runs r
            where r.id = notice_restore.run_id
              and (r.finished_at is not null or not finished)
        ) then
        return null;
    end if;
    -- The latest moment on record before that run: the backup was taken no earlier.
    select least(max(greatest(r.started_at, r.finished_at)), v_until)
    into v_since
    from smsretry.runs r
    where r.started_at < v_until
    having count(*) > 0;
    if v_since is null
        or not smsretry.record_restore(
            v_since,
            'smsretry',
            'It has forgotten a run',
            notice_restore.run_id
        ) then
        return null;
    end if;
    return v_since;
end
$$;
