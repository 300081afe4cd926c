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
    v_senders text[];
begin
    if mark_customer.opted_out then
        if exists (select from smsretry.business_senders) then
            -- One that nobody knows is an environment's: it may have changed.
            v_senders := array(select s.sent_by from public.sms_send_attempts a
                               join smsretry.senders s on s.sent_by = a.sent_by or s.told_at is not null and not exists (
                                   select from smsretry.senders o where o.sent_by = a.sent_by)
                               where a.id = mark_customer.attempt_id);
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
