-- A text to rehearse with, to a customer with a number: a new one if the application's tables allow it, otherwise an existing
-- one that is not sent, waiting or locked. Null: there is none. Call it only inside a block that is rolled back. security
-- definer, because service_role may not insert the application's rows.
create or replace function smsretry.sample_text()
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_business uuid;
    v_customer uuid := gen_random_uuid();
    v_log uuid := gen_random_uuid();
begin
    select b.id into v_business from public.businesses b limit 1;
    if v_business is null then
        v_business := gen_random_uuid();
        insert into public.businesses (id, user_id, name, timezone)
        values (v_business, gen_random_uuid(), 'Rehearsal', 'America/New_York');
    end if;
    insert into public.customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
    values (v_customer, v_business, '+15005550006', 'America/New_York', 'opted_in', smsretry.clock());
    insert into public.send_logs (id, business_id, customer_id, channel, subject)
    values (v_log, v_business, v_customer, 'sms', 'Rehearsal');
    return v_log;
exception when others then
    select l.id, c.id into v_log, v_customer
    from public.send_logs l
    join public.customers c on c.id = l.customer_id and c.business_id = l.business_id
    where l.channel = 'sms' and c.phone::text ~ '^[+][1-9][0-9]{7,14}$'
      and not smsretry.is_sent(l.provider_message_id, l.status::text)
      and not exists (select 1 from public.sms_retry_queue q
                      where q.send_log_id = l.id and q.status in ('pending', 'processing'))
      and not exists (select 1 from smsretry.earlier_doubt(l.id, l.business_id) d where d.attempt_id is not null)
    limit 1 for update of l, c skip locked;
    update public.customers c
    set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()
    where c.id = v_customer;
    return v_log;
end
$$;
