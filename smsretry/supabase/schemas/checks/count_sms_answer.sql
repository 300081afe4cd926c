-- As many rows as a claim takes that is asked for so many, or as the largest takes; each says how many there are. Whoever
-- counts them in the answer sees whether the project's max-rows cuts off a claim's answer.
create or replace function public.count_sms_answer(row_count integer default null)
returns setof integer language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select l.most from smsretry.rows_of_claim(coalesce(count_sms_answer.row_count, smsretry.largest_claim())) as l (most)
    cross join generate_series(1, l.most)
$$;

revoke all on function public.count_sms_answer from public, anon, authenticated;
grant execute on function public.count_sms_answer to service_role;
