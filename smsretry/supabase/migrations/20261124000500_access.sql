-- Who may do what. A Supabase project grants everything in public to anon and authenticated by default;
-- here only what is needed is given back.

alter table public.sms_retry_queue enable row level security;
alter table public.sms_send_attempts enable row level security;

-- Older policies let tenants update queue rows, claim number and attempts included.
do $$
declare
    old record;
begin
    for old in
        select p.tablename, p.policyname from pg_catalog.pg_policies p
        where p.schemaname = 'public' and p.tablename in ('sms_retry_queue', 'sms_send_attempts')
    loop
        execute format('drop policy %I on public.%I', old.policyname, old.tablename);
    end loop;
end
$$;

create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- The text and its customer must be the same business's, or a tenant could have another's text sent.
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending' and attempt_count between 0 and max_attempts and max_attempts between 1 and 10
        and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
        and exists (select 1 from public.send_logs l where l.id = send_log_id
                    and l.business_id = sms_retry_queue.business_id and l.customer_id = sms_retry_queue.customer_id)
        and exists (select 1 from public.customers c where c.id = customer_id
                    and c.business_id = sms_retry_queue.business_id)
    );

create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select 1 from public.sms_retry_queue q where q.id = retry_id));

revoke all on public.sms_retry_queue, public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_retry_queue, public.sms_send_attempts to authenticated;
-- The original columns and no other: claim number and lease are not a tenant's to set.
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_attempted_at, last_error, reason, created_at, updated_at)
    on public.sms_retry_queue to authenticated;

-- History is kept: a text no longer wanted is cancelled, and attempts go only with their business.
revoke delete, truncate on public.sms_retry_queue, public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_retry_queue, public.sms_send_attempts to service_role;
grant select, update on public.send_logs, public.customers to service_role;
grant select on public.businesses to service_role;

revoke all on schema smsretry from public;
grant usage on schema smsretry to service_role, authenticated; -- authenticated: the default of expires_at reads the clock
grant select on smsretry.claimed_retry to service_role;
grant select, insert, update, delete on smsretry.circuit, smsretry.stopped_states to service_role;

-- What is right, what is not and what to do about it: for `smsretry doctor`. Reads only.
create or replace function public.check_sms_retry_setup()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = '' as $$
    with api (name) as (
        select unnest(array[
            'queue_sms_retry', 'record_sms_consent', 'claim_due_sms_retries', 'claim_sms_retry', 'begin_sms_attempt',
            'finish_sms_attempt', 'claim_doubtful_sms_retries', 'reconcile_sms_retry', 'settle_sms_attempt',
            'set_sms_circuit', 'set_sms_state_stop', 'defer_sms_retry', 'end_sms_retry', 'recover_stuck_sms_retries',
            'check_sms_retry_setup'])
    ),
    callable as (
        select a.name, count(p.oid) as found,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from api a
        left join pg_catalog.pg_proc p on p.proname = a.name and p.pronamespace = 'public'::regnamespace
        group by a.name
    ),
    findings (subject, ok, advice) as (
        select 'function ' || c.name, c.found = 1 and c.by_service and not c.by_others,
               case when c.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                    when c.found > 1 then 'exists ' || c.found || ' times: drop the versions that are not smsretry''s'
                    when not c.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                    else 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`' end
        from callable c
        union all
        select 'row level security of ' || t.name, coalesce(r.relrowsecurity, false),
               case when r.oid is null then 'the table is missing: run `smsretry migrate`'
                    else 'is off: anyone with the anon key may read it. Run: alter table public.' || t.name || ' enable row level security' end
        from unnest(array['businesses', 'customers', 'send_logs', 'sms_retry_queue', 'sms_send_attempts']) as t (name)
        left join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'only service_role changes ' || t.name,
               not exists (
                   select 1 from unnest(array['anon', 'authenticated']) as g (role)
                   where has_table_privilege(g.role, r.oid, 'update, delete, truncate')
                      or has_any_column_privilege(g.role, r.oid, 'update')),
               'anon or authenticated may update or delete: revoke it, or run `smsretry migrate --again`'
        from unnest(array['sms_retry_queue', 'sms_send_attempts']) as t (name)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'one live row a text', exists (
                   select 1 from pg_catalog.pg_indexes i
                   where i.schemaname = 'public' and i.indexname = 'sms_retry_queue_one_live_row'),
               'the unique index sms_retry_queue_one_live_row is missing: run `smsretry migrate --again`'
        union all
        select 'rules of the state machine', count(*) filter (where not k.convalidated) = 0,
               'some rows break ' || string_agg(k.conname, ', ') filter (where not k.convalidated)
                   || ': mend or delete them, then run `smsretry migrate --again`'
        from pg_catalog.pg_constraint k
        where k.conrelid = 'public.sms_retry_queue'::regclass and k.contype = 'c' and k.conname like 'sms\_retry\_queue\_%'
    )
    select f.subject, f.ok, case when not f.ok then f.advice end from findings f
    union all -- warnings: meant so by somebody, or passing, and easily forgotten
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuit c
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

-- Functions are executable by PUBLIC from birth, and by anon and authenticated through Supabase's defaults.
do $$
declare
    f regprocedure;
begin
    for f in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace
           or (p.pronamespace = 'public'::regnamespace and p.proname in (
               'queue_sms_retry', 'record_sms_consent', 'claim_due_sms_retries', 'claim_sms_retry', 'begin_sms_attempt',
               'finish_sms_attempt', 'claim_doubtful_sms_retries', 'reconcile_sms_retry', 'settle_sms_attempt',
               'set_sms_circuit', 'set_sms_state_stop', 'defer_sms_retry', 'end_sms_retry', 'recover_stuck_sms_retries',
               'check_sms_retry_setup'))
    loop
        execute format('revoke all on function %s from public, anon, authenticated', f);
        execute format('grant execute on function %s to service_role', f);
    end loop;
end
$$;
grant execute on function smsretry.clock() to authenticated;

notify pgrst, 'reload schema'; -- PostgREST learns of the functions at once
