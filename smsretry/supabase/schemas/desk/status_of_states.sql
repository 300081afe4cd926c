-- Count for sms_status the texts that have not ended, by state and reason, as list_sms finds them.
-- A million may only wait for their time: those are all texts that are not held, counted from an
-- index alone, less those that are due.
--   oldest: the earliest due time
--   next_at: the next due time to come
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
    with not_just_waiting as materialized (
        select
            q.work,
            q.why_code,
            min(q.in_doubt_since) as in_doubt_since,
            min(q.held_since) as held_since,
            min(q.scheduled_for) as oldest,
            count(*) as texts
        from (
            select due.*
            from public.sms_retry_queue due
            where due.work = 'texts' and due.scheduled_for <= status_of_states.at
            union all
            select held.*
            from public.sms_retry_queue held
            where held.work = 'texts'
              and held.held_since is not null
              and held.scheduled_for > status_of_states.at
            union all
            select other.*
            from public.sms_retry_queue other
            where other.work in ('doubtful', 'suspect', 'under_way')
        ) q
        group by
            q.work,
            q.why_code,
            q.in_doubt_since is null,
            q.held_since is null,
            q.scheduled_for > status_of_states.at
    ),
    counted as (
        select
            smsretry.live_state(
                c.work,
                c.in_doubt_since,
                c.held_since,
                c.oldest,
                status_of_states.at
            ) as state,
            c.why_code::text,
            c.texts,
            c.oldest
        from not_just_waiting c
        union all
        select 'waiting', waiting.why_code::text, waiting.texts, earliest.scheduled_for
        from (
            select
                not_held.why_code,
                not_held.texts - coalesce(due.texts, 0) as texts
            from (
                select q.why_code, count(*) as texts
                from public.sms_retry_queue q
                where q.work = 'texts' and q.held_since is null
                group by q.why_code
            ) not_held
            left join not_just_waiting due
                on due.work = 'texts'
                  and due.held_since is null
                  and due.why_code is not distinct from not_held.why_code
        ) waiting
        cross join lateral (
            select q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts'
              and q.held_since is null
              and q.why_code is not distinct from waiting.why_code
              and q.scheduled_for > status_of_states.at
            order by q.work, q.scheduled_for, q.id
            limit 1
        ) earliest
        where waiting.texts > 0
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
        c.state,
        c.why_code,
        sum(c.texts)::bigint,
        min(c.oldest),
        min(c.oldest) filter (where c.oldest > status_of_states.at)
    from counted c
    group by c.state, c.why_code;
end
$$;
