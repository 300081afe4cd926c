-- The times that we accept; an application may write others (infinity, years BC). Table constraints repeat the days.
create or replace function smsretry.century()
returns tstzrange language sql immutable set search_path = pg_catalog, pg_temp as $$
    select tstzrange('2000-01-01 00:00+00', '2100-01-01 00:00+00', '[]')
$$;
