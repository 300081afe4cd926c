-- Undelivered messages: the lines delivery_business and undelivered of sms_status.
create or replace function smsretry.status_of_lost(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with lost as materialized (
        select q.business_id, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a join public.sms_retry_queue q on q.id = a.retry_id
        where a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null
          and a.delivery_status in ('undelivered', 'failed', 'canceled') -- is_lost, inline because it is cheaper
          and not a.delivery_excused
        group by q.business_id, a.delivery_code
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        -- The row of a message that arrived ended within the day: an index finds it.
        select q.business_id, count(*) as delivered
        from public.sms_retry_queue q join public.sms_send_attempts a on a.retry_id = q.id
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at > status_of_lost.at - interval '1 day'
          and q.business_id in (select l.business_id from losing l)
          and a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status in ('delivered', 'read')
        group by q.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered, left(b.name, 200) as name,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        left join public.businesses b on b.id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= smsretry.fewest_texts()
        order by share, l.undelivered desc, l.business_id limit 10
    )
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz, w.name
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, left(b.name, 200)
     from lost l left join public.businesses b on b.id = l.business_id
     order by l.texts desc limit 50);
end
$$;
