-- Record what the provider's refusal says of a number: opted_out ends the consent of everyone at the business who has it;
-- phone_status tells the application. Another business that shares the sender learns of the opt-out by its own text, which the
-- provider refuses, too. It never undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if mark_customer.opted_out then
        perform smsretry.say_opted_out(
            array[retry.business_id], mark_customer.phone, coalesce('twilio_' || mark_customer.code, 'provider_refusal'), mark_customer.at);
        perform smsretry.follow_opt_out(array[retry.business_id], mark_customer.phone, retry.customer_id);
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.id in (select o.id from public.customers o
                       where o.phone = mark_customer.phone and (o.business_id = retry.business_id) is true -- by the number's index
                       for no key update skip locked);
    end if;
exception when others then
    -- The application's checks and triggers may refuse the mark. The provider will refuse the next text, too.
    raise warning 'The customer of row % could not be marked after the provider''s %: %', retry.id, mark_customer.code, sqlstate;
end
$$;
