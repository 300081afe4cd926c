-- Report what has been late since then, for monitors. A row each:
--   run: no run has finished; oldest: when the last one did
--   due: texts
--   scheduled: scheduled sends that are not queued
--   words: what nobody has read for three days (47 CFR 64.1200(a)(10) gives ten business days)
--   restored: for an hour, a restore from a backup that a run noticed; oldest: the backup's time
create or replace function smsretry.late_since(since timestamptz)
returns table (name text, texts bigint, oldest timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select 'run', null::bigint, max(r.finished_at)
    from smsretry.runs r
    where r.started_at > late_since.since - interval '7 days'
    -- The first one of all may be under way still.
    having coalesce(
        max(r.finished_at),
        min(r.started_at)
    ) > late_since.since is not true
    union all
    select 'due', count(*), min(q.scheduled_for)
    from public.sms_retry_queue q
    where q.work in ('texts', 'suspect')
      and q.in_doubt_since is null
      and q.held_since is null
      and q.scheduled_for <= late_since.since
    having count(*) > 0
    union all
    select
        'scheduled',
        count(*),
        min(smsretry.on_calendar(s.scheduled_for))
    from public.scheduled_sends s
    where s.status = 'scheduled'
      and s.held_since is null
      and s.scheduled_for <= late_since.since
    having count(*) > 0
    union all
    select
        'words',
        count(distinct w.phone),
        min(w.received_at)
    from smsretry.unread_words w
    where w.received_at <= smsretry.clock() - interval '3 days'
    having count(*) > 0
    union all
    select 'restored', null, min(r.since)
    from smsretry.restores r
    where r.run_id is not null
      and r.restored_at > late_since.since - interval '1 hour'
    having count(*) > 0;
end
$$;
