-- As many rows as a claim of row_count returns (null: the largest claim); each row holds that number. Counting the rows
-- shows whether the project's max-rows cuts off an answer.
create or replace function public.count_sms_answer(row_count integer default null)
returns setof integer language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select l.most from smsretry.rows_of_claim(coalesce(count_sms_answer.row_count, 1000)) as l (most)
    cross join generate_series(1, l.most)
$$;
