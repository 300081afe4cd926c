-- Count for sms_status what is held, by state, business and reason, the most texts first.
--   why: of most of them
--   since: when the first of them was held
--   retry_id: one of them
create or replace function smsretry.status_of_held(at timestamptz)
returns table (
    state text,
    business_id uuid,
    why_code text,
    why text,
    texts bigint,
    since timestamptz,
    retry_id text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select
        h.state,
        h.business_id,
        h.why_code,
        mode() within group (order by h.why),
        count(*),
        min(h.since),
        min(h.id::text)
    from (
        select
            smsretry.text_state(q, status_of_held.at) as state,
            q.business_id,
            q.why_code::text as why_code,
            left(smsretry.numberless(left(q.why, 500)), 200) as why,
            q.held_since as since,
            q.id
        from public.sms_retry_queue q
        where q.id = any (
            array(
                -- by their index: a million rows may wait
                select n.id
                from public.sms_retry_queue n
                where n.work is not null and n.held_since is not null
            )
        )
        union all
        select
            smsretry.planned_state(s),
            s.business_id,
            s.why_code::text,
            left(smsretry.numberless(left(s.why, 500)), 200),
            s.held_since,
            s.id
        from public.scheduled_sends s
        where s.status = 'scheduled'
          and s.send_log_id is null
          and s.held_since is not null
    ) h
    where h.state in ('held', 'in_doubt')
    group by h.state, h.business_id, h.why_code
    order by count(*) desc
    limit 50;
end
$$;
