-- Our functions as the catalog has them, however the server is set to print: all in the schema smsretry, and those in public that have one of our names, whoever
-- made them. A body is told by its md5. kind: language, prokind, volatility and what the planner is told. callers: who may call it of the three roles of a request.
create or replace function smsretry.catalog_of_functions(names text[])
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select 'function', n.nspname::text, p.proname::text, jsonb_build_object(
        'signature', p.oid::regprocedure::text, 'parameters', pg_get_function_arguments(p.oid),
        'returns', coalesce(pg_get_function_result(p.oid), ''),
        'security', case when p.prosecdef then 'definer' else 'invoker' end,
        'settings', coalesce(array_to_string(p.proconfig, '; '), ''),
        'kind', concat_ws(' ', l.lanname, p.prokind, p.provolatile, 'parallel', p.proparallel, 'cost', p.procost, 'rows', p.prorows)
            || case when p.proisstrict then ' strict' else '' end || case when p.proleakproof then ' leakproof' else '' end,
        'body', md5(p.prosrc),
        'callers', coalesce((select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles r
                             where r.rolname in ('anon', 'authenticated', 'service_role')
                               and has_function_privilege(r.oid, p.oid, 'execute')), ''))
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    join pg_language l on l.oid = p.prolang
    where n.nspname = 'smsretry' or n.nspname = 'public' and p.proname = any (catalog_of_functions.names)
$$;
