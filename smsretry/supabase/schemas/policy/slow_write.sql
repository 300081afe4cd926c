-- When the write of one row has taken longer than this, a trigger of the application's is slow for its business, which is
-- then set apart.
create or replace function smsretry.slow_write()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '250 milliseconds' $$;

revoke all on function smsretry.slow_write from public, anon, authenticated;
grant execute on function smsretry.slow_write to service_role;
