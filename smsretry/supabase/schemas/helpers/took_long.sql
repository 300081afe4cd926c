-- Whether one row took so long to write that its business's other rows would hold up everybody.
create or replace function smsretry.took_long(began timestamptz)
returns boolean language sql volatile set search_path = pg_catalog, pg_temp as $$
    select clock_timestamp() - took_long.began > interval '250 milliseconds'
$$;
