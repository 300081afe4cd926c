-- Tell how many characters a reason or an error may have: each claim's answer carries them.
create or replace function smsretry.longest_reason()
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select 2000
$$;
