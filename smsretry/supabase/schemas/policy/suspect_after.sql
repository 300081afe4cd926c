-- A row whose claims died so often is under suspicion: it may be what kills its worker, so it is claimed alone.
create or replace function smsretry.suspect_after()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 2 $$;
