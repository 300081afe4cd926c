-- By how much an application's clock may be fast: an opt-in that is dated further in the future has not happened yet.
create or replace function smsretry.fast_clock()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '5 minutes' $$;
