-- What the catalog has of us and of the tables that we share, each object with the md5 of its definition: the same on PostgreSQL
-- 15 to 18, after a dump, and however the server is set to print. The application's own objects are among them; which are ours
-- is told by smsretry/adapters/migrations/checksums.tsv. Of a table of ours all columns together; of a shared one each column's
-- type. The clock is left out: the embedded stack's moves.
create or replace function smsretry.checksums()
returns table (object text, md5 text)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    with relations (id, named, ours) as (
        select c.oid, c.oid::regclass::text, n.nspname = 'smsretry' or c.relname = 'sms_send_attempts'
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v') and (n.nspname = 'smsretry' or n.nspname = 'public' and c.relname in (
            'businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts'))
    ),
    columns (id, name, type, definition) as (
        select r.id, a.attname::text, t.words, concat_ws(' ', a.attname, t.words, a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
        from relations r
        join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        cross join lateral (select concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attidentity, a.attgenerated,
            (select y.collname from pg_collation y where y.oid = a.attcollation)) as words) t
    ),
    -- A name without our search_path is the application's: it may be in the way of one of ours.
    functions (object, definition) as (
        select case when n.nspname = 'smsretry' or 'search_path=pg_catalog, pg_temp' = any (p.proconfig) then '' else 'foreign ' end
                   || 'function ' || p.oid::regprocedure,
               concat_ws(' ', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname, p.provolatile, p.proisstrict,
                   p.prosecdef, (select string_agg(s, ' ' order by s) from unnest(p.proconfig) s), p.prosrc)
        from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace and n.nspname in ('public', 'smsretry')
        join pg_language l on l.oid = p.prolang
        where p.prokind in ('f', 'p') and p.oid::regprocedure::text <> 'smsretry.clock()'
    ),
    deparsed (object, definition) as (
        -- Up to version 15 PostgreSQL names the table of each column.
        select 'view ' || r.named, concat(c.reloptions, regexp_replace(pg_get_viewdef(r.id), '\m[a-z_]+\.(?=[a-z_])', '', 'g'))
        from relations r join pg_class c on c.oid = r.id and c.relkind = 'v'
        union all
        select 'table ' || r.named, concat(c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
                   (select string_agg(o.definition, ', ' order by o.name) from columns o where o.id = r.id and r.ours))
        from relations r join pg_class c on c.oid = r.id and c.relkind <> 'v'
        union all
        select 'column ' || r.named || '.' || o.name, o.type
        from relations r join columns o on o.id = r.id where not r.ours
        union all
        select 'constraint ' || k.conname || ' on ' || r.named, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '')
        from relations r join pg_constraint k on k.conrelid = r.id and k.contype in ('c', 'f', 'p', 'u', 'x')
        union all
        select 'index ' || c.relname || ' on ' || r.named, concat(pg_get_indexdef(i.indexrelid), i.indisvalid and i.indisready and i.indislive)
        from relations r join pg_index i on i.indrelid = r.id join pg_class c on c.oid = i.indexrelid
        where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
        union all
        select 'trigger ' || t.tgname || ' on ' || r.named, concat(pg_get_triggerdef(t.oid), t.tgenabled in ('O', 'A'))
        from relations r join pg_trigger t on t.tgrelid = r.id and not t.tgisinternal
        union all
        select 'policy ' || quote_ident(p.polname) || ' on ' || r.named, concat(p.polcmd, p.polpermissive,
                   (select string_agg(o.rolname, ', ' order by o.rolname) from pg_roles o where o.oid = any (p.polroles)),
                   regexp_replace(concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), '\m[a-z_]+\.(?=[a-z_])', '', 'g'))
        from relations r join pg_policy p on p.polrelid = r.id
    )
    select f.object, md5(f.definition) from functions f
    union all
    -- Brackets are set anew when a dump is read, and a cast to text is written where the application's column is a varchar.
    select d.object, md5(regexp_replace(d.definition, '[\s()]+|::text\M(?!\[)', '', 'g')) from deparsed d
$$;
