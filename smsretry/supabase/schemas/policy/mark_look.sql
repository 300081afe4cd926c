-- How often a text is looked at again that waits because the worker and the database's mark disagree.
create or replace function smsretry.mark_look()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '15 minutes' $$;
