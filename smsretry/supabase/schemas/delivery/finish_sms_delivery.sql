-- The result of a look at a message: what the provider reports (delivery_status, error_code), and what follows. Repeatable.
--   decision: look_again   nothing final yet; look again in look_in
--           | close        nothing follows: it was delivered, or another message of the text counts
--           | unknown      the provider reported nothing final for long enough
--           | send_again   it did not arrive: the row is queued again, due in retry_in, with every check made anew
--           | give_up      it did not arrive: the row fails with error; opted_out and phone_status are kept for the number
--   counted: whether a message that is sent again was an attempt and a failed delivery. Not if the trouble is its sender's
--   held: whether that is something that a person can mend
--   look_in: with the last two, when to look once more. An undelivered message may still arrive.
--   answer: applied | lost (another look or a callback settled it) | changed (the decision no longer fits, or was applied
--           before: it is looked at again)
create or replace function public.finish_sms_delivery(
    attempt_id uuid, looks integer, decision text, delivery_status text default null, error_code integer default null,
    look_in interval default null, retry_in interval default null, error text default null, opted_out boolean default false,
    phone_status text default null, why_code text default null, counted boolean default true, held boolean default false
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_fails constant boolean := decision in ('send_again', 'give_up');
begin
    if (decision in ('look_again', 'close', 'unknown', 'send_again', 'give_up')) is not true
        or decision = 'look_again' and look_in is null or decision = 'send_again' and retry_in is null
        or v_fails and error is null then
        raise exception 'decision must be look_again (with look_in), close, unknown, send_again (with retry_in and error) or give_up (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = attempt_id)
    for update;
    v_now := smsretry.clock();
    select * into v_attempt from public.sms_send_attempts a where a.id = attempt_id for update;
    if (v_attempt.delivery_looks = looks) is not true then
        return 'lost';
    end if;
    if v_attempt.delivery_look_at is null then -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id, case decision when 'unknown' then 'unknown' else delivery_status end, error_code, v_now);
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    if v_attempt.delivery_look_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    if smsretry.is_outdated(v_attempt, v_row, v_fails, decision, delivery_status, v_now) then
        return 'changed';
    end if;
    update public.sms_send_attempts a set delivery_look_at = v_now + look_in where a.id = v_attempt.id;
    if decision = 'send_again' then
        perform smsretry.send_again(v_row, v_attempt, error, why_code, counted, held, v_now + retry_in, v_now);
    elsif decision = 'give_up' then
        perform smsretry.close_row(v_row, 'failed', error, why_code, v_attempt.delivery_code, v_now);
        perform smsretry.tell_delivery(v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, error, v_now);
    end if;
    if opted_out or phone_status is not null then
        -- A begin locks the number before the row. It cannot deadlock with this: it wants a processing row, and this one ended.
        perform smsretry.mark_customer(
            v_row, c.phone, opted_out, finish_sms_delivery.phone_status, v_attempt.delivery_code, v_now, v_attempt.id)
        from public.customers c -- whose number is still the one that the text was sent to
        where c.id = v_row.customer_id and c.business_id = v_row.business_id
          and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key;
    end if;
    return 'applied';
end
$$;
