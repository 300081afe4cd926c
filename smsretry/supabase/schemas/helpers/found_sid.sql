-- Return the SID that a send log has; null: none, or an empty one. A value of more than 10 kB is
-- not opened. Not in language sql, like all that is called with a tenant's values: PostgreSQL 18
-- would open them to plan with.
create or replace function smsretry.found_sid(provider_message_id jsonb)
returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    if pg_column_size(provider_message_id) >= 10000 then
        return null;
    end if;
    return left(
        nullif(btrim(provider_message_id ->> 'twilio_sid'), ''),
        64
    );
end
$$;
