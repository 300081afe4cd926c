-- Examine for `smsretry doctor` what the catalog has of us and of the tables that we share. Each
-- object comes with the md5 of its definition and of what the roles of a request may do with it:
-- the same on PostgreSQL 15 to 18, after a dump, and however the server is set to print. The
-- application's own objects are among them; smsretry/adapters/migrations/checksums.tsv tells which
-- are ours. A table of ours is one object with all its columns; of a shared one each column is, and
-- rights only of the queue. The clock is left out: the embedded stack's moves.
create or replace function public.examine_sms_retries()
returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set timezone = 'UTC' set datestyle = 'ISO'
set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    with roles (id, name) as (
        select o.oid, o.rolname || ' '
        from pg_roles o
        where o.rolname in ('anon', 'authenticated', 'service_role')
    ),
    relations (id, named, ours, guarded) as (
        select
            c.oid,
            c.oid::regclass::text,
            o.ours,
            o.ours or c.relname = 'sms_retry_queue'
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        cross join lateral (
            select n.nspname = 'smsretry'
                or c.relname = 'sms_send_attempts'
        ) o (ours)
        where c.relkind in ('r', 'p', 'v')
          and (
              n.nspname = 'smsretry'
              or n.nspname = 'public'
                  and c.relname in (
                      'businesses',
                      'customers',
                      'send_logs',
                      'scheduled_sends',
                      'sms_retry_queue',
                      'sms_send_attempts'
                  )
          )
    ),
    columns (id, name, definition, rights) as (
        select
            r.id,
            a.attname::text,
            concat_ws(
                ' ',
                a.attname,
                format_type(a.atttypid, a.atttypmod),
                a.attidentity,
                a.attgenerated,
                case
                    when r.ours
                        then concat_ws(
                            ' ',
                            a.attnotnull,
                            pg_get_expr(d.adbin, d.adrelid)
                        )
                end
            ),
            (
                select string_agg(o.name || p.name, ',' order by o.name, p.name)
                from roles o
                cross join unnest('{select,insert,update}'::text[]) p (name)
                where r.guarded
                  and has_column_privilege(o.id, r.id, a.attnum, p.name)
            )
        from relations r
        join pg_attribute a
            on a.attrelid = r.id
              and a.attnum > 0
              and not a.attisdropped
        left join pg_attrdef d
            on d.adrelid = a.attrelid and d.adnum = a.attnum
    ),
    objects (object, definition) as (
        -- Without our search_path a function is the application's, which may be in the way of one
        -- of ours.
        select
            case
                when n.nspname = 'smsretry'
                  or 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
                    then ''
                else 'foreign '
            end || 'function ' || p.oid::regprocedure,
            concat(
                pg_get_functiondef(p.oid),
                (
                    select string_agg(o.name, '' order by o.name)
                    from roles o
                    where has_function_privilege(o.id, p.oid, 'execute')
                )
            )
        from pg_proc p
        join pg_namespace n
            on n.oid = p.pronamespace
              and n.nspname in ('public', 'smsretry')
        where p.prokind in ('f', 'p')
          and p.oid::regprocedure::text <> 'smsretry.clock()'
        union all
        select
            'schema smsretry',
            string_agg(o.name, '' order by o.name)
        from roles o
        where has_schema_privilege(o.id, to_regnamespace('smsretry'), 'usage')
        union all
        select
            'domain ' || k.contypid::regtype,
            string_agg(pg_get_constraintdef(k.oid), '' order by k.conname)
        from pg_constraint k
        where k.contypid <> 0
          and k.connamespace = to_regnamespace('smsretry')
        group by k.contypid
        union all
        select
            case c.relkind when 'v' then 'view ' else 'table ' end || r.named,
            concat(
                c.relkind,
                c.relpersistence,
                c.relrowsecurity,
                case when r.ours then c.relforcerowsecurity end,
                case c.relkind
                    when 'v' then concat(c.reloptions, pg_get_viewdef(r.id))
                end,
                (
                    select string_agg(
                        concat(o.definition, o.rights),
                        ','
                        order by o.name
                    )
                    from columns o
                    where o.id = r.id and r.ours
                ),
                (
                    select string_agg(o.name || p.name, ',' order by o.name, p.name)
                    from roles o
                    cross join unnest('{delete,truncate}'::text[]) p (name)
                    where r.guarded and has_table_privilege(o.id, r.id, p.name)
                )
            )
        from relations r
        join pg_class c on c.oid = r.id
        union all
        select
            o.object || r.named || '.' || c.name,
            o.definition
        from relations r
        join columns c on c.id = r.id
        cross join lateral (
            values
                ('column ', c.definition),
                ('rights on ', c.rights)
        ) o (object, definition)
        where not r.ours and (r.guarded or o.object = 'column ')
        union all
        select
            'constraint ' || k.conname || ' on ' || r.named,
            regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '')
        from relations r
        join pg_constraint k
            on k.conrelid = r.id
              and k.contype in ('c', 'f', 'p', 'u', 'x')
        union all
        -- It says ON ONLY for a partitioned table.
        select
            'index ' || c.relname || ' on ' || r.named,
            concat(
                replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '),
                i.indisvalid and i.indisready and i.indislive
            )
        from relations r
        join pg_index i on i.indrelid = r.id
        join pg_class c on c.oid = i.indexrelid
        where not exists (
            select from pg_constraint k
            where k.conindid = i.indexrelid
              and k.contype in ('p', 'u', 'x')
        )
        union all
        select
            'trigger ' || t.tgname || ' on ' || r.named,
            concat(pg_get_triggerdef(t.oid), t.tgenabled in ('O', 'A'))
        from relations r
        join pg_trigger t
            on t.tgrelid = r.id and not t.tgisinternal
        union all
        select
            'policy ' || quote_ident(p.polname) || ' on ' || r.named,
            concat(
                p.polcmd,
                p.polpermissive,
                p.polroles::regrole[],
                pg_get_expr(p.polqual, p.polrelid),
                pg_get_expr(p.polwithcheck, p.polrelid)
            )
        from relations r
        join pg_policy p on p.polrelid = r.id
    )
    -- Up to version 15 PostgreSQL names the table of each column; brackets are set anew when a dump
    -- is read; a cast to text, and then a name for its column, is written where the application's
    -- column is a varchar.
    select jsonb_object_agg(
        o.object,
        md5(
            case
                when o.object like '%function %' then o.definition
                else regexp_replace(
                    o.definition,
                    '[\s()]+|\sAS \w+|::text\M(?!\[)|\m[a-z_]+\.(?=[a-z_])',
                    '',
                    'g'
                )
            end
        )
    )
    from objects o
$$;
