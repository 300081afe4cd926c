-- What a look after a message came to: what Twilio reports (delivery_status, error_code), and what follows. May be repeated.
--   decision: look_again   nothing final yet; the next look is look_in from now
--           | close        nothing follows: it was delivered, or another message of the text counts
--           | unknown      Twilio said nothing final for long enough
--           | send_again   it did not arrive: its row goes back into the queue, due retry_in from now, and every check is made
--                          anew. A repetition answers changed, and changes nothing; so with give_up.
--           | give_up      it did not arrive and is not sent again: the row has failed with error. What the failure says of the
--                          number is kept: opted_out, phone_status
--   look_in: when it is looked after once more. A message that did not arrive may be delivered after all.
--   answer: applied
--         | lost     somebody else looks after it, or it has been settled by a callback
--         | changed  what was decided about is no longer so: it is looked after again
create or replace function public.finish_sms_delivery(
    attempt_id uuid,
    looks integer,
    decision text,
    delivery_status text default null,
    error_code integer default null,
    look_in interval default null,
    retry_in interval default null,
    error text default null,
    opted_out boolean default false,
    phone_status text default null,
    why_code text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_failed boolean;
    v_fails constant boolean := finish_sms_delivery.decision in ('send_again', 'give_up');
begin
    if (finish_sms_delivery.decision in ('look_again', 'close', 'unknown', 'send_again', 'give_up')) is not true
        or finish_sms_delivery.decision = 'look_again' and finish_sms_delivery.look_in is null
        or finish_sms_delivery.decision = 'send_again' and finish_sms_delivery.retry_in is null
        or v_fails and finish_sms_delivery.error is null then
        raise exception 'decision must be look_again (with look_in), close, unknown, send_again (with retry_in and error) or give_up (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = finish_sms_delivery.attempt_id)
    for update;
    v_now := smsretry.clock();
    select * into v_attempt from public.sms_send_attempts a where a.id = finish_sms_delivery.attempt_id for update;
    if (v_attempt.delivery_looks = finish_sms_delivery.looks) is not true then
        return 'lost';
    end if;
    if v_attempt.delivery_look_at is null then -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id, case finish_sms_delivery.decision when 'unknown' then 'unknown' else finish_sms_delivery.delivery_status end,
        finish_sms_delivery.error_code, v_now);
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    if v_attempt.delivery_look_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    v_failed := smsretry.delivery_rank(v_attempt.delivery_status) is not distinct from 6;
    if v_fails and (not v_failed or v_row.status <> 'completed' or smsretry.may_have_arrived(v_row.send_log_id, v_attempt.id)
            or exists (select 1 from public.sms_retry_queue q
                       where q.send_log_id = v_row.send_log_id and q.status in ('pending', 'processing')))
        or v_failed and finish_sms_delivery.decision in ('look_again', 'unknown') and v_attempt.delivery_look_at <= v_now
            and smsretry.delivery_rank(finish_sms_delivery.delivery_status) is distinct from 6 then
        return 'changed'; -- a callback has reported a failure since it was taken
    end if;
    update public.sms_send_attempts a
    set delivery_look_at = v_now + finish_sms_delivery.look_in
    where a.id = v_attempt.id;
    if finish_sms_delivery.decision = 'send_again' then
        perform smsretry.send_again(
            v_row, v_attempt, finish_sms_delivery.error, finish_sms_delivery.why_code, v_now + finish_sms_delivery.retry_in, v_now);
    elsif finish_sms_delivery.decision = 'give_up' then
        perform smsretry.close_row(
            v_row, 'failed', finish_sms_delivery.error, finish_sms_delivery.why_code, v_attempt.delivery_code, v_now);
        perform smsretry.tell_delivery(
            v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, finish_sms_delivery.error, v_now);
    end if;
    if finish_sms_delivery.opted_out or finish_sms_delivery.phone_status is not null then
        perform smsretry.mark_customer(
            v_row, c.phone, finish_sms_delivery.opted_out, finish_sms_delivery.phone_status, v_attempt.delivery_code, v_now)
        from public.customers c -- whose number is still the one that the text was sent to
        where c.id = v_row.customer_id and c.business_id = v_row.business_id
          and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key;
    end if;
    return 'applied';
end
$$;

revoke all on function public.finish_sms_delivery from public, anon, authenticated;
grant execute on function public.finish_sms_delivery to service_role;
