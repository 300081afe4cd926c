-- What the application may have made or set in the tables named by $1, a row a fact: kind, table, name, how it is.
with tables as (
    select c.oid as id, c.relname::text as relation, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relacl
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname = any ($1)
)
select 'table', t.relation, 'row level security',
       case when t.relrowsecurity then 'on' else 'off' end || case when t.relforcerowsecurity then ', forced' else '' end
from tables t
union all
select 'table', t.relation, 'storage option ' || split_part(o, '=', 1), split_part(o, '=', 2)
from tables t cross join lateral unnest(t.reloptions) o
union all
select 'column', t.relation, a.attname::text,
       pg_catalog.format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
           || case a.attidentity when '' then '' else ' identity' end
           || coalesce(case a.attgenerated when '' then ' default ' else ' generated ' end
                       || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
from tables t
join pg_catalog.pg_attribute a on a.attrelid = t.id and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
union all
select 'constraint', t.relation, k.conname::text, pg_catalog.pg_get_constraintdef(k.oid)
from tables t join pg_catalog.pg_constraint k on k.conrelid = t.id and k.contype not in ('n', 't')
union all
select 'index', t.relation, c.relname::text, pg_catalog.pg_get_indexdef(i.indexrelid)
from tables t join pg_catalog.pg_index i on i.indrelid = t.id join pg_catalog.pg_class c on c.oid = i.indexrelid
where not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.conrelid = t.id)
union all
select 'trigger', t.relation, g.tgname::text,
       pg_catalog.pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then '' else ' (' || g.tgenabled::text || ')' end
from tables t join pg_catalog.pg_trigger g on g.tgrelid = t.id and not g.tgisinternal
union all
select 'rule', t.relation, r.rulename::text, pg_catalog.pg_get_ruledef(r.oid)
from tables t join pg_catalog.pg_rewrite r on r.ev_class = t.id
union all
select 'publication', t.relation, p.pubname::text, ''
from tables t
join pg_catalog.pg_publication_rel r on r.prrelid = t.id join pg_catalog.pg_publication p on p.oid = r.prpubid
union all
select 'comment', t.relation, coalesce(a.attname::text, 'the table'), d.description
from tables t
join pg_catalog.pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = t.id
left join pg_catalog.pg_attribute a on a.attrelid = t.id and a.attnum = d.objsubid and d.objsubid > 0
union all
select 'grant', t.relation, case g.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(g.grantee)::text end,
       g.privilege_type || case when a.attname is null then '' else ' (' || a.attname || ')' end
from tables t
left join lateral (
    select null::name as attname, t.relacl as acl
    union all
    select a.attname, a.attacl from pg_catalog.pg_attribute a where a.attrelid = t.id and a.attacl is not null) a on true
cross join lateral pg_catalog.aclexplode(a.acl) g
