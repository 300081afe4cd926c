-- Count for sms_status what became of sends.
--   sends: begun in the last hour, by outcome
--   hours: texts that were accepted in the last day, by hour and delivery (delivered,
--     undelivered, unknown or open)
--   undelivered: those that did not arrive, by the provider's code and business, the most texts
--     first
create or replace function smsretry.status_of_sends(at timestamptz)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_sort = off as $$ -- it would sort all texts of the day
begin
    return (
        with accepted as materialized (
            select
                g.*,
                case
                    when g.delivery_status in ('delivered', 'read') then 'delivered'
                    when g.delivery_status = 'unknown' then 'unknown'
                    when smsretry.is_lost(g.delivery_status) then 'undelivered'
                    else 'open'
                end as delivery
            from (
                select
                    date_bin('1 hour', a.begun_at, '2000-01-01 00:00+00') as hour,
                    a.delivery_status,
                    a.delivery_code as code,
                    count(*) as texts,
                    array_agg(a.business_id) filter (
                        -- as most are
                        where a.delivery_status not in ('delivered', 'sent')
                    ) as business_ids
                from public.sms_send_attempts a
                where a.begun_at > status_of_sends.at - interval '1 day'
                  and a.twilio_sid is not null
                  and not a.delivery_excused
                group by 1, 2, 3
                offset 0
            ) g -- is_lost is asked of a group, and not of each text
        )
        select jsonb_build_object(
            'sends', (
                select coalesce(jsonb_object_agg(o.outcome, o.sends), '{}')
                from (
                    select
                        coalesce(a.outcome, 'under_way') as outcome,
                        count(*) as sends
                    from public.sms_send_attempts a
                    where a.begun_at > status_of_sends.at - interval '1 hour'
                    group by a.outcome
                ) o
            ),
            'hours', array(
                select jsonb_build_object(
                    'hour', a.hour,
                    'delivery', a.delivery,
                    'texts', sum(a.texts)
                )
                from accepted a
                group by a.hour, a.delivery
            ),
            'undelivered', array(
                select jsonb_build_object(
                    'code', u.code,
                    'business', left(b.name, 200),
                    'texts', u.texts
                )
                from (
                    select a.code, i.id, count(*) as texts
                    from accepted a
                    cross join unnest(a.business_ids) i (id)
                    where a.delivery = 'undelivered'
                    group by a.code, i.id
                    order by count(*) desc
                    limit 50
                ) u
                left join public.businesses b on b.id = u.id
                order by u.texts desc
            )
        )
    );
end
$$;
