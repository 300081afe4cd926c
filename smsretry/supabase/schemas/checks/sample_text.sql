-- Make a send log to rehearse with: a new one of a new customer, if the application's tables take
-- them; otherwise one of its customers, and one of its logs, which then say what new ones would.
-- Raises if there is none. Call it only inside a block that is rolled back. security definer,
-- because service_role may not insert the application's rows.
create or replace function smsretry.sample_text()
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer uuid := gen_random_uuid();
    v_log uuid := gen_random_uuid();
begin
    begin
        insert into public.businesses (user_id, name, timezone)
        select
            gen_random_uuid(),
            'Rehearsal',
            'America/New_York'
        where not exists (select from public.businesses);
        insert into public.customers (id, business_id, phone, sms_consent_status)
        select v_customer, b.id, '+15005550006', 'opted_in'
        from public.businesses b
        limit 1;
    exception
        when others then
            select c.id
            into v_customer
            from public.customers c
            where c.phone::text ~ '^[+][1-9][0-9]{7,14}$'
            limit 1
            for update skip locked;
            if not found then
                raise; -- why none can be made
            end if;
    end;
    begin
        insert into public.send_logs (
            id,
            business_id,
            customer_id,
            channel,
            subject
        )
        select
            v_log,
            c.business_id,
            c.id,
            'sms',
            'Rehearsal'
        from public.customers c
        where c.id = v_customer;
    exception
        when others then
            select l.id, c.id
            into v_log, v_customer
            from (
                select *
                from public.send_logs
                limit 1000
            ) l
            join public.customers c
                on c.id = l.customer_id and c.business_id = l.business_id
            where l.channel = 'sms'
              and c.phone::text ~ '^[+][1-9][0-9]{7,14}$'
              and not exists (
                  select from public.sms_retry_queue q
                  where q.send_log_id = l.id
                    and q.status in ('pending', 'processing')
              )
              and not exists (
                  select from smsretry.earlier_doubt(l.id, l.business_id) d
                  where d.attempt_id is not null
              )
            limit 1
            for update of c, l skip locked;
            if not found then
                raise;
            end if;
            update public.send_logs l
            set status = 'pending', provider_message_id = null
            where l.id = v_log;
    end;
    update public.customers c
    set
        sms_consent_status = 'opted_in',
        sms_consent_at = smsretry.clock()
    where c.id = v_customer;
    return v_log;
end
$$;
