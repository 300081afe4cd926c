-- Count for sms_status what became of sends.
--   sends: texts with a send that began in the last hour, by its outcome
--   hours: texts that were accepted in the last day, by hour and smsretry.delivery_of
--   undelivered: those that did not arrive, by the provider's code, the most texts first, with the
--     number of their businesses and the name of a single one
create or replace function smsretry.status_of_sends(at timestamptz)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set enable_sort = off as $$ -- it would sort all texts of the day
begin
    return (
        with accepted as materialized (
            select g.*, smsretry.delivery_of(g.delivery_status) as delivery
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
            ) g -- it is asked of a group, and not of each text
        )
        select jsonb_build_object(
            'sends', (
                select coalesce(jsonb_object_agg(o.outcome, o.texts), '{}')
                from (
                    select t.outcome, count(*) as texts
                    from (
                        select distinct coalesce(a.outcome, 'under_way'), a.retry_id
                        from public.sms_send_attempts a
                        where a.begun_at > status_of_sends.at - interval '1 hour'
                    ) t (outcome)
                    group by t.outcome
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
                    'businesses', u.businesses,
                    'business', left(b.name, 200),
                    'texts', u.texts
                )
                from (
                    select
                        a.code,
                        count(*) as texts,
                        count(distinct i.id) as businesses,
                        min(i.id::text) as a_business
                    from accepted a
                    cross join unnest(a.business_ids) i (id)
                    where a.delivery = 'undelivered'
                    group by a.code
                ) u
                left join public.businesses b
                    on u.businesses = 1 and b.id::text = u.a_business
                order by u.texts desc, u.code
            )
        )
    );
end
$$;
