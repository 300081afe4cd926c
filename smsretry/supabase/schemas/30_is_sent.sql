-- Whether a send log's provider_message_id says that Twilio has the text.
create or replace function smsretry.is_sent(provider_message_id jsonb)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(provider_message_id ? 'twilio_sid', false)
$$;

revoke all on function smsretry.is_sent from public, anon, authenticated;
grant execute on function smsretry.is_sent to service_role;
