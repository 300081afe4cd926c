-- How many rows a call takes that is asked for so many; 50 if nothing is said.
create or replace function smsretry.rows_of_claim(limit_count integer)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(greatest(coalesce(rows_of_claim.limit_count, 50), 0), smsretry.largest_claim())
$$;
