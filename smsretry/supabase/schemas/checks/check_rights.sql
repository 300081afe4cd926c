-- Whether the roles of a request may do with what is ours what they need, and no more, directly or because everybody may.
create or replace function smsretry.check_rights()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
    with functions (id) as (
        select p.oid from pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace
           or p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
    ),
    wrong (words) as (
        select o.rolname || ' may call ' || string_agg(f.id::regprocedure::text, ', ' order by f.id::regprocedure::text)
        from functions f join pg_roles o on o.rolname in ('anon', 'authenticated') and has_function_privilege(o.oid, f.id, 'execute')
        group by o.rolname
        union all
        select 'service_role may not call ' || string_agg(f.id::regprocedure::text, ', ' order by f.id::regprocedure::text)
        from functions f where not has_function_privilege('service_role', f.id, 'execute')
        having count(*) > 0
        union all
        select o.rolname || ' may use the schema smsretry'
        from pg_roles o where o.rolname in ('anon', 'authenticated') and has_schema_privilege(o.oid, 'smsretry', 'usage, create')
        union all
        select 'service_role may not use the schema smsretry' where not has_schema_privilege('service_role', 'smsretry', 'usage')
        union all
        select o.rolname || ' may ' || string_agg(distinct p.name, ', ') || ' ' || r.named
        from smsretry.our_relations() r
        join pg_roles o on o.rolname in ('anon', 'authenticated')
        cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p (name)
        where r.ours and not (o.rolname = 'authenticated' and r.named like 'public.%' and p.name = 'select')
          and has_table_privilege(o.oid, r.id, p.name)
        group by o.rolname, r.named
        union all
        -- Column by column: a tenant adds rows in the original columns alone.
        select o.rolname || ' may ' || p.name || ' ' || string_agg(distinct a.attname, ', ' order by a.attname) || ' of ' || r.named
        from smsretry.our_relations() r
        join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
        join pg_roles o on o.rolname in ('anon', 'authenticated')
        cross join unnest(array['select', 'insert', 'update', 'references']) p (name)
        where r.ours and has_column_privilege(o.oid, r.id, a.attnum, p.name) and not has_table_privilege(o.oid, r.id, p.name)
          and not (o.rolname = 'authenticated' and r.named = 'public.sms_retry_queue' and p.name = 'insert' and a.attname in (
              'id', 'business_id', 'send_log_id', 'customer_id', 'status', 'attempt_count', 'max_attempts', 'scheduled_for',
              'last_error', 'reason'))
        group by o.rolname, p.name, r.named
        union all
        select 'service_role may not ' || p.name || ' ' || string_agg(r.named, ', ' order by r.named)
        from smsretry.our_relations() r
        cross join unnest(array['select', 'insert', 'update']) p (name)
        where r.relkind in ('r', 'p') and not has_table_privilege('service_role', r.id, p.name)
          and (p.name = 'select' or r.named = 'public.customers' and p.name = 'update' or r.named in (
              'public.sms_retry_queue', 'public.sms_send_attempts', 'public.scheduled_sends', 'public.send_logs'))
        group by p.name
    )
    select 'rights', false, w.words || ', and that is not smsretry''s: run `smsretry migrate --again`' from wrong w
    union all
    select 'rights', true, null where not exists (select from wrong)
$$;
