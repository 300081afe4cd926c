-- List the senders, in pages; for a person.
--   after_id: of the last sender of the page before
--   with_numbers: show sent_by, to who may read numbers
--   business_id: only those that text for it
--   troubled: only those that keep texts waiting, do not send, or are too slow for what is due
--   sender, sent_by: as people see it, and all of it
--   named_at: of the default sender alone: when a run last named it
--   used_today: of segments_per_day, until day_ends_at
--   businesses: how many use it; of the default sender, how many have texts there
--   used_by: the names of 20 of them, those with the most texts first
--   why_code, why: why its texts wait
--   since: when it was paused or stopped
--   held: texts that wait for a person
--   only_business: whose it is, if it is a single one's
create or replace function public.sms_senders(
    after_id uuid default null,
    row_limit integer default null,
    with_numbers boolean default false,
    business_id uuid default null,
    troubled boolean default false
)
returns table (
    sender_id uuid,
    account text,
    sender text,
    sent_by text,
    named_at timestamptz,
    segments_per_second double precision,
    segments_per_day integer,
    used_today bigint,
    day_ends_at timestamptz,
    businesses bigint,
    used_by text[],
    why_code text,
    why text,
    since timestamptz,
    due bigint,
    waiting bigint,
    held bigint,
    only_business uuid
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := greatest(
        smsretry.rows_of_claim(coalesce(sms_senders.row_limit, 1000)),
        1
    );
    v_midnight constant timestamptz := smsretry.carriers_midnight(v_now);
    v_with_numbers constant boolean := sms_senders.with_numbers
        and smsretry.may_read_numbers();
    v_default constant uuid := (smsretry.sender_of(null, null)).id;
begin
    return query
    with states as materialized (
        select
            s.*,
            x.since,
            x.why,
            s.day_segments >= s.segments_per_day
                and s.day_ends_at = v_midnight as is_spent
        from smsretry.senders s
        left join smsretry.stops x
            on x.kind = 'sender' and x.subject = s.id::text
    ),
    texts as materialized (
        select t.*
        from smsretry.texts_by_sender(
            case
                when sms_senders.troubled then array(
                    -- of businesses that may have trouble alone: a million texts may wait
                    select b.business_id
                    from states s
                    join smsretry.business_senders b on b.sender_id = s.id
                    where s.paused_at is not null
                       or s.since is not null
                       or s.is_spent
                    union
                    select q.business_id
                    from public.sms_retry_queue q
                    where q.work in ('texts', 'suspect')
                      and q.held_since is not null
                      and q.why_code = any (smsretry.why_codes_of('sender'))
                    union
                    select q.business_id
                    from public.sms_retry_queue q
                    where q.work = 'texts'
                      and q.scheduled_for <= v_now
                      and exists (
                          select from states s
                          where s.segments_per_second is not null
                      )
                )
            end,
            v_now
        ) t
    ),
    listed as (
        select s.*
        from states s
        where s.id > coalesce(
            sms_senders.after_id,
            '00000000-0000-0000-0000-000000000000'
        )
          and (
              sms_senders.business_id is null
              or s.id in (
                  select (smsretry.sender_of(sms_senders.business_id, k.class)).id
                  from unnest(array['marketing', 'transactional']) k (class)
              )
          )
          and (
              not sms_senders.troubled
              or s.paused_at is not null
              or s.since is not null
              or s.id in (select t.sender_id from texts t)
          )
        order by s.id
        limit v_limit
    ),
    users as (
        select b.sender_id, b.business_id, b.message_class
        from smsretry.business_senders b
        where b.sender_id in (select l.id from listed l)
          and (
              b.message_class = 'any'
              or not exists (
                  -- it has the same sender for all its texts
                  select from smsretry.business_senders o
                  where (
                      o.business_id,
                      o.sender_id,
                      o.message_class
                  ) = (b.business_id, b.sender_id, 'any')
              )
          )
    ),
    texts_of_users as (
        select
            coalesce(u.sender_id, t.sender_id) as of_sender,
            coalesce(u.business_id, t.business_id) as business_id,
            coalesce(u.message_class, 'any') as message_class,
            coalesce(sum(t.due), 0) as due,
            coalesce(sum(t.waiting), 0) as waiting,
            coalesce(sum(t.held), 0) as held,
            min(t.why_code) as why_code,
            min(t.why) as why
        from users u full
        join (
            select x.*
            from texts x
            where x.sender_id in (select l.id from listed l)
        ) t
            on t.sender_id = u.sender_id
              and t.business_id = u.business_id
              and u.message_class in ('any', t.message_class)
        group by 1, 2, 3
    )
    select
        l.id,
        l.account,
        smsretry.shown_sender(l.sent_by),
        case when v_with_numbers then l.sent_by end,
        case when l.id = v_default then l.named_at end,
        l.segments_per_second,
        l.segments_per_day,
        case
            when l.segments_per_day is not null
                then case
                    when l.day_ends_at = v_midnight then l.day_segments
                    else 0
                end
        end,
        v_midnight,
        totals.businesses,
        coalesce(totals.used_by, '{}'),
        case
            when l.paused_at is not null then 'sender_paused'
            when l.since is not null then 'sending_stopped'
            when l.is_spent and totals.due + totals.waiting + totals.held > 0 then 'day_spent'
            when totals.why_code is not null then totals.why_code
            when totals.due >= l.segments_per_second * extract(
                epoch from smsretry.late_after()
            )
                then 'sender_rate'
        end,
        coalesce(smsretry.numberless(l.why_paused), l.why, totals.why),
        coalesce(l.paused_at, l.since),
        totals.due::bigint,
        totals.waiting::bigint,
        totals.held::bigint,
        case when totals.businesses = 1 then totals.only_business end
    from listed l
    cross join lateral (
        select
            count(distinct t.business_id) as businesses,
            min(t.business_id::text)::uuid as only_business,
            coalesce(sum(t.due), 0) as due,
            coalesce(sum(t.waiting), 0) as waiting,
            coalesce(sum(t.held), 0) as held,
            array_agg(
                coalesce(left(b.name, 200), t.business_id::text)
                order by t.place
            ) filter (where t.place <= 20) as used_by,
            (
                array_agg(t.why_code order by t.place) filter (
                    where t.why_code is not null
                )
            )[1] as why_code,
            (
                array_agg(t.why order by t.place) filter (
                    where t.why_code is not null
                )
            )[1] as why
        from (
            select
                o.*,
                row_number() over (
                    order by
                        o.business_id = sms_senders.business_id desc,
                        o.held desc,
                        o.due desc,
                        o.waiting desc,
                        o.business_id,
                        o.message_class
                ) as place
            from texts_of_users o
            where o.of_sender = l.id
        ) t
        left join public.businesses b on b.id = t.business_id
    ) totals
    order by l.id;
end
$$;
