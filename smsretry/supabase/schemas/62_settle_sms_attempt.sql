-- For the application's webhook: Twilio called the status callback URL that carries this attempt's id, so it has the
-- message. May be called any number of times, in any order, before or after the sender's own answer.
-- Answers settled (the row is completed), recorded (the row had moved on), already_settled, or unknown_attempt.
create or replace function public.settle_sms_attempt(attempt_id uuid, twilio_sid text, settled_by text default 'callback')
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
begin
    if (settle_sms_attempt.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be a message SID (SM or MM and 32 hexadecimal digits), settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    -- Twilio holds no claim, so there is no fence here: what it accepted is true whoever has the row.
    select q.* into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id)
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    v_now := smsretry.clock();
    if v_attempt.outcome = 'accepted' and v_attempt.twilio_sid is not null then
        return 'already_settled';
    end if;
    if smsretry.is_anothers(settle_sms_attempt.twilio_sid, v_attempt.id, v_row.send_log_id) then
        raise exception 'SID % belongs to another text', settle_sms_attempt.twilio_sid using errcode = 'SR422';
    end if;
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = v_now, settled_by = settle_sms_attempt.settled_by,
        twilio_sid = settle_sms_attempt.twilio_sid, error_code = null, sent_to = null, sent_body = null
    where a.id = v_attempt.id;

    if v_row.status in ('pending', 'processing') and (v_row.begun_at is null or v_row.attempt_id = v_attempt.id) then
        perform smsretry.complete_row(v_row, settle_sms_attempt.twilio_sid, v_now);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = v_now,
        provider_message_id = jsonb_build_object('twilio_sid', settle_sms_attempt.twilio_sid)
    where l.id = v_row.send_log_id and smsretry.found_sid(l.provider_message_id) is null;
    return 'recorded';
end
$$;

revoke all on function public.settle_sms_attempt from public, anon, authenticated;
grant execute on function public.settle_sms_attempt to service_role;
