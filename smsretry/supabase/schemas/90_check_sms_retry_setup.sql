-- What is right, what is not and what to do about it: for `smsretry doctor`. Reads only.
-- functions: the names of the API functions that the caller's version of the package ships.
create or replace function public.check_sms_retry_setup(functions text[])
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with api (name) as (
        select unnest(check_sms_retry_setup.functions)
    ),
    callable as (
        select a.name, count(p.oid) as found,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from api a
        left join pg_catalog.pg_proc p on p.proname = a.name and p.pronamespace = 'public'::regnamespace
        group by a.name
    ),
    findings (subject, ok, advice) as (
        select 'function ' || c.name, c.found = 1 and c.by_service and not c.by_others,
               case when c.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                    when c.found > 1 then 'exists ' || c.found || ' times: drop the versions that are not smsretry''s'
                    when not c.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                    else 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`' end
        from callable c
        union all
        select 'functions', false, 'no names were given, so no function was checked'
        where not exists (select 1 from api)
        union all
        select 'row level security of ' || t.name, coalesce(r.relrowsecurity, false),
               case when r.oid is null then 'the table is missing: run `smsretry migrate`'
                    else 'is off: anyone with the anon key may read it. Run: alter table public.' || t.name || ' enable row level security' end
        from unnest(array['businesses', 'customers', 'send_logs', 'sms_retry_queue', 'sms_send_attempts']) as t (name)
        left join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'only service_role changes ' || t.name,
               not exists (
                   select 1 from unnest(array['anon', 'authenticated']) as g (role)
                   where has_table_privilege(g.role, r.oid, 'update, delete, truncate')
                      or has_any_column_privilege(g.role, r.oid, 'update')),
               'anon or authenticated may update or delete: revoke it, or run `smsretry migrate --again`'
        from unnest(array['sms_retry_queue', 'sms_send_attempts']) as t (name)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'one live row a text', exists (
                   select 1 from pg_catalog.pg_indexes i
                   where i.schemaname = 'public' and i.indexname = 'sms_retry_queue_one_live_row'),
               'the unique index sms_retry_queue_one_live_row is missing: run `smsretry migrate --again`'
        union all
        select 'rules of the state machine', count(*) filter (where not k.convalidated) = 0,
               'some rows break ' || string_agg(k.conname, ', ') filter (where not k.convalidated)
                   || ': mend or delete them, then run `smsretry migrate --again`'
        from pg_catalog.pg_constraint k
        where k.conrelid = 'public.sms_retry_queue'::regclass and k.contype = 'c' and k.conname like 'sms\_retry\_queue\_%'
    )
    select f.subject, f.ok, case when not f.ok then f.advice end from findings f
    union all -- warnings: set by somebody or passing, and easily forgotten
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuit c
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

revoke all on function public.check_sms_retry_setup from public, anon, authenticated;
grant execute on function public.check_sms_retry_setup to service_role;
