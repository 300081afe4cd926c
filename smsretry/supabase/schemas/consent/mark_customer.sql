-- Record what the provider's refusal says of a number: opted_out ends the consent of everyone at the business who has it, and at
-- those that share the sender of the attempt, because the provider blocks it there; phone_status tells the application. It never
-- undoes the outcome that it came with. No other business's customers are written, so that their locks and triggers decide nothing
-- about this text. While no business has a sender of its own, each learns of an opt-out by its own text.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz,
    attempt_id uuid
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_sent_by text;
    v_senders text[];
begin
    if mark_customer.opted_out then
        if exists (select from smsretry.senders) then
            select a.sent_by into v_sent_by from public.sms_send_attempts a where a.id = mark_customer.attempt_id;
            v_senders := array_remove(array[v_sent_by, case when smsretry.is_environments(v_sent_by) then '' end], null);
        end if;
        perform smsretry.say_opted_out(
            array(select retry.business_id
                  union
                  select b.id from unnest(smsretry.businesses_of(mark_customer.phone, v_senders)) b (id) where v_senders is not null),
            mark_customer.phone, coalesce('twilio_' || mark_customer.code, 'provider_refusal'), mark_customer.at, v_senders);
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
