-- After so many claims that died, a row is suspect: it may kill its worker, so it is claimed alone.
create or replace function smsretry.suspect_after()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 2 $$;
