-- Whether a request runs with the settings that it needs, by whichever role or database they were set, and in roles that may
-- do no more than they must. A line says what is wrong; one is ok if nothing is.
create or replace function smsretry.access_of_request()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with settings (name, is_wrong, harm) as (
        values ('session_replication_role', current_setting('session_replication_role') <> 'origin', 'triggers and foreign keys do nothing'),
               ('synchronous_commit', current_setting('synchronous_commit') = 'off', 'a crash may forget that a text went out, which then goes out twice'),
               ('row_security', current_setting('row_security') = 'off', 'whoever is signed in gets an error and not the rows'),
               ('enable_indexscan', current_setting('enable_indexscan') = 'off', 'each claim reads the whole queue'),
               ('autovacuum', current_setting('autovacuum') = 'off', 'each claim reads what is long gone, and takes longer every day'),
               ('track_counts', current_setting('track_counts') = 'off', 'each claim reads what is long gone, and takes longer every day')
        union all
        -- In milliseconds; 0 is no limit.
        select t.name, (select s.setting::bigint from pg_settings s where s.name = t.name) between 1 and t.least - 1, t.harm
        from (values ('lock_timeout', 1000, 'a call gives up as soon as somebody else holds a row'),
                     ('statement_timeout', 5000, 'a larger claim is broken off'),
                     ('idle_in_transaction_session_timeout', 1000, 'calls lose their connection')) as t (name, least, harm)
    ),
    wrong as (select s.name, s.harm from settings s where s.is_wrong)
    select 'settings of a request', false,
           w.name || ' is ' || current_setting(w.name) || ', so ' || w.harm || '. Run: alter role ' || session_user || ' reset ' || w.name || ', or the same for service_role or the database, '
               || 'wherever it was set'
    from wrong w
    union all
    select 'settings of a request', true, null where not exists (select from wrong)
    union all
    select 'role ' || o.rolname, false,
           case when o.rolsuper then 'may do everything, and nothing that is forbidden holds for it. Run: alter role ' || o.rolname || ' nosuperuser'
                else 'may log in by itself, without a key. Run: alter role ' || o.rolname || ' nologin' end
    from pg_roles o
    where o.rolname in ('service_role', 'authenticator') and o.rolsuper
       or o.rolname in ('anon', 'authenticated', 'service_role') and o.rolcanlogin and not o.rolsuper
    union all
    select 'login ' || o.rolname, false,
           case when o.rolconnlimit between 0 and 9 then 'may have ' || o.rolconnlimit || ' connections at once, and calls wait for one. Run: alter role '
                    || o.rolname || ' connection limit -1'
                else 'has a password that expires on ' || to_char(o.rolvaliduntil at time zone 'UTC', 'YYYY-MM-DD') || ', and then nothing is sent. Run: '
                    || 'alter role ' || o.rolname || ' valid until ''infinity''' end
    from pg_roles o
    where o.rolname = session_user and (o.rolconnlimit between 0 and 9 or o.rolvaliduntil < now() + interval '14 days')
$$;
