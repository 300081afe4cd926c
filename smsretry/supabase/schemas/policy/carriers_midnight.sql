-- Tell when the carriers' day turns over next. T-Mobile's daily limit on a brand "resets at 00:00
-- Pacific".
create or replace function smsretry.carriers_midnight(at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select (
        date_trunc(
            'day',
            carriers_midnight.at at time zone 'America/Los_Angeles'
        ) + interval '1 day'
    ) at time zone 'America/Los_Angeles'
$$;
