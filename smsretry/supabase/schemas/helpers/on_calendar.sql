-- A time that the application wrote; null if no program can read it (infinity, years BC).
create or replace function smsretry.on_calendar(at timestamptz)
returns timestamptz language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when on_calendar.at between '1900-01-01 00:00+00' and '9999-01-01 00:00+00' then on_calendar.at end
$$;
