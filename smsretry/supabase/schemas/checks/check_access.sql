-- Who may read and change the rows, whether they keep the rules, and whether the key of the hashed numbers is there.
create or replace function smsretry.check_access()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity
        from unnest(array['businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts']) with ordinality as t (name, place)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        order by t.place
    )
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
$$;
