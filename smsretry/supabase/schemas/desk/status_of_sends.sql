-- sms_status: recent sends and their fate: sent (last hour, by outcome) · hour (last day by hour; name: delivered, undelivered,
-- unknown or open) · undelivered (last day; by the provider's code and business).
create or replace function smsretry.status_of_sends(at timestamptz)
returns setof jsonb language plpgsql stable set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all attempts for the day's.
set enable_seqscan = off set jit = off as $$
begin
    return query
    with accepted as materialized (
        select case when a.delivery_status in ('delivered', 'read') then 'delivered' when a.delivery_status = 'unknown' then 'unknown'
                    when smsretry.is_lost(a.delivery_status) then 'undelivered' else 'open' end as fate,
               date_trunc('hour', a.begun_at, 'UTC') as hour,
               a.delivery_code, a.delivery_at, a.business_id
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and not a.delivery_excused
    )
    (select jsonb_build_object('part', 'sent', 'name', coalesce(a.outcome, 'under_way'), 'texts', count(*), 'oldest', min(a.begun_at))
     from public.sms_send_attempts a where a.begun_at > status_of_sends.at - interval '1 hour' group by a.outcome order by a.outcome)
    union all
    select jsonb_build_object('part', 'hour', 'name', c.fate, 'oldest', c.hour, 'texts', count(*)) from accepted c group by c.hour, c.fate
    union all
    (select jsonb_build_object('part', 'undelivered', 'name', coalesce(l.delivery_code::text, 'without a code'),
                               'business_id', l.business_id, 'texts', count(*), 'oldest', min(l.delivery_at), 'states', array['failed', 'sent'])
     from accepted l where l.fate = 'undelivered'
     group by l.delivery_code, l.business_id order by count(*) desc limit 50);
end
$$;
