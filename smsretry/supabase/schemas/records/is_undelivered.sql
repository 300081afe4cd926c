-- Say whether the message that a send log shows did not arrive, and no other message of the text
-- may. Then the text may be sent again.
create or replace function smsretry.is_undelivered(
    send_log_id uuid,
    provider_message_id jsonb
)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        where a.twilio_sid = smsretry.found_sid(is_undelivered.provider_message_id)
          and smsretry.is_lost(a.delivery_status)
    )
        and not smsretry.may_have_arrived(is_undelivered.send_log_id, null)
$$;
