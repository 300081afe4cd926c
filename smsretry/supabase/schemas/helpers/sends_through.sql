-- Whether a business's texts, of either class, go out from one of these senders now (as
-- smsretry.receivers_of has them).
create or replace function smsretry.sends_through(business_id uuid, senders text[])
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select 1
        from unnest(array['marketing', 'transactional']) c (message_class)
        cross join lateral smsretry.sender_of(
            sends_through.business_id,
            c.message_class
        ) s
        where s.sent_by = any (sends_through.senders)
    );
end
$$;
