-- Return a time that the application wrote; null: one that we do not accept (infinity, years BC).
-- Constraints of tables repeat the two dates.
create or replace function smsretry.on_calendar(at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            then at
    end
$$;
