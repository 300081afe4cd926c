-- Whether a business has to wait until somebody has said what a text means: where it was heard, and wherever its number becomes
-- known later that shares a sender which heard it, as with a STOP.
create or replace function smsretry.is_unread(heard smsretry.inbound_texts, business_id uuid)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return heard.phone is not null
        and is_unread.business_id <> all (heard.answered)
        and (is_unread.business_id = any (heard.businesses)
             or heard.senders is null
             or smsretry.sends_through(is_unread.business_id, heard.senders));
end
$$;
