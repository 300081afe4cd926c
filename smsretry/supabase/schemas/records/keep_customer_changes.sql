-- A customer's consent or number has changed: smsretry.customer_changes.
-- security definer, because tenants may write customers and not this. It never refuses their write.
create or replace function smsretry.keep_customer_changes()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz;
begin
    v_now := smsretry.clock();
    if old.sms_consent_status is distinct from new.sms_consent_status then
        insert into smsretry.customer_changes (customer_id, at, what, was, became, source)
        values (new.id, v_now, 'consent', left(old.sms_consent_status::text, 40), left(new.sms_consent_status::text, 40),
                left(smsretry.numberless(left(new.sms_consent_source::text, 1000)), 200));
    end if;
    if old.phone is distinct from new.phone then
        insert into smsretry.customer_changes (customer_id, at, what, was, became)
        values (new.id, v_now, 'number', smsretry.masked(old.phone::text), smsretry.masked(new.phone::text));
    end if;
    return null;
exception when others then
    raise warning 'The stories of customer %''s texts miss a change: %', new.id, sqlstate;
    return null;
end
$$;
