-- Characters of a text at most (Twilio's API reference, Body; error 21617). A claim tells it to its worker, with one
-- character more of a body that is longer. The constraint of scheduled_sends holds the number itself, because a check is not
-- asked again when a function has another answer; a test compares them.
create or replace function smsretry.longest_body()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 1600 $$;
