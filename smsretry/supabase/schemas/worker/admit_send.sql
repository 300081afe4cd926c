-- Whether the send of a claimed row may begin now. Parameters and answers: begin_sms_attempt. A text that may not go is
-- ended here, and one whose earlier message may have gone out is put in doubt.
create or replace function smsretry.admit_send(
    retry public.sms_retry_queue, send_before timestamptz, phone text, decided_by text, cap integer, cap_since timestamptz,
    expires_at timestamptz, life interval, sender_id uuid, segments integer,
    out answer text, out why text, out why_code text, out decided_at timestamptz, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
    v_sender smsretry.senders;
    v_spent_until timestamptz;
begin
    -- `for share`: an opt-out is either seen here or waits until this send is begun.
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
    -- `for share`: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = retry.send_log_id and l.business_id = retry.business_id for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time

    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        answer := 'changed'; -- deleted: the next decision says so
        return;
    end if;
    select r.why, r.why_code into why, why_code
    from smsretry.refusal(
        smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key) r;
    if why_code is null and retry.expires_at <= decided_at then
        why := 'Expired before it could be sent';
        why_code := 'expired';
    end if;
    if why_code is not null then
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, decided_at);
        answer := 'ended';
        return;
    end if;
    retry.expires_at := coalesce(retry.expires_at, expires_at, decided_at + life);
    why := smsretry.put_in_doubt(retry, decided_at);
    if why is not null then
        why_code := (select q.why_code from public.sms_retry_queue q where q.id = retry.id);
    end if;
    v_sender := smsretry.sender_of(retry.business_id, retry.message_class);
    if v_sender.segments_per_day is not null then
        v_spent_until := smsretry.spent_until(v_sender, segments, decided_at);
    end if;
    answer := case
        when why is not null then 'lost'
        when decided_at >= send_before then 'closed'
        when v_customer.phone is distinct from coalesce(phone, v_customer.phone)
            or smsretry.decided_by(
                v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours, v_log.subject,
                retry.message_class, array(select s.state from smsretry.stopped_states s order by s.state)) <> decided_by
            or v_sender.id is distinct from sender_id or v_sender.paused_at is not null
            then 'changed'
        when v_spent_until is not null then 'spent'
        when reached_at is not null then 'capped'
        else 'go'
    end;
    reached_at := coalesce(case when answer = 'spent' then v_spent_until end, reached_at);
end
$$;
