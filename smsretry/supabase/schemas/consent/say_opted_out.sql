-- Keep that a number opted out at these businesses: smsretry.consents. It waits for nobody, and holds from now on. With each
-- customer who had not opted out it keeps what their consent was. Nothing is added where an opt-out stands already that is no
-- earlier and no easier for a START to take back.
create or replace function smsretry.say_opted_out(
    businesses uuid[], phone text, source text, dated timestamptz, senders text[] default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.consents (number_key, business_id, said, source, at, dated, senders, customer_id, was)
    select k.number_key, k.business_id, 'opted_out', left(say_opted_out.source, 200), smsretry.clock(), say_opted_out.dated,
           say_opted_out.senders, c.id, left(c.sms_consent_status::text, 40)
    from (select b.id as business_id, smsretry.number_key(b.id, say_opted_out.phone) as number_key
          from unnest(say_opted_out.businesses) b (id) offset 0) k
    left join public.customers c on c.phone = say_opted_out.phone and (c.business_id = k.business_id) is true
        and c.sms_consent_status::text is distinct from 'opted_out'
    where not exists (
        select from smsretry.standing_opt_outs o
        where o.number_key = k.number_key and o.dated >= say_opted_out.dated
          and o.senders is not distinct from say_opted_out.senders
          and (smsretry.start_takes_back(say_opted_out.source) or not smsretry.start_takes_back(o.source)));
end
$$;
