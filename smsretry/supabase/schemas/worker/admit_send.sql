-- Whether the send of a claimed row may begin, by all that is known now: begin_sms_attempt has the answers and the parameters.
-- A text that may not go is ended here, and one of which an earlier message may have gone out is put in doubt.
create or replace function smsretry.admit_send(
    retry public.sms_retry_queue, send_before timestamptz, phone text, decided_by text, cap integer, cap_since timestamptz,
    expires_at timestamptz, life interval,
    out answer text, out why text, out decided_at timestamptz, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
begin
    -- `for share`: an opt-out either is seen here or waits until this send is begun. None slips between.
    select * into v_customer from public.customers c
    where c.id = retry.customer_id and c.business_id = retry.business_id for share;
    if phone is null then
        perform smsretry.lock_number(retry.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(retry.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = retry.business_id;
    if cap is not null then
        reached_at := smsretry.cap_reached_at(retry.business_id, v_customer.phone, cap, cap_since);
    end if;
    -- `for share` here, too: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = retry.send_log_id and l.business_id = retry.business_id for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time

    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        answer := 'changed'; -- deleted: the next decision says so
        return;
    end if;
    why := coalesce(
        smsretry.refusal(smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key),
        case when retry.expires_at <= decided_at then 'Expired before it could be sent' end);
    if why is not null then
        perform smsretry.close_row(retry, 'cancelled', why, null, decided_at);
        answer := 'ended';
        return;
    end if;
    retry.expires_at := coalesce(retry.expires_at, expires_at, decided_at + life);
    why := smsretry.put_in_doubt(retry, decided_at);
    answer := case
        when why is not null then 'lost'
        when decided_at >= send_before then 'closed'
        when v_customer.phone is distinct from coalesce(phone, v_customer.phone)
            or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours) <> decided_by
            then 'changed'
        when reached_at is not null then 'capped'
        else 'go'
    end;
end
$$;
