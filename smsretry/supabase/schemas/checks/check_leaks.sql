-- What shows rows to people whom they do not concern, or lets these change them: policies that hold for every row, views with
-- their owner's rights, publications, new rows of the queue by other rules than ours. Warnings, because somebody may have
-- meant them.
create or replace function smsretry.check_leaks()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with whom (named, words) as (values ('anon', 'anyone with the anon key'), ('authenticated', 'every signed-in user')),
    open as (
        select y.polname, r.relname, c.command, c.privilege, g.rolname, w.words
        from smsretry.our_relations() t
        join pg_class r on r.oid = t.id and r.relnamespace = 'public'::regnamespace
        join pg_policy y on y.polrelid = r.oid and y.polpermissive
        join (values ('r', 'read', 'select'), ('a', 'add', 'insert'), ('w', 'change', 'update'), ('d', 'delete', 'delete'))
            as c (command, does, privilege) on y.polcmd in (c.command::"char", '*')
        join pg_roles g on y.polroles @> array[0::oid] or g.oid = any (y.polroles)
        join whom w on w.named = g.rolname
        where smsretry.holds_for_all(case c.command when 'a' then coalesce(pg_get_expr(y.polwithcheck, y.polrelid), pg_get_expr(y.polqual, y.polrelid))
                                                    else pg_get_expr(y.polqual, y.polrelid) end)
          and (has_table_privilege(g.oid, r.oid, c.privilege)
               or c.command <> 'd' and has_any_column_privilege(g.oid, r.oid, c.privilege))
    )
    select 'policy "' || o.polname || '" of ' || o.relname, true,
           'lets ' || string_agg(distinct o.words, ' and ') || case
               when o.command = 'a' and o.relname in ('sms_retry_queue', 'scheduled_sends') then ' have any other''s texts sent: drop or narrow it'
               else case o.command when 'r' then ' read' when 'w' then ' change' when 'd' then ' delete' else ' add' end
                   || case o.command when 'a' then ' rows of anybody''s' else ' all rows' end || ': drop or narrow it, unless that is meant' end
    from open o
    group by o.polname, o.relname, o.command
    union all
    select 'policy "' || y.polname || '" of sms_retry_queue', true,
           'lets every signed-in user add rows that smsretry''s own policy refuses, unless that is meant: rows that are not '
               || 'pending, or for another''s text. Run: drop policy ' || quote_ident(y.polname) || ' on public.sms_retry_queue'
    from pg_policy y
    where y.polrelid = to_regclass('public.sms_retry_queue') and y.polpermissive and y.polcmd in ('a', '*')
      and y.polname <> 'Owners queue retries of their texts'
      and exists (select from pg_roles g where g.rolname = 'authenticated' and has_any_column_privilege(g.oid, y.polrelid, 'insert')
                  and (y.polroles @> array[0::oid] or g.oid = any (y.polroles)))
      and not exists (select from open o where o.polname = y.polname and o.relname = 'sms_retry_queue' and o.command = 'a')
    union all
    select 'view ' || v.oid::regclass, true,
           'shows ' || string_agg(distinct w.words, ' and ') || ' rows of ' || string_agg(distinct t.named, ', ')
               || ' with its owner''s rights, past row level security, unless that is meant. Run: alter view ' || v.oid::regclass
               || ' set (security_invoker = true)'
    from smsretry.our_relations() t
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.id and d.classid = 'pg_rewrite'::regclass and d.deptype = 'n'
    join pg_rewrite u on u.oid = d.objid
    join pg_class v on v.oid = u.ev_class and v.relkind = 'v' and v.oid <> t.id
    join whom w on has_any_column_privilege(w.named, v.oid, 'select')
    where t.relkind in ('r', 'p') and coalesce(v.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) is false
    group by v.oid
    union all
    select 'publication ' || p.pubname, true,
           'carries ' || count(*) || ' tables of the schema smsretry out of the database, unless that is meant: drop the schema from it'
    from pg_publication_tables p
    join pg_publication b on b.pubname = p.pubname and not b.puballtables
    where p.schemaname = 'smsretry' and not exists (select from pg_publication_rel e where e.prpubid = b.oid)
    group by p.pubname
$$;
