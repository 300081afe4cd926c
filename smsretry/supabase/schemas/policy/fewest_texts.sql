-- With fewer texts than this, a share that arrived means nothing.
create or replace function smsretry.fewest_texts()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 20 $$;
