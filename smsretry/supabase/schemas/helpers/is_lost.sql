-- Whether the provider reported a message as not delivered. It may still be delivered.
create or replace function smsretry.is_lost(status text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(is_lost.status in ('undelivered', 'failed', 'canceled'), false)
$$;
