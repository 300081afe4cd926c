-- How many rows a claim of limit_count takes; null: 50.
create or replace function smsretry.rows_of_claim(limit_count integer)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(greatest(coalesce(rows_of_claim.limit_count, 50), 0), smsretry.largest_claim())
$$;
