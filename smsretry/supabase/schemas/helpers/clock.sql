-- The one clock: it decides what is due, stale and expired. Only the embedded stack replaces it, to move time.
create or replace function smsretry.clock()
returns timestamptz language sql volatile set search_path = pg_catalog, pg_temp as $$
    select pg_catalog.clock_timestamp()
$$;
