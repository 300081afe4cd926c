-- Whether this is the SID of a message, as in Twilio's OpenAPI description.
create or replace function smsretry.is_sid(sid text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(is_sid.sid ~ '^(SM|MM)[0-9a-fA-F]{32}$', false)
$$;
