-- How long after a message was accepted its delivery is looked after first, so that the provider's callback may come before.
create or replace function smsretry.first_delivery_look()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '5 minutes' $$;
