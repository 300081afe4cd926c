-- The most rows of one answer: PostgREST cuts off answers at 1,000.
create or replace function smsretry.largest_claim()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 500 $$;
