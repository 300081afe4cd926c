-- What the three roles of a request may do with schema, tables and views, directly or because everybody may. Then what
-- belongs to somebody else than most of ours: an owner may do everything, and a function runs with its owner's rights if it
-- says so. And which publications carry a table of ours away by name.
create or replace function smsretry.catalog_of_rights()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
    with roles (id, named) as (
        select o.oid, o.rolname::text from pg_roles o where o.rolname in ('anon', 'authenticated', 'service_role')
    ),
    may (part_of, role, privilege) as (
        select r.named, o.named, p.privilege
        from smsretry.our_relations() r cross join roles o
        cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as p (privilege)
        where has_table_privilege(o.id, r.id, p.privilege)
        union all
        select r.named, o.named, p.privilege || ' of ' || a.attname
        from smsretry.our_relations() r cross join roles o
        cross join unnest(array['select', 'insert', 'update', 'references']) as p (privilege)
        join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
        where r.ours and has_column_privilege(o.id, r.id, a.attnum, p.privilege) and not has_table_privilege(o.id, r.id, p.privilege)
        union all
        select 'smsretry', o.named, p.privilege
        from roles o cross join unnest(array['usage', 'create']) as p (privilege)
        where has_schema_privilege(o.id, 'smsretry', p.privilege)
    ),
    owned (what, named, owner) as (
        select case when r.relkind in ('v', 'm') then 'view' else 'table' end, r.named, c.relowner
        from smsretry.our_relations() r join pg_class c on c.oid = r.id where r.ours
        union all
        select 'function', p.oid::regprocedure::text, p.proowner
        from pg_proc p where p.pronamespace = to_regnamespace('smsretry')
           or p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
        union all
        select 'schema', n.nspname, n.nspowner from pg_namespace n where n.nspname = 'smsretry'
    ),
    owners (usual) as (select mode() within group (order by o.owner) from owned o)
    select 'grant', m.part_of, m.role, jsonb_build_object('may', to_jsonb(array_agg(m.privilege order by m.privilege)))
    from may m group by m.part_of, m.role
    union all
    select 'owner', o.what, o.named, jsonb_build_object('is', o.owner::regrole::text, 'must be', w.usual::regrole::text)
    from owned o cross join owners w join pg_roles g on g.oid = o.owner
    where o.owner <> w.usual and not g.rolsuper
    union all
    select 'publication', r.named, b.pubname::text, '{}'
    from smsretry.our_relations() r
    join pg_publication_rel e on e.prrelid = r.id
    join pg_publication b on b.oid = e.prpubid
    where r.ours and r.named <> 'public.sms_retry_queue'
$$;
