-- sms_status: the texts that have not ended, by state and reason, as list_sms finds them.
--   oldest: the earliest due time · next_at: the next one to come
create or replace function smsretry.status_of_states(at timestamptz)
returns table (
    state text,
    why_code text,
    texts bigint,
    oldest timestamptz,
    next_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- So that an index has all of it, whatever the statistics are.
set enable_seqscan = off set enable_sort = off set enable_incremental_sort = off
set jit = off as $$
#variable_conflict use_column
begin
    return query
    with alike as materialized (
        -- from an index alone, the one that has this order: a million rows may wait
        select
            q.work,
            q.why_code::text as why_code,
            min(q.in_doubt_since) as in_doubt_since,
            min(q.held_since) as held_since,
            min(q.scheduled_for) as oldest,
            count(*) as texts
        from (
            select
                n.work,
                n.why_code,
                n.in_doubt_since,
                n.held_since,
                n.scheduled_for
            from public.sms_retry_queue n
            where n.work is not null
            order by n.work, n.scheduled_for, n.id
        ) q
        group by
            q.work,
            q.why_code,
            q.in_doubt_since is null,
            q.held_since is null,
            q.scheduled_for > status_of_states.at
    ),
    parts as (
        select
            smsretry.live_state(
                a.work,
                a.in_doubt_since,
                a.held_since,
                a.oldest,
                status_of_states.at
            ) as state,
            a.why_code,
            a.texts,
            a.oldest
        from alike a
        union all
        select
            smsretry.planned_state(s),
            s.why_code::text,
            1,
            smsretry.on_calendar(s.scheduled_for) -- the application may have written infinity
        from public.scheduled_sends s
        where s.status = 'scheduled' and s.send_log_id is null
    )
    select
        p.state,
        p.why_code,
        sum(p.texts)::bigint,
        min(p.oldest),
        min(p.oldest) filter (where p.oldest > status_of_states.at)
    from parts p
    group by p.state, p.why_code;
end
$$;
