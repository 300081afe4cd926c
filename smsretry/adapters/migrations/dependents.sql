-- Whatever depends on one of the columns, and on the views and generated columns among that, with the statement that
-- drops it and those that make it again. `stage` orders them: what may name others is dropped first and made last.
-- Primary and unique keys and indexes of bare columns are left out: PostgreSQL rebuilds them itself.
with recursive wanted as (
    select c.oid as id, a.attnum, a.attname::text as name, format('%I.%I', n.nspname, c.relname) as relation, w.type,
           pg_catalog.format_type(a.atttypid, null) as old
    from unnest($1::text[], $2::text[], $3::text[]) as w (relation, name, type)
    join pg_catalog.pg_namespace n on n.nspname = 'public'
    join pg_catalog.pg_class c on c.relname = w.relation and c.relnamespace = n.oid
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = w.name and not a.attisdropped
),
hanging as (
    select d.classid, d.objid, d.objsubid, w.id as relation, w.name, w.old, w.type, 0 as depth
    from wanted w
    join pg_catalog.pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = w.id and d.refobjsubid = w.attnum
    union
    select d.classid, d.objid, d.objsubid, coalesce(v.ev_class, g.adrelid), coalesce(a.attname::text, h.name), h.old, h.type,
           h.depth + 1
    from hanging h
    left join pg_catalog.pg_rewrite v on h.classid = 'pg_rewrite'::regclass and v.oid = h.objid
    left join pg_catalog.pg_attrdef g on h.classid = 'pg_attrdef'::regclass and g.oid = h.objid
    left join pg_catalog.pg_attribute a on a.attrelid = g.adrelid and a.attnum = g.adnum and a.attgenerated <> ''
    join pg_catalog.pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = coalesce(v.ev_class, a.attrelid)
        and (v.oid is not null and d.objid <> v.oid or d.refobjsubid = a.attnum)
    where h.depth < 20
),
made as (
    select 10 as stage, h.depth, h.old, format('drop %s %s', k.word, c.oid::regclass) as dropped,
           format('create %s %s%s as %s', k.word, c.oid::regclass, ' with (' || array_to_string(c.reloptions, ', ') || ')',
                  rtrim(pg_catalog.pg_get_viewdef(c.oid), ';'))
           -- A Supabase project grants everything on a new view: what was taken back stays so.
           || case when c.relacl is null then '' else format('; revoke all on %s from public, anon, authenticated, service_role', c.oid::regclass) end
           || coalesce((select string_agg(format('; grant %s on %s to %s', g.privilege_type, c.oid::regclass,
                                                 case g.grantee when 0 then 'public' else g.grantee::regrole::text end), '')
                        from pg_catalog.aclexplode(c.relacl) g where g.grantee <> c.relowner), '')
           || coalesce((select string_agg('; ' || pg_catalog.pg_get_indexdef(i.indexrelid), '')
                        from pg_catalog.pg_index i where i.indrelid = c.oid), '') as made
    from hanging h
    join pg_catalog.pg_rewrite r on h.classid = 'pg_rewrite'::regclass and r.oid = h.objid
    join pg_catalog.pg_class c on c.oid = r.ev_class and c.relkind in ('v', 'm')
    cross join lateral (select case c.relkind when 'v' then 'view' else 'materialized view' end as word) k
    union all
    select 20, 0, h.old, format('drop policy %I on %s', p.polname, p.polrelid::regclass),
           format('create policy %I on %s as %s for %s to %s%s%s', p.polname, p.polrelid::regclass,
                  case when p.polpermissive then 'permissive' else 'restrictive' end,
                  case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
                  (select string_agg(case r when 0 then 'public' else r::regrole::text end, ', ') from unnest(p.polroles) r),
                  ' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
                  ' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    from hanging h join pg_catalog.pg_policy p on h.classid = 'pg_policy'::regclass and p.oid = h.objid
    union all
    select 30, 0, h.old, format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass), pg_catalog.pg_get_triggerdef(t.oid)
    from hanging h
    join pg_catalog.pg_trigger t on h.classid = 'pg_trigger'::regclass and t.oid = h.objid and not t.tgisinternal
    union all
    select 40, 0, h.old, format('drop function %s', p.oid::regprocedure), pg_catalog.pg_get_functiondef(p.oid)
    from hanging h join pg_catalog.pg_proc p on h.classid = 'pg_proc'::regclass and p.oid = h.objid
    union all
    select case k.contype when 'f' then 50 else 60 end, 0, h.old,
           format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname),
           format('alter table %s add constraint %I %s', k.conrelid::regclass, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
    from hanging h
    join pg_catalog.pg_constraint k on h.classid = 'pg_constraint'::regclass and k.oid = h.objid and k.contype in ('c', 'f', 'x')
    union all
    select 70, 0, h.old, format('drop index %s', i.indexrelid::regclass), pg_catalog.pg_get_indexdef(i.indexrelid)
    from hanging h
    join pg_catalog.pg_index i on h.classid = 'pg_class'::regclass and i.indexrelid = h.objid
    join pg_catalog.pg_class t on t.oid = i.indrelid and t.relkind in ('r', 'p') -- a view's are made with it
    where h.depth > 0
       or concat_ws(' ', pg_catalog.pg_get_expr(i.indpred, i.indrelid), pg_catalog.pg_get_expr(i.indexprs, i.indrelid))
           ~ ('\m' || h.name || '\M')
    union all
    select 80, 0, h.old,
           format('alter table %s %s', d.adrelid::regclass,
                  case a.attgenerated when '' then format('alter column %I drop default', a.attname) else format('drop column %I', a.attname) end),
           format('alter table %s %s', d.adrelid::regclass,
                  case a.attgenerated when '' then format('alter column %I set default %s', a.attname, e.said)
                      else format('add column %I %s generated always as (%s) stored', a.attname,
                                  pg_catalog.format_type(a.atttypid, a.atttypmod), e.said) end)
    from hanging h
    join pg_catalog.pg_attrdef d on h.classid = 'pg_attrdef'::regclass and d.oid = h.objid
    join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    cross join lateral (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) as said) e
)
select stage, max(depth), dropped, made, array_agg(distinct old) from made group by stage, dropped, made
order by stage, max(depth) desc, dropped
