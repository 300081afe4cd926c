-- Whether the provider reported a message as on the phone.
create or replace function smsretry.has_arrived(status text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(has_arrived.status in ('delivered', 'read'), false)
$$;
