-- Tables, views, columns and constraints as the catalog has them, in words that are the same on each version of PostgreSQL.
create or replace function smsretry.catalog_of_tables()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select case when r.relkind in ('v', 'm') then 'view' else 'table' end, n.nspname::text, c.relname::text,
           jsonb_build_object(
               'is', case r.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                                    when 'm' then 'materialized view' else 'foreign table' end,
               'logged', c.relpersistence = 'p', 'row security', c.relrowsecurity, 'forced', c.relforcerowsecurity,
               'options', to_jsonb(array(select o from unnest(c.reloptions) o order by o)),
               -- Up to version 15 PostgreSQL names the table of each column, also where there is but one. It writes a cast to
               -- text where the application's column is a varchar or an enum.
               'definition', case when r.relkind in ('v', 'm')
                   then md5(regexp_replace(regexp_replace(pg_get_viewdef(r.id), '\m[a-z_]+\.(?=[a-z_])', '', 'g'), '[\s()]+|::text\M(?!\[)', '', 'g'))
                   else '' end)
    from smsretry.our_relations() r
    join pg_class c on c.oid = r.id
    join pg_namespace n on n.oid = c.relnamespace
    union all
    select 'column', r.named, a.attname::text, jsonb_build_object(
        'type', format_type(a.atttypid, a.atttypmod)
            || coalesce((select ' collate ' || a.attcollation::regcollation from pg_type y
                         where y.oid = a.atttypid and a.attcollation <> y.typcollation), ''),
        'not null', a.attnotnull,
        'default', coalesce(pg_get_expr(d.adbin, d.adrelid), ''), 'generated', a.attgenerated::text || a.attidentity::text)
    from smsretry.our_relations() r
    join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    -- A foreign key is kept by triggers, also of the other table, which can be switched off.
    select 'constraint', r.named, k.conname::text, jsonb_build_object(
        'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), 'validated', k.convalidated,
        'switched off', to_jsonb(array(
            select format('alter table %s enable trigger %I', t.tgrelid::regclass, t.tgname)
            from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A') order by t.tgname)))
    from smsretry.our_relations() r
    join pg_constraint k on k.conrelid = r.id and k.contype in ('c', 'f', 'p', 'u', 'x')
$$;
