-- Say whether the provider called a message lost. It may still be delivered.
create or replace function smsretry.is_lost(delivery_status text)
returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        delivery_status in ('undelivered', 'failed', 'canceled'),
        false
    )
$$;
