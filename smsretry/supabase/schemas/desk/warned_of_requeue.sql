-- What a person should know before a row is requeued; null: nothing.
create or replace function smsretry.warned_of_requeue(retry public.sms_retry_queue)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_customer public.customers;
begin
    select * into v_customer from public.customers c where c.id = retry.customer_id;
    return case
        when v_customer.sms_consent_status::text is distinct from 'opted_in'
            or exists (select from smsretry.standing_opt_outs o
                       where o.number_key = smsretry.number_key(retry.business_id, v_customer.phone))
            then 'The customer has not opted in: it will be cancelled'
        when v_customer.phone_status in ('invalid', 'not_mobile')
            then 'The number is known to take no texts (' || v_customer.phone_status || ')'
        when (smsretry.forgotten(retry)).since is not null
            then 'The database was restored from a backup: it is looked for before it goes out'
    end;
end
$$;
