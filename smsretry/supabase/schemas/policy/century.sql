-- The times that are times of ours. What an application writes beyond them (infinity, years BC) no calendar has, and no worker
-- could read. The constraints of the tables hold the two days themselves: see smsretry.longest_body.
create or replace function smsretry.century()
returns tstzrange language sql immutable set search_path = pg_catalog, pg_temp as $$
    select tstzrange('2000-01-01 00:00+00', '2100-01-01 00:00+00', '[]')
$$;
