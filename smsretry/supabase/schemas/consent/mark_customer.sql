-- Record what the provider's refusal says of the number: opted_out ends the consent of everyone at the business who has it,
-- and at those that share the sender of the attempt (smsretry.share_opt_out); phone_status tells the application. It never
-- undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz,
    attempt_id uuid
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_source constant text := coalesce('twilio_' || mark_customer.code, 'provider_refusal');
begin
    if mark_customer.opted_out then
        perform smsretry.set_consent(
            retry.business_id, retry.customer_id, mark_customer.phone, 'opted_out', v_source, mark_customer.at);
        perform smsretry.share_opt_out(retry.business_id, mark_customer.phone, a.sent_by, v_source, mark_customer.at)
        from public.sms_send_attempts a where a.id = mark_customer.attempt_id;
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.phone = mark_customer.phone and (c.business_id = retry.business_id) is true; -- smsretry.judge_opt_outs
    end if;
exception
    when deadlock_detected or lock_not_available or serialization_failure then
        raise; -- passing: the caller repeats the call
    when others then
        -- The application's checks and triggers may refuse the mark. The provider will refuse the next text, too.
        raise warning 'The customer of row % could not be marked after the provider''s %: %',
            retry.id, mark_customer.code, sqlstate;
end
$$;
