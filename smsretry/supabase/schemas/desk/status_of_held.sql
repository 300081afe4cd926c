-- Count for sms_status what waits for a person, a row a reason; the rarest first.
--   code: the provider's (0: without one), where it is what somebody must mend
--   why: of most of them
--   since: when the first of them was held
--   businesses: how many have such texts; business_id, business: of a single one
--   retry_id: one of them
create or replace function smsretry.status_of_held(at timestamptz)
returns table (
    state text,
    why_code text,
    code integer,
    why text,
    texts bigint,
    since timestamptz,
    businesses bigint,
    business_id uuid,
    retry_id text,
    business text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select r.*, left(b.name, 200)
    from (
        select
            h.state,
            h.why_code,
            h.code,
            mode() within group (order by h.why) as why,
            count(*) as texts,
            min(h.since) as since,
            count(distinct h.business_id) as businesses,
            case
                when count(distinct h.business_id) = 1
                    then min(h.business_id::text)::uuid
            end as business_id,
            min(h.id::text) as retry_id
        from (
            select
                smsretry.text_state(q, status_of_held.at) as state,
                q.business_id,
                q.why_code::text as why_code,
                case
                    when q.why_code in ('account_refused', 'destination_refused')
                        then coalesce(q.error_code, 0)
                end as code,
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
                null,
                left(smsretry.numberless(left(s.why, 500)), 200),
                s.held_since,
                s.id
            from public.scheduled_sends s
            where s.status = 'scheduled'
              and s.send_log_id is null
              and s.held_since is not null
        ) h
        where h.state in ('held', 'in_doubt')
        group by h.state, h.why_code, h.code
    ) r
    left join public.businesses b on b.id = r.business_id
    order by r.texts, r.since;
end
$$;
