-- Customers' consent or number has changed: smsretry.customer_changes. For all rows of a statement together, so that an
-- import stays fast; the hundred newest changes of a customer are kept.
-- security definer, because tenants may write customers and not this. It never refuses their write.
create or replace function smsretry.keep_customer_changes()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
-- A plan that was made for one row would compare each of ten thousand with each.
set enable_nestloop = off as $$
declare
    v_now timestamptz;
    v_ids uuid[];
begin
    v_now := smsretry.clock();
    with changed as (
        select n.id, o.phone as old_phone, n.phone, o.sms_consent_status::text as old_consent,
               n.sms_consent_status::text as consent, n.sms_consent_source::text as source
        from old_customers o join new_customers n on n.id = o.id
        where (o.phone, o.sms_consent_status) is distinct from (n.phone, n.sms_consent_status)
    ), kept as (
        insert into smsretry.customer_changes (customer_id, at, what, was, became, source)
        select c.id, v_now, 'consent', left(c.old_consent, 40), left(c.consent, 40), left(smsretry.numberless(left(c.source, 1000)), 200)
        from changed c where c.old_consent is distinct from c.consent
        union all
        select c.id, v_now, 'number', smsretry.masked(c.old_phone::text), smsretry.masked(c.phone::text), null
        from changed c where c.old_phone is distinct from c.phone
        returning customer_id
    )
    select array_agg(k.customer_id) into v_ids from kept k;
    if v_ids is not null then
        delete from smsretry.customer_changes d
        using unnest(v_ids) i (id) cross join lateral (
            select x.at from smsretry.customer_changes x where x.customer_id = i.id order by x.at desc offset 100 limit 1) oldest
        where d.customer_id = i.id and d.at <= oldest.at;
    end if;
    return null;
exception when others then
    raise warning 'The stories of texts miss changes of customers: %', sqlstate;
    return null;
end
$$;
