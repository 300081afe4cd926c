-- Undelivered messages: the lines delivery_business and undelivered of sms_status.
create or replace function smsretry.status_of_lost(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all attempts for the day's.
set enable_seqscan = off set jit = off as $$
begin
    return query
    with fates as materialized (
        select coalesce(a.business_id, (select q.business_id from public.sms_retry_queue q where q.id = a.retry_id)) as business_id,
               a.delivery_status in ('delivered', 'read') as arrived, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a
        where a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null
          -- has_arrived and is_lost, inline because it is cheaper
          and (a.delivery_status in ('delivered', 'read')
               or a.delivery_status in ('undelivered', 'failed', 'canceled') and not a.delivery_excused)
        group by 1, 2, 3
    ),
    lost as (
        select f.business_id, f.delivery_code, f.texts, f.oldest from fates f where not f.arrived
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        select f.business_id, sum(f.texts)::bigint as delivered from fates f where f.arrived group by f.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= smsretry.fewest_texts()
        order by share, l.undelivered desc, l.business_id limit 10
    )
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz,
            (select left(b.name, 200) from public.businesses b where b.id = w.business_id)
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, (select left(b.name, 200) from public.businesses b where b.id = l.business_id)
     from lost l
     order by l.texts desc limit 50);
end
$$;
