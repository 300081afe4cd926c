-- Twilio accepted a text and it did not arrive: its row goes back into the queue. Its send log says what is true meanwhile: it
-- waits, and has no message. The caller holds the row locked and has made sure that no other message of the text may arrive.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := null;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.put_back(retry, send_again.due, send_again.at);
    update public.send_logs l
    set status = default, provider_message_id = null, error_message = left(send_again.error, 2000), updated_at = send_again.at
    where l.id = retry.send_log_id;
end
$$;

revoke all on function smsretry.send_again from public, anon, authenticated;
grant execute on function smsretry.send_again to service_role;
