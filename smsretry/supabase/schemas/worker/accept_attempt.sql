-- Record that the provider has the message of this attempt. A row that waits for the answer is
-- completed; otherwise the send log is told, unless it has another message. The caller has locked
-- the row.
--   retry: the attempt's own row, or a newer one that is in doubt about it: the attempt becomes
--     that row's
--   sid: of the message; null: only its send log says that it was sent
--   k_first_look: after how long the first look at its delivery comes, because the provider's
--     callback mostly comes before
create or replace function smsretry.accept_attempt(
    retry public.sms_retry_queue,
    attempt_id uuid,
    sid text,
    settled_by text,
    at timestamptz
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    k_first_look constant interval := '5 minutes';
begin
    update public.sms_send_attempts a
    set
        outcome = 'accepted',
        finished_at = accept_attempt.at,
        settled_by = accept_attempt.settled_by,
        twilio_sid = accept_attempt.sid,
        error_code = null,
        sent_to = null,
        sent_body = null,
        delivery_ask_at = case
            when accept_attempt.sid is not null
                then accept_attempt.at + k_first_look
        end,
        retry_id = retry.id,
        claim_no = case
            when a.retry_id = retry.id then a.claim_no
            else retry.claim_no
        end
    where a.id = accept_attempt.attempt_id;
    if retry.status in ('pending', 'processing')
        and (
            retry.begun_at is null
            or retry.attempt_id = accept_attempt.attempt_id
        ) then
        perform smsretry.save_row(
            retry,
            accept_attempt.at,
            ended => 'completed',
            sid => accept_attempt.sid
        );
        return 'settled';
    end if;
    update public.send_logs l
    set
        status = 'sent',
        error_message = null,
        updated_at = accept_attempt.at,
        provider_message_id = jsonb_build_object('twilio_sid', accept_attempt.sid)
    where l.id = retry.send_log_id
      and smsretry.found_sid(l.provider_message_id) is null;
    return 'recorded';
end
$$;
