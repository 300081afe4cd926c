-- Whether a text's send log shows a message that did not arrive, and no other message of the text is, or may get, on the
-- phone. Such a text may be sent again, although its send log has a SID.
create or replace function smsretry.is_undelivered(send_log_id uuid, provider_message_id jsonb)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.twilio_sid = smsretry.found_sid(is_undelivered.provider_message_id)
                     and smsretry.is_lost(a.delivery_status))
       and not smsretry.may_have_arrived(is_undelivered.send_log_id, null)
$$;
