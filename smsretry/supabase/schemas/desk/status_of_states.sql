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
set enable_bitmapscan = off set enable_sort = off as $$ -- an index has all of it
#variable_conflict use_column
begin
    return query
    with few as materialized (
        -- all but those that only wait for their time
        select
            q.work,
            q.why_code,
            min(q.in_doubt_since) as in_doubt_since,
            min(q.held_since) as held_since,
            min(q.scheduled_for) as oldest,
            count(*) as texts
        from (
            select d.*
            from public.sms_retry_queue d
            where d.work = 'texts' and d.scheduled_for <= status_of_states.at
            union all
            select h.*
            from public.sms_retry_queue h
            where h.work = 'texts'
              and h.held_since is not null
              and h.scheduled_for > status_of_states.at
            union all
            select o.*
            from public.sms_retry_queue o
            where o.work in ('doubtful', 'suspect', 'under_way')
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
                f.work,
                f.in_doubt_since,
                f.held_since,
                f.oldest,
                status_of_states.at
            ) as state,
            f.why_code::text,
            f.texts,
            f.oldest
        from few f
        union all
        select 'waiting', w.why_code::text, w.texts, n.scheduled_for
        from (
            select
                a.why_code,
                a.texts - coalesce(f.texts, 0) as texts
            from (
                -- counted from an index alone: a million rows may wait
                select q.why_code, count(*) as texts
                from public.sms_retry_queue q
                where q.work = 'texts' and q.held_since is null
                group by q.why_code
            ) a
            left join few f
                on f.work = 'texts'
                  and f.held_since is null
                  and f.why_code is not distinct from a.why_code
        ) w
        cross join lateral (
            select q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts'
              and q.held_since is null
              and q.why_code is not distinct from w.why_code
              and q.scheduled_for > status_of_states.at
            order by q.work, q.scheduled_for, q.id
            limit 1
        ) n
        where w.texts > 0
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
