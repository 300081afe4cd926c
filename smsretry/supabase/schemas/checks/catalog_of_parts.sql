-- Indexes, triggers, policies, rules and tables that inherit as the catalog has them. Of an index on a table of the application's, which may be
-- its own, only what it begins with counts.
create or replace function smsretry.catalog_of_parts()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select 'index', r.named, c.relname::text, jsonb_build_object(
        'definition', case when r.ours then pg_get_indexdef(i.indexrelid) else pg_get_indexdef(i.indexrelid, 1, true) end,
        'valid', i.indisvalid and i.indisready and i.indislive)
    from smsretry.our_relations() r
    join pg_index i on i.indrelid = r.id
    join pg_class c on c.oid = i.indexrelid
    -- A constraint's own is told as the constraint, unless it cannot be used.
    where not (i.indisvalid and i.indisready and i.indislive)
       or not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    union all
    select 'trigger', r.named, t.tgname::text, jsonb_build_object(
        'definition', pg_get_triggerdef(t.oid),
        'fires', case t.tgenabled when 'D' then 'never' when 'R' then 'for replicas alone' else 'yes' end)
    from smsretry.our_relations() r
    join pg_trigger t on t.tgrelid = r.id and not t.tgisinternal
    union all
    select 'policy', r.named, y.polname::text, jsonb_build_object(
        'for', y.polcmd, 'permissive', y.polpermissive,
        'to', coalesce((select string_agg(o.rolname, ', ' order by o.rolname) from pg_roles o where o.oid = any (y.polroles)), 'public'),
        'using', regexp_replace(coalesce(pg_get_expr(y.polqual, y.polrelid), ''), '\s+', ' ', 'g'),
        'with check', regexp_replace(coalesce(pg_get_expr(y.polwithcheck, y.polrelid), ''), '\s+', ' ', 'g'))
    from smsretry.our_relations() r
    join pg_policy y on y.polrelid = r.id
    where r.ours
    union all
    select 'rule', r.named, w.rulename::text, '{}'
    from smsretry.our_relations() r
    join pg_rewrite w on w.ev_class = r.id and w.rulename <> '_RETURN'
    where r.ours
    union all
    select 'child', r.named, h.inhrelid::regclass::text, '{}'
    from smsretry.our_relations() r
    join pg_inherits h on h.inhparent = r.id
    where r.ours and r.relkind = 'r'
$$;
