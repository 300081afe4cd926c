-- sms_status: each own sender of businesses that keeps texts waiting, does not send, or is too slow
-- for what is due; that of the
-- environment if it is too slow: its stop is one of the stops.
--   name: as people see it · sender: in a command, of a number its id · business: whose, three of
--   them at most
--   business_id: if it is a single one's · texts: how many wait · ends_at: when its day does ·
--   trouble: what it does, or is
create or replace function smsretry.status_of_senders(at timestamptz)
returns table (
    name text,
    sender text,
    business_id uuid,
    business text,
    texts bigint,
    since timestamptz,
    ends_at timestamptz,
    why_code text,
    trouble text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    with states as materialized (
        select
            s.*,
            x.since,
            x.why,
            exists (
                select from smsretry.business_senders b
                where b.sender_id = s.id
            ) as own,
            case
                when s.paused_at is not null then 'paused'
                when x.since is not null then 'stopped'
                when s.day_segments >= s.segments_per_day
                  and s.day_ends_at = smsretry.carriers_midnight(
                      status_of_senders.at
                  )
                    then 'spent'
                else 'sending'
            end as state
        from smsretry.senders s
        left join smsretry.stops x
            on x.kind = 'sender' and x.subject = s.id::text
    ),
    waiting as materialized (
        select
            w.sender_id,
            sum(w.due + w.waiting + w.held)::bigint as texts,
            sum(w.due)::bigint as due,
            min(w.oldest) as oldest,
            min(w.why_code) filter (
                where w.why_code in ('no_credentials', 'account_refused')
            ) as why_code,
            min(w.why) filter (
                where w.why_code in ('no_credentials', 'account_refused')
            ) as why
        from smsretry.texts_by_sender(
            array(
                -- only of businesses that may have trouble: a million texts may wait
                select b.business_id
                from states t
                join smsretry.business_senders b on b.sender_id = t.id
                where t.state <> 'sending'
                union
                select q.business_id
                from public.sms_retry_queue q
                where q.work in ('texts', 'suspect')
                  and q.held_since is not null
                  and q.why_code in ('no_credentials', 'account_refused')
                union
                select q.business_id
                from public.sms_retry_queue q
                where q.work = 'texts'
                  and q.scheduled_for <= status_of_senders.at
                  and exists (
                      select from states t
                      where t.segments_per_second is not null
                  )
            ),
            status_of_senders.at
        ) w
        group by w.sender_id
    ),
    troubled as (
        select
            t.*,
            coalesce(w.texts, 0) as texts,
            w.due,
            w.oldest,
            w.why as waits,
            case t.state
                when 'paused' then 'sender_paused'
                when 'stopped' then 'sending_stopped'
                when 'spent' then 'day_spent'
                else coalesce(
                    w.why_code,
                    case
                        when w.due >= t.segments_per_second * extract(
                            epoch from smsretry.late_after()
                        )
                            then 'sender_rate'
                    end
                )
            end as trouble
        from states t
        left join waiting w on w.sender_id = t.id
    )
    select
        smsretry.shown_sender(t.sent_by),
        case when t.sent_by like '+%' then t.id::text else t.sent_by end,
        u.only_id,
        u.names,
        t.texts,
        coalesce(
            t.paused_at,
            t.since,
            case t.trouble when 'sender_rate' then t.oldest end
        ),
        case t.state when 'spent' then t.day_ends_at end,
        t.trouble,
        case t.trouble
            when 'sender_paused'
                then 'is paused: ' || smsretry.numberless(t.paused_because)
            when 'sending_stopped' then 'is stopped: ' || t.why
            when 'day_spent' then 'has used its day'
            when 'sender_rate'
                then 'sends ' || t.segments_per_second
                    || ' a second, which is too slow for the ' || t.due
                    || ' that are due'
            else 'keeps texts waiting' || coalesce(': ' || t.waits, '')
        end
    from troubled t
    cross join lateral (
        select
            case when count(*) = 1 then min(n.id::text)::uuid end as only_id,
            string_agg(
                left(n.name, 60),
                ', '
                order by n.place
            ) filter (where n.place <= 3)
                || case when count(*) > 3 then ' and others' else '' end as names
        from (
            select
                b.id,
                b.name,
                row_number() over (order by b.name, b.id) as place
            from public.businesses b
            where b.id in (
                select o.business_id
                from smsretry.business_senders o
                where o.sender_id = t.id
            )
        ) n
    ) u
    where t.trouble is not null
      and (t.own or t.trouble = 'sender_rate')
      and (t.state <> 'spent' or t.texts > 0)
    order by t.texts desc, t.id
    limit 50;
end
$$;
