-- Keep that a number opted out at these businesses: smsretry.consents. It waits for nobody, and holds from now on. Nothing is added
-- where an opt-out stands already that is no earlier and no easier to take back. Returns the businesses at which it is news.
--   dated: null: now, and whatever stands is no earlier
--   customer_id, was: of a customer whose row says it already, the consent before; of the others their rows tell it
create or replace function smsretry.say_opted_out(
    businesses uuid[], phone text, source text, dated timestamptz, senders text[] default null, customer_id uuid default null,
    was text default null
)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_news uuid[];
begin
    with added as (
        insert into smsretry.consents (number_key, business_id, said, source, at, dated, senders, customer_id, was)
        select k.number_key, k.business_id, 'opted_out', left(say_opted_out.source, 200), smsretry.clock(),
               coalesce(say_opted_out.dated, smsretry.clock()), say_opted_out.senders, c.id, left(c.consent, 40)
        from (select b.id as business_id, smsretry.number_key(b.id, say_opted_out.phone) as number_key
              from unnest(say_opted_out.businesses) b (id) offset 0) k
        left join lateral (
            select o.id, o.sms_consent_status::text as consent from public.customers o
            where o.phone = say_opted_out.phone and (o.business_id = k.business_id) is true
              and o.sms_consent_status::text is distinct from 'opted_out'
            union all
            select say_opted_out.customer_id, say_opted_out.was where say_opted_out.customer_id is not null) c on true
        where not exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = k.number_key and o.dated >= coalesce(say_opted_out.dated, '-infinity')
              and (say_opted_out.senders is null or o.senders <@ say_opted_out.senders)
              and (smsretry.start_takes_back(say_opted_out.source) or not smsretry.start_takes_back(o.source)))
        returning consents.business_id)
    select coalesce(array_agg(distinct a.business_id), '{}') into v_news from added a;
    return v_news;
end
$$;
