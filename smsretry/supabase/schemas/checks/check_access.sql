-- Who may read and change the rows of the application's tables, whether the roles of a request are what they must be, and
-- whether the key of the hashed numbers and the places of the turns are there. Our own tables and functions: check_rights.
create or replace function smsretry.check_access()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity
        from unnest(array['businesses', 'customers', 'send_logs', 'scheduled_sends']) with ordinality as t (name, place)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        order by t.place
    )
    select 'row level security of ' || r.relname, r.relrowsecurity,
           'is off: anyone with the anon key may read it. Run: alter table public.' || r.relname || ' enable row level security'
    from tables r
    union all
    select 'service_role', not row_security_active(r.oid),
           'is bound by row level security, so it sees no text. Run: alter role service_role bypassrls'
    from pg_catalog.pg_class r
    where r.oid = to_regclass('public.sms_retry_queue')
    union all
    select 'role ' || o.rolname, not (o.rolsuper or o.rolbypassrls or m.roles is not null),
           case when o.rolsuper then 'may do everything. Run: alter role ' || o.rolname || ' nosuperuser'
                when o.rolbypassrls then 'is not bound by row level security, so it sees everybody''s rows. Run: alter role '
                    || o.rolname || ' nobypassrls'
                else 'may do all that ' || m.roles || ' may. Run: revoke ' || m.roles || ' from ' || o.rolname end
    from pg_roles o
    cross join lateral (
        select string_agg(s.oid::regrole::text, ', ' order by s.rolname) as roles from pg_roles s
        where (s.rolsuper or s.rolbypassrls or s.rolname = 'service_role') and s.oid <> o.oid and pg_has_role(o.oid, s.oid, 'member')) m
    where o.rolname in ('anon', 'authenticated')
    union all
    select * from smsretry.access_of_request()
    union all
    select 'key of the hashed numbers', exists (select 1 from smsretry.secret),
           'is gone (smsretry.secret is empty), so nobody who opted out can be recognized and nothing is sent: restore '
               || 'the row from a backup, or run `smsretry migrate --again`, which makes another one and forgets who opted out'
    union all
    -- Each opt-out is kept under the key of its day. With another key none of them is found again.
    select 'key of the hashed numbers', false,
           'is not the one with which opt-outs were recorded, so nobody who opted out is recognized: restore the row of '
               || 'smsretry.secret from a backup, and let nothing run until then'
    from (select count(*) as people, count(*) filter (where exists (
              select from smsretry.consents p where p.number_key = smsretry.number_key(c.business_id, c.phone))) as known
          from (select c.business_id, c.phone from public.customers c
                where c.sms_consent_status::text = 'opted_out' and c.phone is not null and exists (select from smsretry.secret)
                limit 20) c) n
    where n.people >= 5 and n.known = 0 and exists (select from smsretry.consents)
    union all
    select 'places of the turns', count(*) > 0,
           'are gone, so a business with many texts may keep others waiting: run `smsretry migrate --again`'
    from smsretry.turns
$$;
