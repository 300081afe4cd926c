-- When the carriers' day began. "Resets at 00:00 Pacific": T-Mobile's daily limit on a brand.
create or replace function smsretry.carriers_day(at timestamptz)
returns timestamptz language sql stable set search_path = pg_catalog, pg_temp as $$
    select date_trunc('day', carriers_day.at at time zone 'America/Los_Angeles') at time zone 'America/Los_Angeles'
$$;
