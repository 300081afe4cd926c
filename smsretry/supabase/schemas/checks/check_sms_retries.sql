-- For an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503. It fails if texts are overdue, queued or
-- not, sending or a sender is stopped, or no run has finished within max_minutes (null: smsretry.late_after).
-- Volatile although it only reads: a HEAD request has PostgREST count rows, and PostgreSQL would not call a stable function
-- for that. security definer, so that a role that may do nothing else may call it: it returns only numbers.
create or replace function public.check_sms_retries(max_minutes integer default null)
returns text language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - case
        when max_minutes is null then smsretry.late_after() else make_interval(mins => greatest(max_minutes, 1)) end;
    v_overdue bigint;
    v_oldest timestamptz;
    v_unqueued bigint;
    v_stopped text;
    v_run timestamptz;
    v_wrong text;
begin
    select count(*), min(q.scheduled_for) into v_overdue, v_oldest
    from public.sms_retry_queue q
    where q.work = 'texts' and q.scheduled_for <= v_since;
    select count(*) into v_unqueued
    from public.scheduled_sends s
    where s.status = 'scheduled' and s.held_since is null and s.scheduled_for <= v_since;
    select case when bool_or(x.kind = 'everybody') then 'sending is stopped: ' else count(*) || ' senders are stopped: ' end
           || (array_agg(x.why order by x.kind, x.since))[1] into v_stopped
    from smsretry.stops x where x.kind in ('everybody', 'sender');
    select max(r.finished_at) into v_run from smsretry.runs r where r.started_at > v_now - interval '7 days';
    v_wrong := concat_ws(' · ',
        case when v_overdue > 0 then v_overdue || ' texts are overdue, the oldest by '
            || floor(extract(epoch from v_now - v_oldest) / 60) || ' minutes' end,
        case when v_unqueued > 0 then v_unqueued || ' scheduled sends are overdue and not queued' end,
        v_stopped,
        case when v_run is null then 'no run has finished in 7 days'
             when v_run <= v_since then 'no run has finished for ' || floor(extract(epoch from v_now - v_run) / 60) || ' minutes' end);
    if v_wrong <> '' then
        raise exception '%', v_wrong using errcode = 'PT503', hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, last run finished ' || to_char(v_run at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
end
$$;
