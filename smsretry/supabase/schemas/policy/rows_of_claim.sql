-- Tell how many rows an answer may hold: limit_count (null: 50), and no more than 500, because
-- PostgREST cuts off answers at 1,000.
create or replace function smsretry.rows_of_claim(limit_count integer)
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(greatest(coalesce(limit_count, 50), 0), 500)
$$;
