-- sms_status: sends begun since then, by outcome.
create or replace function smsretry.status_of_sends(since timestamptz)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select coalesce(jsonb_object_agg(o.outcome, o.sends), '{}')
        from (
            select
                coalesce(a.outcome, 'under_way') as outcome,
                count(*) as sends
            from public.sms_send_attempts a
            where a.begun_at > status_of_sends.since
            group by a.outcome
        ) o
    );
end
$$;

-- sms_status: texts that were accepted since then, by hour and by what became of them: delivered,
-- undelivered, unknown or open.
create or replace function smsretry.status_of_hours(since timestamptz)
returns table (hour timestamptz, fate text, texts bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select
        a.hour,
        case
            when a.delivery_status in ('delivered', 'read') then 'delivered'
            when a.delivery_status = 'unknown' then 'unknown'
            when smsretry.is_lost(a.delivery_status) then 'undelivered'
            else 'open'
        end,
        sum(a.texts)::bigint
    from (
        select
            date_bin('1 hour', o.begun_at, '2000-01-01 00:00+00') as hour,
            o.delivery_status,
            count(*) as texts
        from public.sms_send_attempts o
        where o.begun_at > status_of_hours.since
          and o.twilio_sid is not null
          and not o.delivery_excused
        group by 1, 2
        offset 0
    ) a -- is_lost is asked of a group, and not of each text
    group by 1, 2;
end
$$;

-- sms_status: those of them that did not arrive, by the provider's code and business, the most
-- texts first.
create or replace function smsretry.status_of_undelivered(since timestamptz)
returns table (code integer, business text, texts bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select u.code, left(b.name, 200), u.texts
    from (
        select
            a.delivery_code as code,
            a.business_id,
            sum(a.texts)::bigint as texts
        from (
            select
                o.delivery_code,
                o.business_id,
                o.delivery_status,
                count(*) as texts
            from public.sms_send_attempts o
            where o.begun_at > status_of_undelivered.since
              and o.delivery_status <> 'delivered' -- as most are
              and not o.delivery_excused
            group by
                o.delivery_code,
                o.business_id,
                o.delivery_status
            offset 0
        ) a
        where smsretry.is_lost(a.delivery_status)
        group by a.delivery_code, a.business_id
        order by sum(a.texts) desc
        limit 50
    ) u
    left join public.businesses b on b.id = u.business_id
    order by u.texts desc;
end
$$;
