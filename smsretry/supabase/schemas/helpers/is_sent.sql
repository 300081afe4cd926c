-- Whether a send log says that its text was sent: by its SID (as smsretry.found_sid), or a status that follows the provider's
-- acceptance. By columns and not by row, because a tenant may keep anything in the row.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce(is_sent.status in ('sent', 'delivered', 'undelivered'), false)
        or case when pg_column_size(is_sent.provider_message_id) < 10000
                then coalesce(btrim(is_sent.provider_message_id ->> 'twilio_sid'), '') <> '' else false end;
end
$$;
