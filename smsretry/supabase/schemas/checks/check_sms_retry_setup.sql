-- What is right, what is not and what to do about it: for `smsretry doctor`. Reads only.
-- wanted: what the caller's version of the package makes, by kind: functions ([name, md5 of the body]); columns and
-- constraints ([table, name, definition]); indexes, triggers, policies and the grants of service_role ([table, name]).
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with functions (name, body) as (
        select f.value ->> 0, f.value ->> 1 from jsonb_array_elements(check_sms_retry_setup.wanted -> 'functions') f
    ),
    made as (
        select f.name, count(p.oid) as found, bool_and(md5(p.prosrc) = f.body) as ours,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from functions f
        left join pg_catalog.pg_proc p
            on p.proname = split_part(f.name, '.', 2) and p.pronamespace = to_regnamespace(split_part(f.name, '.', 1))
        group by f.name
    ),
    parts (kind, in_table, relation, name, definition) as (
        select k.key, e.value ->> 0, to_regclass(e.value ->> 0), e.value ->> 1, e.value ->> 2
        from jsonb_each(check_sms_retry_setup.wanted) k
        cross join jsonb_array_elements(k.value) e
        where k.key <> 'functions'
    ),
    missing (kind, in_table, name, definition) as (
        select p.kind, p.in_table, p.name, p.definition
        from parts p
        where p.relation is not null and not coalesce(case p.kind
            when 'columns' then exists (
                select 1 from pg_attribute a where a.attrelid = p.relation and a.attname = p.name and not a.attisdropped)
            when 'constraints' then exists (
                select 1 from pg_constraint k where k.conrelid = p.relation and k.conname = p.name)
            when 'indexes' then exists (
                select 1 from pg_index i join pg_class c on c.oid = i.indexrelid
                where i.indrelid = p.relation and c.relname = p.name and i.indisvalid)
            when 'triggers' then exists (
                select 1 from pg_trigger t where t.tgrelid = p.relation and t.tgname = p.name and t.tgenabled <> 'D')
            when 'policies' then exists (
                select 1 from pg_policy y where y.polrelid = p.relation and y.polname = p.name)
            when 'grants' then has_table_privilege('service_role', p.relation, p.name)
        end, false)
    ),
    tables as (
        select r.oid, r.relname, r.relrowsecurity
        from unnest(array['businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts']) with ordinality as t (name, place)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        order by t.place
    ),
    findings (subject, ok, advice) as (
        select 'functions', false, 'no names were given, so no function was checked'
        where not exists (select 1 from functions)
        union all
        select 'functions (' || count(*) || ')', true, null
        from made m
        where m.name like 'public.%'
        having count(*) > 0 and bool_and(m.found = 1 and m.by_service and not m.by_others and m.ours)
        union all
        (select 'function ' || split_part(m.name, '.', 2), false,
                case when m.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                     when m.found > 1 then 'exists ' || m.found || ' times: drop the versions that are not smsretry''s'
                     when not m.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                     when m.by_others then 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`'
                     else 'is another version''s, or somebody changed it: run `smsretry migrate`, with --again if it was applied before' end
         from made m
         where m.name like 'public.%' and not coalesce(m.found = 1 and m.by_service and not m.by_others and m.ours, false)
         order by m.name)
        union all
        select 'functions of the schema smsretry', count(*) filter (where m.found <> 1 or not m.ours) = 0,
               'missing, double, changed or another version''s: '
                   || string_agg(split_part(m.name, '.', 2), ', ' order by m.name) filter (where m.found <> 1 or not m.ours)
                   || '. Run `smsretry migrate`, with --again if it was applied before'
        from made m
        where m.name like 'smsretry.%'
        having count(*) > 0
        union all
        select 'tables and views', count(*) filter (where p.relation is null) = 0,
               'missing: ' || string_agg(distinct replace(p.in_table, 'public.', ''), ', ') filter (where p.relation is null)
                   || '. Run `smsretry migrate --again`'
        from parts p
        having count(*) > 0
        union all
        select case k.kind when 'grants' then 'grants of service_role' else k.kind end, count(m.name) = 0,
               'missing or switched off: '
                   || string_agg(m.name || ' of ' || split_part(m.in_table, '.', 2), ', ' order by m.in_table, m.name)
                   -- What stood in the statement that made the table is made with the table only.
                   || case when min(m.definition) is null then '. Run `smsretry migrate --again`'
                           else '. Run: ' || string_agg('alter table ' || m.in_table || ' add ' || rtrim(m.kind, 's') || ' '
                                    || m.name || ' ' || m.definition, '; ' order by m.in_table, m.name) end
        from (select distinct p.kind from parts p) k
        left join missing m on m.kind = k.kind
        group by k.kind
        union all
        select 'row level security of ' || r.relname, r.relrowsecurity,
               'is off: anyone with the anon key may read it. Run: alter table public.' || r.relname || ' enable row level security'
        from tables r
        union all
        select 'service_role', not row_security_active(r.oid),
               'is bound by row level security, so it sees no text. Run: alter role service_role bypassrls'
        from tables r
        where r.relname = 'sms_retry_queue'
        union all
        select 'key of the hashed numbers', exists (select 1 from smsretry.secret),
               'is gone (smsretry.secret is empty), so nobody who opted out can be recognized and nothing is sent: restore '
                   || 'the row from a backup, or run `smsretry migrate --again`, which makes another one and forgets who opted out'
        union all
        select 'only service_role changes ' || r.relname,
               not exists (
                   select 1 from unnest(array['anon', 'authenticated']) as g (role)
                   where has_table_privilege(g.role, r.oid, 'update, delete, truncate')
                      or has_any_column_privilege(g.role, r.oid, 'update')),
               'anon or authenticated may update or delete: revoke it, or run `smsretry migrate --again`'
        from tables r
        where r.relname in ('sms_retry_queue', 'sms_send_attempts')
        union all
        select 'rules of the state machine', count(*) filter (where not k.convalidated) = 0,
               'some rows break ' || string_agg(k.conname, ', ') filter (where not k.convalidated)
                   || ': mend or delete them, then run `smsretry migrate --again`'
        from pg_catalog.pg_constraint k
        where k.contype = 'c'
          and (k.conrelid = to_regclass('public.sms_retry_queue') and k.conname like 'sms\_retry\_queue\_%'
               or k.conrelid = to_regclass('public.scheduled_sends') and k.conname like 'scheduled\_sends\_%')
    )
    select f.subject, f.ok, case when not f.ok then f.advice end from findings f
    union all -- warnings: set by somebody or passing, and easily forgotten
    select 'policy "' || y.polname || '" of ' || r.relname, true,
           'lets ' || string_agg(case g.rolname when 'anon' then 'anyone with the anon key' else 'every signed-in user' end, ' and '
                                 order by g.rolname) || ' read all rows: drop or narrow it, unless that is meant'
    from tables r
    join pg_policy y on y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
    join pg_roles g on g.rolname in ('anon', 'authenticated') and (y.polroles @> array[0::oid] or g.oid = any(y.polroles))
    where pg_get_expr(y.polqual, y.polrelid) = 'true' and has_table_privilege(g.oid, r.oid, 'select')
    group by y.polname, r.relname
    union all
    select 'policies of scheduled_sends', true,
           'let nobody who is signed in read a row, although a grant does: revoke the grant, or run: create policy '
               || '"Owners read their scheduled sends" on public.scheduled_sends for select to authenticated '
               || 'using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))'
    from tables r
    where r.relname = 'scheduled_sends' and r.relrowsecurity and has_table_privilege('authenticated', r.oid, 'select')
      and not exists (
          select 1 from pg_policy y join pg_roles g on g.rolname = 'authenticated'
          where y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
            and (y.polroles @> array[0::oid] or g.oid = any(y.polroles)))
    union all
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuit c
    union all
    (select 'texts of business ' || s.business_id, true,
            'come last in each claim, one at a time, since ' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC. ' || s.why
     from smsretry.set_apart s order by s.at limit 20)
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

revoke all on function public.check_sms_retry_setup from public, anon, authenticated;
grant execute on function public.check_sms_retry_setup to service_role;
