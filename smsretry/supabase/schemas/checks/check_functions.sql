-- Whether each function exists once, as this version makes it, and only service_role may call it.
create or replace function smsretry.check_functions(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with functions (name, body) as (
        select f.value ->> 0, f.value ->> 1 from jsonb_array_elements(check_functions.wanted -> 'functions') f
    ),
    made as (
        select f.name, count(p.oid) as found, bool_and(md5(p.prosrc) = f.body) as ours,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from functions f
        left join pg_catalog.pg_proc p
            on p.proname = split_part(f.name, '.', 2) and p.pronamespace = to_regnamespace(split_part(f.name, '.', 1))
        group by f.name
    )
    select 'functions', false, 'no names were given, so no function was checked'
    where not exists (select 1 from functions)
    union all
    select 'functions (' || count(*) || ')', true, null
    from made m
    where m.name like 'public.%'
    having count(*) > 0 and bool_and(m.found = 1 and m.by_service and not m.by_others and m.ours)
    union all
    (select 'function ' || split_part(m.name, '.', 2), false,
            case when m.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                 when m.found > 1 then 'exists ' || m.found || ' times: drop the versions that are not smsretry''s'
                 when not m.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                 when m.by_others then 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`'
                 else 'is another version''s, or somebody changed it: run `smsretry migrate`, with --again if it was applied before' end
     from made m
     where m.name like 'public.%' and not coalesce(m.found = 1 and m.by_service and not m.by_others and m.ours, false)
     order by m.name)
    union all
    select 'functions of the schema smsretry', count(*) filter (where m.found <> 1 or not m.ours) = 0,
           'missing, double, changed or another version''s: '
               || string_agg(split_part(m.name, '.', 2), ', ' order by m.name) filter (where m.found <> 1 or not m.ours)
               || '. Run `smsretry migrate`, with --again if it was applied before'
    from made m
    where m.name like 'smsretry.%'
    having count(*) > 0
$$;
