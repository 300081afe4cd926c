-- Recent sends and their fate: the lines sent, delivery, delivery_lately, delivery_hour and delivery_time of sms_status.
create or replace function smsretry.status_of_sends(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all attempts for the day's.
set enable_seqscan = off set jit = off as $$
begin
    return query
    with reported as materialized (
        select a.delivery_status, a.begun_at > status_of_sends.at - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and not a.delivery_excused
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.has_arrived(r.delivery_status) then 'delivered'
                    when smsretry.is_lost(r.delivery_status) then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    taken as (
        -- For a message that was read, the time of delivery is not kept. If the response did not settle an attempt, its
        -- finished_at is late.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > status_of_sends.at - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'delivery_hour', d.fate, null::uuid, sum(d.texts)::bigint, d.hour, null::timestamptz, null::text
     from accepted d group by d.hour, d.fate order by d.hour, d.fate)
    union all
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0);
end
$$;
