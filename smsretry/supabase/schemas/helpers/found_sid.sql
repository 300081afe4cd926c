-- The SID that a send log has of its text, or null. Empty is none: an application may write the key before it knows the SID.
-- What is stored on more than 10 kB is not opened: a claim would spend its time on a tenant's megabytes. Not in
-- language sql, here and in what is called with a tenant's values: since PostgreSQL 18 such a function is planned with its
-- arguments as constants, and they are opened for it.
create or replace function smsretry.found_sid(provider_message_id jsonb)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if pg_column_size(found_sid.provider_message_id) >= 10000 then
        return null;
    end if;
    return left(nullif(btrim(found_sid.provider_message_id ->> 'twilio_sid'), ''), 64);
end
$$;

revoke all on function smsretry.found_sid from public, anon, authenticated;
grant execute on function smsretry.found_sid to service_role;
