-- Say whether texts of a business, of either class, go out from one of these senders now.
--   senders: as smsretry.receivers_of returns them
create or replace function smsretry.sends_through(business_id uuid, senders text[])
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from unnest(array['marketing', 'transactional']) c (message_class)
        cross join lateral smsretry.sender_of(
            sends_through.business_id,
            c.message_class
        ) s
        where s.sent_by = any (sends_through.senders)
    );
end
$$;
