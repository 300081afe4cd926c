-- Tell how many characters a text may have (Twilio's API reference, Body; error 21617). A claim
-- returns one more of a longer body. Constraints repeat the numbers of this folder, because a check
-- does not follow a function; a test compares them.
create or replace function smsretry.longest_body()
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select 1600
$$;
