-- A time that the application wrote; null if it is none that we accept (infinity, years BC). Table
-- constraints repeat the days.
create or replace function smsretry.on_calendar(at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when on_calendar.at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            then on_calendar.at
    end
$$;
