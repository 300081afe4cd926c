-- Characters of a reason or an error at most, wherever one is kept: each claim's answer carries them. The
-- constraints of the tables hold the number itself: see smsretry.longest_body.
create or replace function smsretry.longest_reason()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 2000 $$;
