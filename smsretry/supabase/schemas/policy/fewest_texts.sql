-- Of fewer texts than this, the share that arrived says nothing.
create or replace function smsretry.fewest_texts()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 20 $$;
