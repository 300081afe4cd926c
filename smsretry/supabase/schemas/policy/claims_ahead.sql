-- How long before a sender is free its next texts may be claimed, so that they are ready when it is. A worker that waits wakes
-- up a little later, and so claims for several senders at once.
create or replace function smsretry.claims_ahead()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '1 second' $$;
