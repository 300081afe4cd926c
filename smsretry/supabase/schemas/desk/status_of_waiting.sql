-- sms_status: what waits and what is under way:
--   queue (name: a state, as smsretry.text_state; told: what those that wait wait for) · scheduled (waiting, held or late; ref: one held)
--   held (a line for each reason and business, 50 at most; ref: the id of one in doubt; name all: how many in all)
create or replace function smsretry.status_of_waiting(at timestamptz)
returns setof jsonb language plpgsql stable set search_path = pg_catalog, pg_temp
-- So that an index has all of it, whatever the statistics are.
set enable_seqscan = off set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    return query
    with live as materialized (
        select case when w.work = 'doubtful' then 'in_doubt' when w.held then 'held' when w.later then 'waiting' else 'due' end as state,
               case when w.work <> 'doubtful' and w.later and not w.held then coalesce(w.reason, case when w.tried then 'twilio_error' end) end as category,
               w.texts, w.oldest, case when w.later then w.oldest end as next_at
        from ( -- From an index alone, the one that has this order: a million rows may wait.
            select q.work, q.reason, q.attempt_count > 0 as tried, q.held_since is not null as held,
                   q.scheduled_for > status_of_waiting.at as later, count(*) as texts, min(q.scheduled_for) as oldest
            from (select n.work, n.reason, n.attempt_count, n.held_since, n.scheduled_for from public.sms_retry_queue n
                  where n.work in ('texts', 'suspect', 'doubtful') order by n.work, n.scheduled_for, n.id) q
            group by 1, 2, 3, 4, 5) w
        union all
        select case when q.in_doubt_since is not null then 'in_doubt' else 'under_way' end, null, count(*), min(q.scheduled_for),
               min(q.scheduled_for) filter (where q.scheduled_for > status_of_waiting.at)
        from public.sms_retry_queue q where q.work = 'under_way' group by 1
    )
    (select jsonb_build_object('part', 'queue', 'name', l.state, 'told', l.category, 'why_code', l.category, 'states', array[l.state],
                               'texts', sum(l.texts), 'oldest', min(l.oldest), 'next_at', min(l.next_at))
     from live l group by l.state, l.category order by l.state, l.category)
    union all
    (select jsonb_build_object('part', 'scheduled', 'name', p.name, 'texts', count(*), 'oldest', min(p.due),
                               'next_at', min(p.due) filter (where p.due > status_of_waiting.at), 'ref', min(p.id::text) filter (where p.name = 'held'),
                               'states', array[case p.name when 'held' then 'held' else 'scheduled' end])
     from (
         select s.id, case when s.held_since is not null then 'held'
                           when s.scheduled_for <= status_of_waiting.at then 'late' else 'waiting' end as name,
                smsretry.on_calendar(s.scheduled_for) as due -- the application may have written infinity
         from public.scheduled_sends s
         where s.status = 'scheduled') p
     group by p.name order by p.name)
    union all
    (select jsonb_build_object('part', 'held', 'name', 'all', 'texts', count(*))
     from public.sms_retry_queue q where q.held_since is not null and q.work is not null having count(*) > 0)
    union all
    (select jsonb_build_object('part', 'held', 'name', 'held', 'business_id', q.business_id, 'texts', count(*), 'oldest', min(q.held_since),
                               'next_at', min(q.scheduled_for), 'told', left(q.why, 200), 'why_code', q.why_code::text,
                               'ref', min(q.id::text) filter (where q.in_doubt_since is not null),
                               'states', array[case when q.in_doubt_since is null then 'held' else 'in_doubt' end])
     from public.sms_retry_queue q
     where q.held_since is not null and q.work is not null
     group by left(q.why, 200), q.why_code, q.business_id, q.in_doubt_since is null order by count(*) desc limit 50);
end
$$;
