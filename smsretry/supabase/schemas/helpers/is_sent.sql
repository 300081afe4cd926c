-- Whether a send log says that its text was sent: it has the provider's SID, or a status that a webhook writes only after the provider
-- accepted the text. The one definition, for begin, for a look and for the webhook. By its columns and not by its row: the
-- row would be read with whatever else a tenant keeps in it.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return smsretry.found_sid(is_sent.provider_message_id) is not null
        or coalesce(is_sent.status in ('sent', 'delivered', 'undelivered'), false);
end
$$;
