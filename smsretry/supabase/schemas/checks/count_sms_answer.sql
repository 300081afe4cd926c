-- As many rows as are asked for, at most 500: whoever counts them in the answer sees whether the project's max-rows cuts
-- off a claim's answer.
create or replace function public.count_sms_answer(row_count integer)
returns setof integer language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select generate_series(1, least(count_sms_answer.row_count, 500))
$$;

revoke all on function public.count_sms_answer from public, anon, authenticated;
grant execute on function public.count_sms_answer to service_role;
