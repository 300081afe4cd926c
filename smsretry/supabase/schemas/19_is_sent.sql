-- Whether a send log says that its text was sent: it has Twilio's SID, or a status that a webhook writes only after Twilio
-- accepted the text. The one definition, for begin, for a look and for the webhook.
create or replace function smsretry.is_sent(log public.send_logs)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(log.provider_message_id ? 'twilio_sid', false)
        or coalesce(log.status::text in ('sent', 'delivered', 'undelivered'), false)
$$;

revoke all on function smsretry.is_sent from public, anon, authenticated;
grant execute on function smsretry.is_sent to service_role;
