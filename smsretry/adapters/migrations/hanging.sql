-- What hangs on the types of columns (their tables $1, their names $2), and on the views and generated columns among that, in
-- words, column by column. Keys and indexes of bare columns are left out: PostgreSQL rebuilds them itself.
with recursive hanging as (
    select w.relation, w.name, d.classid, d.objid, d.deptype, 0 as depth
    from unnest($1::text[], $2::text[]) w (relation, name)
    join pg_catalog.pg_attribute a
        on a.attrelid = to_regclass('public.' || quote_ident(w.relation)) and a.attname = w.name and not a.attisdropped
    join pg_catalog.pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
    union
    select h.relation, h.name, d.classid, d.objid, d.deptype, h.depth + 1
    from hanging h
    left join pg_catalog.pg_rewrite v on h.classid = 'pg_rewrite'::regclass and v.oid = h.objid
    left join (pg_catalog.pg_attrdef g
               join pg_catalog.pg_attribute a on a.attrelid = g.adrelid and a.attnum = g.adnum and a.attgenerated <> '')
        on h.classid = 'pg_attrdef'::regclass and g.oid = h.objid
    join pg_catalog.pg_depend d on d.refclassid = 'pg_class'::regclass and (
        d.refobjid = v.ev_class and d.objid <> v.oid or d.refobjid = g.adrelid and d.refobjsubid = g.adnum and d.objid <> g.oid)
    where h.depth < 20
)
select h.relation, h.name, string_agg(distinct w.words, ', ' order by w.words)
from hanging h
left join pg_catalog.pg_rewrite v on h.classid = 'pg_rewrite'::regclass and v.oid = h.objid
left join pg_catalog.pg_attrdef g on h.classid = 'pg_attrdef'::regclass and g.oid = h.objid
left join pg_catalog.pg_attribute a on a.attrelid = g.adrelid and a.attnum = g.adnum
left join pg_catalog.pg_constraint k on h.classid = 'pg_constraint'::regclass and k.oid = h.objid
left join pg_catalog.pg_trigger t on h.classid = 'pg_trigger'::regclass and t.oid = h.objid
left join pg_catalog.pg_index i on h.classid = 'pg_class'::regclass and i.indexrelid = h.objid
left join pg_catalog.pg_constraint x on x.conindid = i.indexrelid and x.contype = 'x'
cross join lateral (select case
    when v.oid is not null then pg_describe_object('pg_class'::regclass, v.ev_class, 0)
    when g.oid is not null then pg_describe_object('pg_class'::regclass, g.adrelid, g.adnum)
    when x.oid is not null then pg_describe_object('pg_constraint'::regclass, x.oid, 0)
    else pg_describe_object(h.classid, h.objid, 0) end as words) w
where case
    when g.oid is not null then a.attgenerated <> ''
    when k.oid is not null then k.contype in ('c', 'f', 'x')
    when t.oid is not null then not t.tgisinternal
    when h.classid = 'pg_class'::regclass then (h.depth > 0 or i.indpred is not null or i.indexprs is not null)
        and not exists (select from pg_catalog.pg_constraint o where o.conindid = h.objid and o.contype in ('p', 'u'))
    else h.classid not in ('pg_type'::regclass, 'pg_statistic_ext'::regclass) and h.deptype <> 'i' or v.oid is not null end
group by h.relation, h.name
