-- The businesses that use a sender.
create or replace function smsretry.users_of(sender_id uuid)
returns uuid[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(distinct b.business_id), '{}') from smsretry.business_senders b where b.sender_id = users_of.sender_id
$$;
