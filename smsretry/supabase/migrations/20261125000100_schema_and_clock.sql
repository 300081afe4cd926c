-- ======== schemas/00_schema.sql ========
-- The home of everything internal. PostgREST does not expose it: the API is the functions in public.
create schema if not exists smsretry;
comment on schema smsretry is 'Internals of the SMS retry queue. Not exposed by PostgREST; the API is the functions in public.';

-- A tenant's insert needs nothing in it: its trigger does what it does as the owner.
revoke all on schema smsretry from public, anon, authenticated;
grant usage on schema smsretry to service_role;

-- ======== schemas/01_clock.sql ========
-- The one clock: it decides what is due, stale and expired. Only the embedded stack replaces it, so that a demo or a
-- test can move time; no role but the owner may.
create or replace function smsretry.clock()
returns timestamptz language sql volatile set search_path = pg_catalog, pg_temp as $$
    select pg_catalog.clock_timestamp()
$$;

revoke all on function smsretry.clock from public, anon, authenticated;
grant execute on function smsretry.clock to service_role;
