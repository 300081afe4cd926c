-- Record the provider's status callback, for the application's webhook. It proves that the provider
-- has the message of this attempt, and says how far that has come. May be called any number of
-- times, in any order, before or after the sender's own answer. An unknown status proves the
-- message and is not kept.
--   attempt_id: from the URL; null: the attempt is found by its SID
--   delivery_status, error_code: Twilio's MessageStatus and ErrorCode
--   account_sid: the account that signed the callback; null: not told. An account speaks for what
--     went out from it and nothing else: who has an account of their own has the token that signs
--     for it
-- It returns
--   settled: the row is completed
--   recorded: the row had moved on, or the status is news
--   already_settled: there is no news
--   unknown_attempt: there is none, or it has another SID or account
create or replace function public.settle_sms_attempt(
    attempt_id uuid default null,
    twilio_sid text default null,
    settled_by text default 'callback',
    delivery_status text default null,
    error_code integer default null,
    account_sid text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_answer text := 'already_settled';
begin
    if not smsretry.is_message_id(settle_sms_attempt.twilio_sid)
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true
    then
        raise exception 'twilio_sid must be the provider''s id of a message, settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = coalesce(
        settle_sms_attempt.attempt_id,
        (
            select s.id
            from public.sms_send_attempts s
            where s.twilio_sid = settle_sms_attempt.twilio_sid
        )
    );
    -- No fence: what the provider accepted is true, whoever has the row. The row is the attempt's
    -- own, or a newer one of its text that is in doubt about it.
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = coalesce(
        -- No join: with old statistics it walks all live rows.
        (
            select w.id
            from public.sms_retry_queue w
            where w.send_log_id = (
                select o.send_log_id
                from public.sms_retry_queue o
                where o.id = v_attempt.retry_id
            )
              and w.status in ('pending', 'processing')
              and w.attempt_id = v_attempt.id
        ),
        v_attempt.retry_id
    )
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = v_attempt.id;
    v_now := smsretry.clock();
    if v_attempt.twilio_sid <> settle_sms_attempt.twilio_sid
        or lower(v_attempt.sent_account) <> lower(settle_sms_attempt.account_sid)
    then
        return 'unknown_attempt';
    end if;
    if v_attempt.twilio_sid is null then
        if smsretry.belongs_to_another(
            settle_sms_attempt.twilio_sid,
            v_attempt.id,
            v_row.send_log_id
        ) then
            raise exception 'SID % belongs to another text',
                settle_sms_attempt.twilio_sid
                using errcode = 'SR422';
        end if;
        v_answer := smsretry.accept_attempt(
            v_row,
            v_attempt.id,
            settle_sms_attempt.twilio_sid,
            settle_sms_attempt.settled_by,
            v_now
        );
    end if;
    if smsretry.record_delivery(
        v_attempt.id,
        settle_sms_attempt.delivery_status,
        settle_sms_attempt.error_code,
        v_now
    )
        and v_answer = 'already_settled'
    then
        return 'recorded';
    end if;
    return v_answer;
end
$$;
