-- The day of the carriers that a moment is in. "Resets at 00:00 Pacific": T-Mobile's daily limit on a brand.
create or replace function smsretry.carriers_day(at timestamptz, out begins timestamptz, out ends timestamptz)
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_zone constant text := 'America/Los_Angeles';
    v_day constant timestamp := date_trunc('day', carriers_day.at at time zone k_zone);
begin
    begins := v_day at time zone k_zone;
    ends := (v_day + interval '1 day') at time zone k_zone;
end
$$;
