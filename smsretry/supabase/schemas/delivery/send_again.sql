-- Queue again a text that the provider accepted and that did not arrive. Its send log must say first that it waits, without
-- a message: a log that still says sent would end the text unsent. If it cannot, nothing changes. The caller holds the row
-- locked and has made sure that no other message of the text may arrive. counted, held: finish_sms_delivery.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, why_code text, counted boolean, held boolean,
    due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_trouble text;
begin
    v_trouble := smsretry.tell_waiting(retry.send_log_id, send_again.error, send_again.at);
    if v_trouble is not null then
        raise exception 'Send log % cannot be told that its text waits: %', retry.send_log_id, v_trouble
            using errcode = 'SR409', hint = 'Look at the rules and triggers of send_logs. It is tried again when the lease of this look is over.';
    end if;
    if counted then
        retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    else
        retry.attempt_count := greatest(attempt.attempt_number - 1, 0);
        update public.sms_send_attempts a set delivery_excused = true where a.id = attempt.id;
    end if;
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := case when not counted then send_again.error end;
    retry.held_since := case when held then send_again.at end;
    retry.why_code := send_again.why_code;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.save_row(retry, send_again.at, due => send_again.due);
end
$$;
