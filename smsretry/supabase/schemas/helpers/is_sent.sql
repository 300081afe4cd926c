-- Say whether a send log tells that its text was sent: by its SID (smsretry.found_sid), or by a
-- status that follows the provider's acceptance. By columns and not by row, because a tenant may
-- keep anything in the row.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce(status in ('sent', 'delivered', 'undelivered'), false)
        or smsretry.found_sid(provider_message_id) is not null;
end
$$;
