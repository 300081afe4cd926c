-- Stands for a business where something is said to each one, also to those that come to know the number later.
create or replace function smsretry.everywhere()
returns uuid language sql immutable set search_path = pg_catalog, pg_temp as $$
    select '00000000-0000-0000-0000-000000000000'::uuid
$$;
