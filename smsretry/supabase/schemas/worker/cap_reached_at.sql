-- List when texts may have reached a number from a business after `since`, the newest first: sends
-- accepted, in doubt or under way, and the application's own.
create or replace function smsretry.texts_reached(
    business_id uuid,
    phone text,
    since timestamptz
)
returns setof timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    with person as materialized (
        select c.id
        from public.customers c
        -- is true: by the number's index alone
        where c.phone = texts_reached.phone
          and (c.business_id = texts_reached.business_id) is true
    ),
    reached (at) as (
        -- By number, because a customer who is deleted and imported again is the same person.
        select coalesce(a.finished_at, a.begun_at)
        from public.sms_send_attempts a
        where a.number_key = smsretry.number_key(
            texts_reached.business_id,
            texts_reached.phone
        )
          and coalesce(a.finished_at, a.begun_at) > texts_reached.since
          and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where coalesce(l.updated_at, l.created_at) > texts_reached.since
          and l.channel = 'sms'
          and smsretry.is_sent(l.provider_message_id, l.status::text)
          and not exists (
              select from public.sms_retry_queue q
              join public.sms_send_attempts a on a.retry_id = q.id
              where q.send_log_id = l.id
                and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
          )
    )
    select r.at
    from reached r
    order by r.at desc
$$;

-- Tell when a number reached its cap: the time of the cap-th newest text after `since`
-- (smsretry.texts_reached). Null: there is room.
create or replace function smsretry.cap_reached_at(
    business_id uuid,
    phone text,
    cap integer,
    since timestamptz
)
returns timestamptz
language sql set search_path = pg_catalog, pg_temp as $$
    select t
    from smsretry.texts_reached(business_id, phone, since) t
    offset greatest(cap, 1) - 1
    limit 1
$$;
