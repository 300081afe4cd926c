-- ======== drop smsretry.take ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'take'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.close_row ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'close_row'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.complete_row ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'complete_row'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.keep_scheduled ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'keep_scheduled'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.queue_scheduled ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'queue_scheduled'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.send_again ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'send_again'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.record_inbound_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'record_inbound_sms'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_record_inbound_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_due_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_due_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_due_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_suspect_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_suspect_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_suspect_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.queue_scheduled_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'queue_scheduled_sms'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_queue_scheduled_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.begin_sms_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'begin_sms_attempt'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_begin_sms_attempt', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.finish_sms_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'finish_sms_attempt'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_finish_sms_attempt', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.defer_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'defer_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_defer_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.end_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'end_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_end_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.hold_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'hold_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_hold_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.group_sms_calls ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'group_sms_calls'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_group_sms_calls', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_doubtful_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_doubtful_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_doubtful_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.reconcile_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'reconcile_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_reconcile_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.finish_sms_delivery ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'finish_sms_delivery'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_finish_sms_delivery', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.set_sms_circuit ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'set_sms_circuit'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_set_sms_circuit', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.cancel_scheduled ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'cancel_scheduled'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.chosen ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'chosen'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.doubt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'doubt'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.cancel_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'cancel_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_cancel_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.requeue_failed_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'requeue_failed_sms'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_requeue_failed_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.explain_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'explain_sms'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_explain_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.preview_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'preview_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_preview_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.sms_status ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'sms_status'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_sms_status', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.count_sms_answer ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'count_sms_answer'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_count_sms_answer', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.opt_out ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'opt_out'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.take_back_stop ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'take_back_stop'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/50_businesses_from.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'businesses_from'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/80_check_told.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'check_told'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/31_held.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'held'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/80_told_of_change.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'told_of_change'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/policy/century.sql ========
-- The times that we accept; an application may write others (infinity, years BC). Table constraints repeat the days.
create or replace function smsretry.century()
returns tstzrange language sql immutable set search_path = pg_catalog, pg_temp as $$
    select tstzrange('2000-01-01 00:00+00', '2100-01-01 00:00+00', '[]')
$$;

-- ======== schemas/policy/fewest_texts.sql ========
-- With fewer texts than this, a share that arrived means nothing.
create or replace function smsretry.fewest_texts()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 20 $$;

-- ======== schemas/policy/largest_claim.sql ========
-- The most rows of one answer: PostgREST cuts off answers at 1,000.
create or replace function smsretry.largest_claim()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 500 $$;

-- ======== schemas/policy/late_after.sql ========
-- How late a text, or the end of a run, may be before a person must look.
create or replace function smsretry.late_after()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '10 minutes' $$;

-- ======== schemas/policy/longest_body.sql ========
-- The most characters of a text (Twilio's API reference, Body; error 21617). A claim returns one more of a longer body.
-- Constraints repeat the numbers of this folder, because a check does not follow a function; a test compares them.
create or replace function smsretry.longest_body()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 1600 $$;

-- ======== schemas/policy/longest_reason.sql ========
-- The most characters of a reason or an error: each claim's answer carries them.
create or replace function smsretry.longest_reason()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 2000 $$;

-- ======== schemas/policy/rows_of_claim.sql ========
-- How many rows a claim of limit_count takes; null: 50.
create or replace function smsretry.rows_of_claim(limit_count integer)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(greatest(coalesce(rows_of_claim.limit_count, 50), 0), smsretry.largest_claim())
$$;

-- ======== schemas/policy/suspect_after.sql ========
-- After so many claims that died, a row is suspect: it may kill its worker, so it is claimed alone.
create or replace function smsretry.suspect_after()
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$ select 2 $$;

-- ======== schemas/tables/business_circuits.sql ========
-- Businesses whose texts fail while others' go out: each run tries one text of theirs, and defers the rest. There is no
-- foreign key, so that no lock of a business's row holds up a run. What is a day old is forgotten.
create table if not exists smsretry.business_circuits (
    business_id uuid not null,
    sender text not null default '',
    opened_at timestamptz not null,
    tried_at timestamptz not null,
    why text not null,
    primary key (business_id, sender)
);
comment on column smsretry.business_circuits.tried_at is 'When the last of its texts was tried. While everybody''s circuit is open, who was tried longest ago goes first.';

revoke all on smsretry.business_circuits from public, anon, authenticated;
grant select, insert, update, delete on smsretry.business_circuits to service_role;

-- ======== by hand: smsretry.circuit ========
-- There was one row for all senders.
alter table smsretry.circuit add column if not exists sender text not null default '';
alter table smsretry.circuit drop column if exists only_one;
alter table smsretry.circuit drop constraint if exists circuit_pkey;
alter table smsretry.circuit add constraint circuit_pkey primary key (sender);

-- ======== schemas/tables/circuit.sql ========
-- The circuit breaker between runs: a sender's row exists while its account, or Twilio itself, cannot send.
create table if not exists smsretry.circuit (
    sender text primary key default '',
    opened_at timestamptz not null,
    why text not null
);

revoke all on smsretry.circuit from public, anon, authenticated;
grant select, insert, update, delete on smsretry.circuit to service_role;

-- ======== by hand: smsretry.inbound_texts ========
alter table smsretry.inbound_texts add column if not exists heard text;
alter table smsretry.inbound_texts add column if not exists number_key bytea;
alter table smsretry.inbound_texts add column if not exists seen_at timestamptz;

-- ======== schemas/tables/inbound_texts.sql ========
-- Texts that said STOP or START, by their SID: a repeated webhook changes nobody's consent. A text that only may mean stop
-- waits here for a person, who reads it at Twilio. Its words are not kept.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null,
    heard text,
    number_key bytea,
    seen_at timestamptz,
    constraint inbound_texts_said check (said in ('STOP', 'START'))
);
comment on column smsretry.inbound_texts.heard is 'By what it was known: as record_inbound_sms answers; yes: a START that said YES. Null: by version 1.0.0.';
comment on column smsretry.inbound_texts.number_key is 'Who said it, at no business in particular: smsretry.number_key.';
comment on column smsretry.inbound_texts.seen_at is 'When it stopped waiting for a person: somebody recorded the number''s consent, or it said a plain word since.';
create index if not exists inbound_texts_unseen on smsretry.inbound_texts (number_key) where heard = 'words' and seen_at is null;

revoke all on smsretry.inbound_texts from public, anon, authenticated;
grant select, insert, update on smsretry.inbound_texts to service_role;

-- ======== schemas/tables/restores.sql ========
-- Restores from a backup. An older text may have gone out after since, so it is looked for at Twilio before its next message
-- leaves: smsretry.forgotten. Written by doubt_sms_retries.
create table if not exists smsretry.restores (
    since timestamptz primary key,
    restored_at timestamptz not null,
    who text not null,
    because text not null,
    constraint restores_order check (since <= restored_at),
    constraint restores_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on table smsretry.restores is 'Each restore from a backup that somebody told of.';
comment on column smsretry.restores.since is 'When the backup was taken.';
comment on column smsretry.restores.restored_at is 'When somebody told of the restore, before anything ran. What was begun from then on is on record.';

revoke all on smsretry.restores from public, anon, authenticated;
grant select, insert on smsretry.restores to service_role;

-- ======== by hand: public.scheduled_sends ========
comment on column public.scheduled_sends.not_after is 'After this the text is of no more use, and is cancelled. Null: it is of use for as long as any text in the queue, from scheduled_for on, also while nothing ran.';
-- What is due, business by business.
create index if not exists scheduled_sends_turns
    on public.scheduled_sends (business_id, (coalesce(look_at, scheduled_for)), id) where status = 'scheduled';

-- ======== schemas/tables/scheduled_sends.sql ========
-- Texts that are planned for a time. The application's table: it, its policies and its grants are made only where there is
-- none. Shortly before its time a row becomes a send log, with the row's own id, and a row of the queue
-- (queue_scheduled_sms).
do $$
begin
    if to_regclass('public.scheduled_sends') is not null then
        return;
    end if;
    create table public.scheduled_sends (
        id uuid primary key default gen_random_uuid(),
        -- No foreign key to customers: a row whose customer is gone ends with a reason.
        business_id uuid not null references public.businesses (id) on delete cascade,
        customer_id uuid,
        body text,
        scheduled_for timestamptz not null,
        not_after timestamptz,
        message_class text not null default 'marketing',
        status text not null default 'scheduled' check (status in ('scheduled', 'queued', 'cancelled', 'failed')),
        send_log_id uuid,
        created_by uuid,
        why text,
        held_since timestamptz,
        look_at timestamptz,
        why_code text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
    create index scheduled_sends_business on public.scheduled_sends (business_id, scheduled_for);
    alter table public.scheduled_sends enable row level security;
    create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
        using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    create policy "Owners schedule texts to their customers" on public.scheduled_sends for insert to authenticated
        with check (
            status = 'scheduled'
            and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
            and exists (select 1 from public.customers c where c.id = customer_id
                        and c.business_id = scheduled_sends.business_id));
    create policy "Owners move and cancel their scheduled sends" on public.scheduled_sends for update to authenticated
        using (status in ('scheduled', 'queued')
               and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))
        with check (status in ('scheduled', 'queued', 'cancelled')
                    and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    -- A Supabase project grants everything in public to anon and authenticated. The message class is not a tenant's to
    -- choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- Deleting the row would not end its text: it is cancelled.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

alter table public.scheduled_sends add column if not exists customer_id uuid;
alter table public.scheduled_sends add column if not exists body text;
alter table public.scheduled_sends add column if not exists not_after timestamptz;
alter table public.scheduled_sends add column if not exists message_class text not null default 'marketing';
alter table public.scheduled_sends add column if not exists send_log_id uuid;
alter table public.scheduled_sends add column if not exists created_by uuid;
alter table public.scheduled_sends add column if not exists why text;
alter table public.scheduled_sends add column if not exists held_since timestamptz;
alter table public.scheduled_sends add column if not exists look_at timestamptz;
alter table public.scheduled_sends add column if not exists why_code text;
alter table public.scheduled_sends add column if not exists created_at timestamptz not null default now();
alter table public.scheduled_sends add column if not exists updated_at timestamptz not null default now();
comment on column public.scheduled_sends.status is 'scheduled: it waits for its time. queued: its text exists, and its send log says what becomes of it. cancelled, failed: it never became a text, or was cancelled in time; why says the reason.';
comment on column public.scheduled_sends.not_after is 'After this the text is of no more use, and is cancelled. Null: it is of use for as long as any text in the queue, from scheduled_for on, also while nothing ran.';
comment on column public.scheduled_sends.send_log_id is 'The send log of its text, once there is one. It is the row''s own id.';
comment on column public.scheduled_sends.why is 'Why it was cancelled, has failed or is held.';
comment on column public.scheduled_sends.why_code is 'why, in a word for programs, as in sms_retry_queue.';
comment on column public.scheduled_sends.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.scheduled_sends.look_at is 'When it is looked at again, if not at its time.';

-- Rules for our states; an application may have others. Rows that break a new rule are reported and stay.
do $$
declare
    rule record;
begin
    for rule in
        select * from (values
            ('scheduled_sends_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            -- Infinity, years BC and the like could not be queued.
            ('scheduled_sends_instants', $c$status not in ('scheduled', 'queued')
                or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                   and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'$c$),
            -- Otherwise it could only be cancelled.
            ('scheduled_sends_use', $c$status <> 'scheduled' or not_after > scheduled_for$c$),
            -- The numbers: smsretry.longest_body, longest_reason.
            ('scheduled_sends_lengths', $c$(status <> 'scheduled' or length(body) <= 1600) and length(why) <= 2000$c$),
            ('scheduled_sends_why_code', $c$why_code in (
                'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body',
                'body_too_long', 'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent',
                'expired', 'operator', 'application', 'superseded', 'quiet_hours', 'daily_cap',
                'no_time_zone', 'no_opening', 'hours_unreadable', 'state_stopped',
                'customer_locked', 'database_trouble', 'data_changed', 'sending_stopped',
                'business_trouble', 'sender_rate', 'already_queued', 'claim_lost', 'unreachable',
                'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up',
                'undelivered', 'delivery_open', 'in_doubt', 'worker_died', 'restored',
                'no_evidence', 'list_unavailable', 'ambiguous', 'clock_set_back', 'unforeseen')$c$),
            ('scheduled_sends_queued', $c$status <> 'queued' or send_log_id is not null$c$),
            ('scheduled_sends_held', $c$held_since is null or status = 'scheduled' and why is not null$c$)
        ) as r (name, expression)
    loop
        execute format('alter table public.scheduled_sends drop constraint if exists %I', rule.name);
        execute format('alter table public.scheduled_sends add constraint %I check (%s) not valid', rule.name, rule.expression);
        begin
            execute format('alter table public.scheduled_sends validate constraint %I', rule.name);
        exception when check_violation then
            raise warning 'scheduled_sends holds rows that break %: %', rule.name, rule.expression
                using hint = 'Find them with: select id from scheduled_sends where not (' || rule.expression || ')';
        end;
    end loop;
end
$$;

create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
create index if not exists scheduled_sends_turns
    on public.scheduled_sends (business_id, (coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== schemas/tables/set_apart.sql ========
-- Businesses for which a trigger of the application's was slow, or refused a row. Their rows come last in a claim, one at a
-- time, and not before retry_at. A row that is taken quickly ends that. Their own rows cannot be written.
create table if not exists smsretry.set_apart (
    business_id uuid primary key,
    at timestamptz not null,
    retry_at timestamptz not null,
    why text not null,
    constraint set_apart_why check (length(why) <= 200)
);
comment on column smsretry.set_apart.why is 'What happened, for a person: how long it took, or the SQLSTATE. No words of the database''s, which may quote a row.';

revoke all on smsretry.set_apart from public, anon, authenticated;
grant select, insert, update, delete on smsretry.set_apart to service_role;

-- ======== by hand: public.sms_retry_queue ========
alter table public.sms_retry_queue set (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
-- Where there is competition the claim walks these business by business, and never meets a row that is not due. No two have
-- the same order, so that none can be taken for another.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id)
    where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_turns_in_doubt
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
drop index if exists public.sms_retry_queue_due;
drop index if exists public.sms_retry_queue_due_transactional;

-- Why a row waits or has ended, in a word for programs.
alter table public.sms_retry_queue add column if not exists why_code text;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_why_code;
alter table public.sms_retry_queue add constraint sms_retry_queue_why_code check (why_code in (
    'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
    'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
    'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
    'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
    'sending_stopped', 'business_trouble', 'sender_rate', 'already_queued', 'claim_lost', 'unreachable',
    'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
    'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
    'ambiguous', 'clock_set_back', 'unforeseen')) not valid;
alter table public.sms_retry_queue validate constraint sms_retry_queue_why_code;

-- Rows that ended before have sentences alone. Those by which people choose texts get their word once; the others are shown by
-- their sentence as before. Where a trigger of the application's would make something else of such an update, such as a new
-- updated_at, all of them are left as they are.
update public.sms_retry_queue q
set why_code = k.code
from (
    values ('Customer opted out%', 'opted_out'), ('Already sent%', 'already_sent'), ('Expire%', 'expired'),
           ('Cancelled by the application%', 'application'), ('Send log not found%', 'no_send_log'),
           ('Customer not found%', 'no_customer'), ('Customer has no phone number%', 'no_phone'),
           ('Phone number %', 'number_invalid'), ('Gave up after %', 'attempts_used_up'), ('Not delivered: %', 'undelivered')
) as k (sentence, code)
where q.why_code is null and q.status in ('failed', 'cancelled') and q.last_error like k.sentence
  and not exists (select 1 from pg_trigger t
                  where t.tgrelid = 'public.sms_retry_queue'::regclass and not t.tgisinternal and t.tgtype::integer & 16 <> 0);

-- The index of rows whose claims died named the number of deaths after which one is under suspicion. That number has its home
-- in smsretry.suspect_after, so the index now holds every such row.
do $$
begin
    if pg_get_indexdef(to_regclass('public.sms_retry_queue_suspect')) like '%>= 2%' then
        drop index public.sms_retry_queue_suspect;
        create index sms_retry_queue_suspect
            on public.sms_retry_queue (recover_count, scheduled_for)
            where status = 'pending' and recover_count > 0;
    end if;
end
$$;

-- ======== schemas/tables/sms_retry_queue.sql ========
-- One row a text that is owed to one person. The columns down to updated_at, and their meanings, are the application's.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- No foreign keys to send_logs and customers: deleting one of those must neither fail nor erase the row, which ends with
    -- a reason.
    business_id uuid not null references public.businesses (id) on delete cascade,
    send_log_id uuid not null,
    customer_id uuid not null,
    status text not null default 'pending',
    attempt_count integer not null default 0,
    max_attempts integer not null default 3,
    scheduled_for timestamptz not null,
    last_attempted_at timestamptz,
    last_error text,
    reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    claim_no bigint not null default 0,
    claimed_at timestamptz,
    begun_at timestamptz,
    attempt_id uuid,
    in_doubt_since timestamptz,
    reconcile_count integer not null default 0,
    reconciled_claim_no bigint,
    recover_count integer not null default 0,
    rate_limit_count integer not null default 0,
    account_refusal_count integer not null default 0,
    error_code integer,
    message_class text not null default 'marketing',
    why text,
    held_since timestamptz,
    claimed_by_application boolean not null default false,
    expires_at timestamptz,
    window_closes_at timestamptz,
    why_code text,

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- smsretry/vocabulary.py says what each means.
    constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
        'sending_stopped', 'business_trouble', 'sender_rate', 'already_queued', 'claim_lost', 'unreachable',
        'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
        'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
        'ambiguous', 'clock_set_back', 'unforeseen')),
    constraint sms_retry_queue_attempts check (attempt_count between 0 and 1000 and max_attempts between 1 and 1000),
    -- No worker could read infinity or years BC, and the other rows of its claim would suffer.
    constraint sms_retry_queue_instants check (
        scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and expires_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and window_closes_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and last_attempted_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and created_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and updated_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'),
    -- A claim's answer carries these for each of its rows.
    constraint sms_retry_queue_lengths check (length(last_error) <= 2000 and length(why) <= 2000),
    constraint sms_retry_queue_held check (held_since is null or (status in ('pending', 'processing') and why is not null)),
    -- Without a lease nobody could take a processing row back.
    constraint sms_retry_queue_lease check (status <> 'processing' or claimed_at is not null),
    -- Only a claimed row is begun, and its send has an id.
    constraint sms_retry_queue_begun check (begun_at is null or (status = 'processing' and attempt_id is not null)),
    -- A doubt is about one attempt, and a text that is known to be sent is not in doubt.
    constraint sms_retry_queue_doubt check (in_doubt_since is null or (attempt_id is not null and status <> 'completed'))
)
-- Rows are rewritten all day. Room on the page keeps their updates HOT; vacuum and analyze come after a number of changes,
-- not after a share of the table.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
      autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

comment on column public.sms_retry_queue.claim_no is 'Fencing token: rises with every claim, never falls. Every write of a worker names the one it holds.';
comment on column public.sms_retry_queue.claimed_at is 'When the present claim was taken: the start of its lease.';
comment on column public.sms_retry_queue.begun_at is 'When the send that is under way was begun; null when none is.';
comment on column public.sms_retry_queue.attempt_id is 'The attempt that is under way or in doubt; null when there is none.';
comment on column public.sms_retry_queue.in_doubt_since is 'Since when it is unknown whether attempt_id reached the customer. Such a row is never simply sent again.';
comment on column public.sms_retry_queue.reconcile_count is 'How many looks for evidence of attempt_id found nothing.';
comment on column public.sms_retry_queue.reconciled_claim_no is 'The last claim whose look for evidence was recorded, so that recording it twice is harmless.';
comment on column public.sms_retry_queue.rate_limit_count is 'How often Twilio said "slower". Costs an attempt only past a cap.';
comment on column public.sms_retry_queue.recover_count is 'How many workers died while they held this row, before its send began or while they looked for evidence of it.';
comment on column public.sms_retry_queue.account_refusal_count is 'How often Twilio refused the account when this text was sent. Such a text is never the one that tries whether sending works again.';
comment on column public.sms_retry_queue.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.sms_retry_queue.claimed_by_application is 'Claimed by a caller that does not begin its sends: its claim counts as a send, because it may be one.';
comment on column public.sms_retry_queue.expires_at is 'When the text is of no more use. Null until the first moment it might have gone out: waiting for an opening does not count.';
comment on column public.sms_retry_queue.window_closes_at is 'When the window closes that a deferred row waits for; null if none is known. In the hour before, it goes before other texts of its business.';
comment on column public.sms_retry_queue.error_code is 'Twilio''s code for last_error, when it came from Twilio.';
comment on column public.sms_retry_queue.message_class is 'marketing: every quiet-hours rule binds. transactional: 08:00-21:00 where the customer is, and no state''s rule.';
comment on column public.sms_retry_queue.why is 'Why the row waits for scheduled_for, in words and with the rule. Failures are in last_error.';
comment on column public.sms_retry_queue.why_code is 'Why the row waits or has ended, in a word for programs: what why, or else last_error, says in words. Null: nothing was decided, or by version 1.0.0.';
comment on column public.sms_retry_queue.attempt_count is 'Sends made from the queue. A deferral, the recovery of a claim that was not begun and a request that was never sent do not count.';

create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- What is due: the claim looks here first, and mostly finds nothing. sms_status counts by the included columns, which change
-- only with the status and so cost no HOT update.
create index if not exists sms_retry_queue_next
    on public.sms_retry_queue (scheduled_for, id) include (reason, attempt_count, held_since)
    where status = 'pending' and in_doubt_since is null;
-- The claim walks these business by business. No two have the same order, so that none can be taken for another.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id)
    where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_due_closing
    on public.sms_retry_queue (business_id, window_closes_at, id)
    where status = 'pending' and in_doubt_since is null and window_closes_at is not null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_turns_in_doubt
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_suspect
    on public.sms_retry_queue (recover_count, scheduled_for)
    where status = 'pending' and recover_count > 0;
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
create index if not exists sms_retry_queue_send_log on public.sms_retry_queue (send_log_id);
-- For the desk.
create index if not exists sms_retry_queue_held on public.sms_retry_queue (held_since) where held_since is not null;
-- For the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (updated_at) where status in ('completed', 'failed', 'cancelled');
-- Recovery reads all claims. By id, because an index on the lease itself would cost every begin its HOT update.
create index if not exists sms_retry_queue_claimed on public.sms_retry_queue (id) where status = 'processing';

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- Without the last two conditions a tenant could have another tenant's text sent.
drop policy if exists "Owners queue retries of their texts" on public.sms_retry_queue;
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending' and attempt_count between 0 and max_attempts and max_attempts between 1 and 10
        and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
        and exists (select 1 from public.send_logs l where l.id = send_log_id
                    and l.business_id = sms_retry_queue.business_id and l.customer_id = sms_retry_queue.customer_id)
        and exists (select 1 from public.customers c where c.id = customer_id
                    and c.business_id = sms_retry_queue.business_id)
    );

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- Claim number, lease and the like are not a tenant's to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_error, reason)
    on public.sms_retry_queue to authenticated;
-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;

-- ======== by hand: public.sms_send_attempts ========
create index if not exists sms_send_attempts_unknown on public.sms_send_attempts (sent_to) where sent_to is not null;
alter table public.sms_send_attempts set (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
alter table public.sms_send_attempts add column if not exists business_id uuid;
comment on column public.sms_send_attempts.business_id is 'Whose it is, kept from when its delivery is open: deliveries are looked after business by business. See smsretry.open_delivery.';
update public.sms_send_attempts a set business_id = q.business_id
from public.sms_retry_queue q
where q.id = a.retry_id and a.delivery_look_at is not null and a.business_id is null;
create index if not exists sms_send_attempts_turns
    on public.sms_send_attempts (business_id, delivery_look_at, id) where delivery_look_at is not null;

-- ======== schemas/tables/sms_send_attempts.sql ========
-- One row a send that was begun: inserted by begin, settled once, never deleted by a function. delivery_…: from Twilio.
create table if not exists public.sms_send_attempts (
    id uuid primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    attempt_number integer not null,
    claim_no bigint not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    outcome text,
    settled_by text,
    error_code integer,
    twilio_sid text,
    consent_status text,
    consent_at timestamptz,
    consent_source text,
    quiet_hours_rule text,
    number_key bytea,
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false,
    run_id uuid,
    delivery_status text,
    delivery_code integer,
    delivery_at timestamptz,
    delivery_look_at timestamptz,
    delivery_looks integer not null default 0,
    business_id uuid,
    constraint sms_send_attempts_outcome check (outcome in ('accepted', 'rejected', 'not_sent', 'in_doubt')),
    constraint sms_send_attempts_settled_by check (settled_by in ('response', 'callback', 'reconcile', 'operator')),
    -- An outcome and its time are set together.
    constraint sms_send_attempts_finished check ((finished_at is null) = (outcome is null)),
    -- Only an accepted message has a SID. A response without one is no acceptance; a send log that says sent is.
    constraint sms_send_attempts_sid check (
        case when outcome = 'accepted' then twilio_sid is not null or settled_by <> 'response' else twilio_sid is null end),
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no),
    -- Number and body are kept only while evidence may be compared with them.
    constraint sms_send_attempts_private check (
        outcome is null or outcome = 'in_doubt' or (sent_to is null and sent_body is null)),
    -- Twilio's own words, and unknown: it reported nothing final for long enough.
    constraint sms_send_attempts_delivery check (delivery_status in (
        'accepted', 'scheduled', 'queued', 'sending', 'sent', 'unknown', 'undelivered', 'failed', 'canceled', 'delivered', 'read')),
    -- Only a message with a SID is reported on, and only a failure has a code.
    constraint sms_send_attempts_reported check (
        (twilio_sid is not null or (delivery_status is null and delivery_look_at is null))
        and (delivery_status is null) = (delivery_at is null)
        and (delivery_code is null or delivery_status in ('undelivered', 'failed', 'canceled')))
)
-- As sms_retry_queue.
with (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
comment on table public.sms_send_attempts is 'Every send that was begun and what became of it.';
comment on column public.sms_send_attempts.number_key is 'A keyed hash of business and number, by which texts to a person are counted: smsretry.number_key.';
comment on column public.sms_send_attempts.sent_to is 'With sent_body and sent_by: what was sent, until it is known what became of it. Evidence is compared with this and never with what the rows say now.';
comment on column public.sms_send_attempts.worker_died is 'It came into doubt because its worker died: nobody knows whether the request ever left.';
comment on column public.sms_send_attempts.run_id is 'The run that made it: smsretry.runs, and in Prefect the flow run of this id.';
comment on column public.sms_send_attempts.attempt_number is '1, 2, 3 … for retries; 0 for a text''s first send by send_sms.';
comment on column public.sms_send_attempts.consent_status is 'With consent_at and consent_source: the customer''s consent as it was read when the send began.';
comment on column public.sms_send_attempts.delivery_status is 'What Twilio last reported of the message: smsretry.delivery_rank has the order. Null: nothing yet.';
comment on column public.sms_send_attempts.delivery_code is 'Twilio''s code for a message that did not arrive.';
comment on column public.sms_send_attempts.delivery_at is 'When delivery_status was reported to us.';
comment on column public.sms_send_attempts.delivery_look_at is 'When to ask Twilio for it, or to decide about its failure. Null: nothing is open.';
comment on column public.sms_send_attempts.business_id is 'Whose it is, kept from when its delivery is open: deliveries are looked after business by business. See smsretry.open_delivery.';
comment on column public.sms_send_attempts.delivery_looks is 'How often it was looked after. Fences what such a look comes to.';

-- For the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- What is in doubt or under way to a number: a look for evidence compares it. Few have sent_to.
create index if not exists sms_send_attempts_unknown on public.sms_send_attempts (sent_to) where sent_to is not null;
create index if not exists sms_send_attempts_open
    on public.sms_send_attempts (delivery_look_at) where delivery_look_at is not null;
create index if not exists sms_send_attempts_turns
    on public.sms_send_attempts (business_id, delivery_look_at, id) where delivery_look_at is not null;
-- A BRIN, because attempts are only ever added.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at) with (pages_per_range = 16);
-- For every look for evidence. A hash, because the value may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select 1 from public.sms_retry_queue q where q.id = retry_id));

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;
-- Attempts are deleted only with their business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;

-- ======== schemas/tables/stale_opt_ins.sql ========
-- Dates of opt-ins, to the second, that lift no opt-out, whichever row bears them: written before they came, on the row that
-- opted out, or on a row that received the number. Kept while they could lift an opt-out. Without a key no insert waits.
create table if not exists smsretry.stale_opt_ins (
    number_key bytea not null,
    at timestamptz not null
);
comment on column smsretry.stale_opt_ins.number_key is 'smsretry.number_key: business and number, hashed.';
create index if not exists stale_opt_ins_number on smsretry.stale_opt_ins (number_key);

revoke all on smsretry.stale_opt_ins from public, anon, authenticated;
grant select on smsretry.stale_opt_ins to service_role;

-- ======== schemas/tables/turns.sql ========
-- The business served last, by kind of work. The next claim begins behind it, in order of the businesses' ids, so that
-- nobody waits for more than one round. Claims at the same moment each go round from a place of their own.
create table if not exists smsretry.turns (
    kind text not null,
    place integer not null,
    after uuid not null,
    constraint turns_kind check (kind in ('texts', 'doubtful', 'scheduled', 'deliveries'))
)
-- Rewritten by every claim that cannot take all there is.
with (fillfactor = 20);
create unique index if not exists turns_place on smsretry.turns (kind, place);

-- They begin apart, so that claims at the same moment do not meet.
insert into smsretry.turns (kind, place, after)
select k.kind, p.place, md5(k.kind || p.place)::uuid
from unnest(array['texts', 'doubtful', 'scheduled', 'deliveries']) as k (kind) cross join generate_series(1, 8) as p (place)
on conflict do nothing;

revoke all on smsretry.turns from public, anon, authenticated;
grant select, insert, update, delete on smsretry.turns to service_role;

-- ======== schemas/helpers/clock.sql ========
-- The one clock: it decides what is due, stale and expired. Only the embedded stack replaces it, to move time.
create or replace function smsretry.clock()
returns timestamptz language sql volatile set search_path = pg_catalog, pg_temp as $$
    select pg_catalog.clock_timestamp()
$$;

-- ======== schemas/helpers/decided_by.sql ========
-- A fingerprint of what a decision to send was made from: number, zones and the business's hours. If it differs when the
-- send begins, decide again. Each value is cut as in the claim, because a tenant may store megabytes.
create or replace function smsretry.decided_by(phone text, timezone text, business_timezone text, business_hours text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return md5(concat_ws('|', left(coalesce(decided_by.phone, ''), 40), left(coalesce(decided_by.timezone, ''), 100),
                         left(coalesce(decided_by.business_timezone, ''), 100),
                         left(coalesce(decided_by.business_hours, ''), 1000)));
end
$$;

-- ======== schemas/helpers/delivery_rank.sql ========
-- The order of the provider's reports, which arrive in any order. A delivery outranks a failure: a carrier may deliver a
-- message that it called lost. Null: an unknown status.
create or replace function smsretry.delivery_rank(status text)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when delivery_rank.status in ('accepted', 'scheduled') then 1
        when delivery_rank.status = 'queued' then 2
        when delivery_rank.status = 'sending' then 3
        when delivery_rank.status = 'sent' then 4
        when delivery_rank.status = 'unknown' then 5
        when delivery_rank.status in ('undelivered', 'failed', 'canceled') then 6
        when delivery_rank.status = 'delivered' then 7
        when delivery_rank.status = 'read' then 8
    end
$$;

-- ======== schemas/helpers/found_sid.sql ========
-- The SID that a send log has, or null. An empty one is none, and a value of more than 10 kB is not opened. Not in language
-- sql, here and in what is called with a tenant's values: PostgreSQL 18 would open them to plan with.
create or replace function smsretry.found_sid(provider_message_id jsonb)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if pg_column_size(found_sid.provider_message_id) >= 10000 then
        return null;
    end if;
    return left(nullif(btrim(found_sid.provider_message_id ->> 'twilio_sid'), ''), 64);
end
$$;

-- ======== schemas/helpers/has_arrived.sql ========
-- Whether the provider reported a message as on the phone.
create or replace function smsretry.has_arrived(status text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(has_arrived.status in ('delivered', 'read'), false)
$$;

-- ======== schemas/helpers/is_lost.sql ========
-- Whether the provider reported a message as not delivered. It may still be delivered.
create or replace function smsretry.is_lost(status text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(is_lost.status in ('undelivered', 'failed', 'canceled'), false)
$$;

-- ======== schemas/helpers/is_message_id.sql ========
-- Whether this may be a provider's id of a message, and is no phone number.
create or replace function smsretry.is_message_id(id text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(is_message_id.id ~ '^[A-Za-z0-9_.-]{8,64}$' and is_message_id.id ~ '[A-Za-z]', false)
$$;

-- ======== schemas/helpers/is_sent.sql ========
-- Whether a send log says that its text was sent: by its SID, or a status that follows the provider's acceptance. By columns
-- and not by row, because a tenant may keep anything in the row.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return smsretry.found_sid(is_sent.provider_message_id) is not null
        or coalesce(is_sent.status in ('sent', 'delivered', 'undelivered'), false);
end
$$;

-- ======== schemas/helpers/lock_number.sql ========
-- One at a time to a number at a business: a begin, a consent and a refusal lock this before any row, against deadlocks.
create or replace function smsretry.lock_number(business_id uuid, phone text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended(lock_number.business_id::text || lock_number.phone, 0))
    where lock_number.phone is not null and lock_number.business_id is not null
$$;

-- ======== schemas/helpers/masked.sql ========
-- A number's last four digits, by which a person recognizes it. In plpgsql, which is cheaper to call for each claim.
create or replace function smsretry.masked(phone text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case when length(masked.phone) >= 8 then '…' || right(masked.phone, 4) when masked.phone is not null then '…' end;
end
$$;

-- ======== schemas/helpers/number_key.sql ========
-- A number at a business, as a keyed hash (RFC 2104's nesting). Without the key it raises P0002: no opt-out would be known.
create or replace function smsretry.number_key(business_id uuid, phone text)
returns bytea language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_key bytea;
begin
    select s.key into strict v_key from smsretry.secret s;
    return sha256(v_key || sha256(v_key || convert_to(number_key.business_id::text || ' ' || number_key.phone, 'UTF8')));
end
$$;

-- ======== schemas/helpers/numberless.sql ========
-- What somebody wrote, without phone numbers: it is shown in logs and in Prefect. A number has a plus sign or nine digits in
-- a row, or is written as in the US.
create or replace function smsretry.numberless(words text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(
        numberless.words,
        '\+[0-9][0-9 ().-]{6,}[0-9]|(?<![[:alnum:]-])[0-9]{9,}(?![[:alnum:]])|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}',
        '…', 'g')
$$;

-- ======== schemas/helpers/on_calendar.sql ========
-- A time that the application wrote; null if no program can read it (infinity, years BC).
create or replace function smsretry.on_calendar(at timestamptz)
returns timestamptz language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when on_calendar.at between '1900-01-01 00:00+00' and '9999-01-01 00:00+00' then on_calendar.at end
$$;

-- ======== schemas/helpers/plain_words.sql ========
-- A text as plain words: lower case, without accents, punctuation, emoji and invisible characters (`gap` replaces those),
-- one space between words. No locale or collation decides, so that it is the same on every database. Only the first
-- longest_body characters count.
create or replace function smsretry.plain_words(said text, gap text default '')
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_said text := left(plain_words.said, smsretry.longest_body());
begin
    -- Apostrophes first: normalization turns some of them into a space.
    v_said := regexp_replace(v_said collate "C", '[''’‘ʼ´`′＇]', '', 'g');
    v_said := replace(replace(v_said, '🛑', ' stop '), '#', ' number ');
    -- Full-width, circled and mathematical letters become ordinary ones, and accents come off.
    v_said := normalize(v_said, nfkd);
    v_said := regexp_replace(v_said collate "C",
        '[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]', '', 'g');
    v_said := regexp_replace(v_said collate "C",
        '[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]',
        plain_words.gap, 'g');
    v_said := translate(lower(v_said collate "C"),
        'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЄҐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςøØłŁđĐı',
        'абвгдежзийклмнопрстуфхцчшщъыьэюяієґαβγδεζηθικλμνξοπρστυφχψωσoollddi');
    v_said := replace(v_said, 'ß', 'ss');
    v_said := regexp_replace(v_said collate "C",
        '[\u0001-/:-@\[-`{-\u00bf\u00d7\u00f7\u02b0-\u02ff\u037e\u0387\u055a-\u055f\u0589\u05be\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e3f\u1680\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3030\u303d\u30fb\ua830-\ua83f\ue000-\uf8ff\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff0f\ufff0-\uffff\U0001d000-\U0001d3ff\U0001f000-\U0001fbff\U000f0000-\U0010ffff]+',
        ' ', 'g');
    -- «don t» means «don't».
    return btrim(regexp_replace(v_said collate "C", '\m(do|did|does|wo|ca|could|would|should|is|ai)n t\M', '\1nt', 'g'));
end
$$;

-- ======== schemas/helpers/suppressed_since.sql ========
-- Since when a number (smsretry.number_key) is opted out at its business; null: it is not.
create or replace function smsretry.suppressed_since(number_key bytea)
returns timestamptz language sql stable set search_path = pg_catalog, pg_temp as $$
    select max(o.since)
    from (select s.since from smsretry.suppressions s where s.number_key = suppressed_since.number_key
          union all
          select u.since from smsretry.unwritten_consents u
          where u.number_key = suppressed_since.number_key and u.consent = 'opted_out') o
$$;

-- ======== schemas/helpers/text_state.sql ========
-- A text's state in a word for people; the one definition.
--   due | waiting (for its hour or next try) | held (a person can mend it) | under_way | in_doubt | sent | failed | cancelled
create or replace function smsretry.text_state(retry public.sms_retry_queue, at timestamptz)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.status = 'completed' then 'sent'
        when retry.status in ('failed', 'cancelled') then retry.status
        when retry.in_doubt_since is not null then 'in_doubt'
        when retry.status = 'processing' then 'under_way'
        when retry.held_since is not null then 'held'
        when retry.scheduled_for <= text_state.at then 'due'
        else 'waiting'
    end
$$;

-- ======== schemas/helpers/took_long.sql ========
-- Whether one row took so long to write that its business's other rows would hold up everybody.
create or replace function smsretry.took_long(began timestamptz)
returns boolean language sql volatile set search_path = pg_catalog, pg_temp as $$
    select clock_timestamp() - took_long.began > interval '250 milliseconds'
$$;

-- ======== schemas/helpers/words_of_stop.sql ========
-- The words by which people say stop: the one list, as smsretry.plain_words writes words.
--   keyword: all of a text, alone or repeated · courtesy: may stand beside a keyword
--   words: a regular expression, anywhere in a text; it may mean stop
--   not_this: has such a word and means something else; removed before words are looked for · even_so: counts all the same
-- said_by: who names the word. 47 CFR 64.1200(a)(10)(i) has seven that always revoke consent. Twilio: Advanced Opt-Out's
-- default keywords, and "Opt-out keywords" of Proxy (French). AWS: "Required opt-out keywords" of End User Messaging.
-- Telnyx: "Advanced Opt-In/Out". Ours: the plain word for it, or what people write.
create or replace function smsretry.words_of_stop()
returns table (kind text, language text, said_by text, words text[])
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select w.kind, w.language, w.said_by,
           string_to_array(regexp_replace(normalize(w.words, nfkd), '[\u0300-\u036f\u064b-\u065f]', '', 'g'), '; ')
    from (values
        ('keyword', 'en', '47 CFR 64.1200(a)(10)(i)', 'stop; quit; end; revoke; opt out; cancel; unsubscribe'),
        ('keyword', 'en', 'Twilio', 'stopall; optout'),
        ('keyword', 'en', 'Telnyx', 'stop all'),
        ('keyword', 'en', 'AWS', 'remove; td'),
        ('keyword', 'fr', 'Twilio', 'arret; arrete; arrett'),
        ('keyword', 'en', 'ours', 'unsub; stop it; stop now; stop texting; opt me out; remove me; cease; desist; halt; 2stop; stop2end; st0p; 5top; stp; sotp; stpo; tsop; stoip; stop0; unsuscribe; unsubcribe; unsubscibe; unsubsribe; unsubscrib; cancle'),
        ('keyword', 'es', 'ours', 'alto; baja; para; pare; paren; parar; basta; detener; detente; cancelar; cancela; eliminar; salir; fin; terminar; no mas; dar de baja; anular; desuscribir; desuscribirme'),
        ('keyword', 'fr', 'ours', 'arretez; arreter; stopper; fin; annuler; annulez; desabonner; desabonnement; desabonnez moi; desinscrire; desinscription; resilier; supprimer'),
        ('keyword', 'de', 'ours', 'stopp; stoppen; ende; schluss; abmelden; abmeldung; abbestellen; austragen; aufhoren; aufhoeren; kundigen; kuendigen; widerruf; widerrufen; loschen'),
        ('keyword', 'pt', 'ours', 'parem; sair; remover; descadastrar; descadastre; chega; fim; suspender'),
        ('keyword', 'it', 'ours', 'ferma; fermare; fermati; annulla; cancella; cancellami; disiscrivi; disiscrivimi; rimuovi; disdici'),
        ('keyword', 'nl, da, no, sv, fi', 'ours', 'afmelden; uitschrijven; opzeggen; einde; stopt; afmeld; frameld; meld af; avmeld; avslutt; slutt; avsluta; sluta; avregistrera; lopeta'),
        ('keyword', 'pl, cs, hu, ro, tr', 'ours', 'koniec; wypisz; wypisz mnie; rezygnuje; rezygnacja; anuluj; odhlasit; konec; zrusit; leiratkozas; alljon le; dezabonare; opreste; dur; durdur; iptal; ret'),
        ('keyword', 'vi, tl, id, ht', 'ours', 'dung lai; ngung; tigil; itigil; hinto; tama na; berhenti; henti; batal; sispann; kanpe'),
        ('keyword', 'ru, uk, el', 'ours', 'стоп; отписаться; отписка; отпишите; отмена; хватит; прекратите; прекратить; отстаньте; відписатися; досить; припиніть; στοπ; διακοπη; σταματηστε; τελοσ'),
        ('keyword', 'ar, he, hi, th', 'ours', 'توقف; قف; ايقاف; إيقاف; الغاء; إلغاء; وقف; הסר; הסרה; הסירו; עצור; הפסק; הפסיקו; די; बंद; बंद करो; बंद करें; रोको; रोकें; रुको; หยุด; ยกเลิก'),
        ('keyword', 'zh, ja, ko', 'ours', '停止; 停; 退订; 退訂; 取消; 取消订阅; 取消訂閱; 配信停止; 解除; 停止して; ストップ; やめて; 중지; 정지; 그만; 수신거부; 수신 거부; 거부; 취소; 스톱'),
        ('courtesy', 'en', 'ours', 'please; pls; plz; plse; kindly; thanks; thank; you; thx; ty; now; ok; okay; all; it; this; immediately; asap; already; just; hi; hello; hey; sorry; sir; madam; everything; forever; right; away; at; once; me; my; number'),
        ('courtesy', 'es, fr, de, pt, it', 'ours', 'por; favor; gracias; ya; svp; sil; vous; te; plait; merci; bitte; danke; sofort; obrigado; obrigada; per; favore; grazie'),
        ('not_this', 'en', 'ours', '\m(do not|dont|never|not|wont|cant|cannot|didnt|doesnt|couldnt|wouldnt|shouldnt|non)( ever| really| want to| want you to| want it to| please)? (stop|unsubscribe|opt out|cancel)\M'),
        ('not_this', 'en', 'ours', '\m(a|an|the|my|our|your|his|her|their|one|another|each|every|first|second|third|2nd|3rd|last|final|next|full|quick|short|which|what|same|bus|train|tram|metro|subway|truck|pit|rest|gas|whistle) stop\M'),
        ('not_this', 'en', 'ours', '\mstop (by|in|into|over|off|around|round|at|for|to get|to pick|to see|on the way|on my way|sign|signs|light|lights|watch|loss|gap|motion|and shop|n shop|shop|and go|number [0-9]+)\M'),
        ('even_so', 'en', 'ours', '\mstop (at|for) (once|all|good|now|ever|real|god|gods|fucks?|the love)\M'),
        ('even_so', 'en', 'ours', '\m(you|u|they|these|those|it|texts?|messages?|msgs?)( just)? (do not|dont|wont|will not|never|didnt|doesnt|not) stop( [^ ]*(text|mess|send|contact|spam)[^ ]*)?$'),
        ('words', 'en', 'ours', '\m(sto+p+|stopall|un ?sub(scribe|scribed|scribing)?|unsuscribe|unsubcribe|opt(ed|ing)?( me| us| my number| this number)? ?out)\M'),
        ('words', 'en', 'ours', '\m(do not|dont|never|not|quit|cease|no more)( ever| be| you)? (text|txt|texting|txting|message|messaging|msg|contact|contacting|bother|bothering|spam|spamming|harass|harassing|sms|sending)\M'),
        ('words', 'en', 'ours', '\m(do not|dont|never|quit|cease)( ever)? (send( [^ ]+){0,4} (texts?|messages?|msgs?|sms|anything|any ?more|again|reminders?|notifications?|offers|ads|promotions|spam)\M|send( me| us)?( this| these| those)?$|call( me| us| this number| here)?( ever)? (again|any ?more|ever|(or|and|nor) (text|message))\M)'),
        ('words', 'en', 'ours', '\m(do not|dont|no longer|never)( really)? (want|wants|need|wish|care|like|asked|signed|agreed|consent)( [^ ]+){0,5} (texts?|texted|texting|messages?|messaged|msgs?|sms|contact|contacted|notifications?|reminders?|alerts?|marketing|promotions?|offers|ads|spam)\M|\m(do not|dont)( really)? want( to receive| to get)? (this|these|those)( any ?more)?$'),
        ('words', 'en', 'ours', '(^|\m(please|pls|plz|want|said|i say) )no (texts?|texting|messages?|sms)( please| pls| plz| thanks| thank you| ever|$)|\m(no more|no further|enough|too many)( fucking| damn| of these| of your)* (texts?|texting|messages?|msgs?|sms|notifications?|reminders?|ads|spam)( please| pls| plz| thanks| thank you| again| ever|$)'),
        ('words', 'en', 'ours', '\m(no more|no longer (interested|needed|required)|not interested|uninterested|(ive|i have|thats|that is) enough|had enough|enough is enough|enough already)( please| pls| plz| thanks| thank you| sorry)?$|^enough( now| please)?$|\m(no longer|not)( a| an| your)* (customer|client|patient)\M|\mis deceased\M'),
        ('words', 'en', 'ours', '\m(cancel|end|revoke|discontinue|terminate|suspend|halt|disable|deactivate|turn off|shut off|block|unsubscribe from)( [^ ]+){0,3} (texts|texting|text (alerts?|messages?|reminders?|notifications?)|messages?|messaging|msgs?|sms|subscriptions?|notifications?|alerts?|reminders?|spam)\M'),
        ('words', 'en', 'ours', '\m(revoke|revoking|revoked|withdraw|withdrawing|withdrawn|rescind|end|cancel|remove)( [^ ]+){0,2} (consent|permission|authorization)\M|\mi (hereby )?revoke\M|\mconsent (is )?(revoked|withdrawn)\M'),
        ('words', 'en', 'ours', '\m(remove|delete|erase|scratch) (me|us)\M|\m(remove|delete|erase|scratch|drop|lose|forget) (this number|the number|number|my (name|number|cell|phone|info|information|contact|data))\M|\mremove from( the| your| this)? list\M'),
        ('words', 'en', 'ours', '\mtake (me|us|this number|my (name|number|cell|phone))( [^ ]+){0,2} (off|out)\M|\m(off|from)( of)? (your|ur|this|the|ya) ((text|texting|call|calling|contact|mailing|sms) )?list\M'),
        ('words', 'en', 'ours', '\mwrong (number|person|phone|guy|contact)\M|\mnot (my|his|her|their) (number|phone)\M|\m(is not|isnt|aint) [^ ]+ (number|phone)( any ?more)?$|\mhow did (you|u) get (my|this) number\M|\mwho gave (you|u) (my|this) number\M'),
        ('words', 'en', 'ours', '\m(leave me( the [^ ]+)? alone|leave us alone|go away|get lost|knock it off|cut it out|shut up|buzz off|bug off|fuck off|f off|fuck you|piss off|screw you|go to hell|give it a rest)\M'),
        ('words', 'en', 'ours', '\m(do not call (list|registry)|dnc|tcpa|fcc|cease and desist|harass(ing|ment)?|spamming|spammers?|(this is|its|is|no|more|your|this|report) spam|report(ing|ed)? (you|this|your number|as)|block(ing|ed)? (you|this number|your number)|sue you|suing|(will|ill|i) sue|my (lawyer|attorney))\M|^spam$'),
        ('words', 'en', 'ours', '^(off|exit|delete|erase|block|blocked|withdraw|unenroll|deregister|unregister|terminate|discontinue|dnd|do not disturb|no contact)( this| me| it| please| pls)*$'),
        ('words', 'en', 'ours', '\m(refrain from|(prefer|rather) not)( to)?( be| get| getting| receive)? (text|mess|contact)|\m(why are you|you keep|keep on|why do i keep|i keep) (texting|messaging|getting (texts|messages|these)|receiving (texts|messages|these)|sending)\M'),
        ('words', 'en', 'ours', '\m(did not|didnt|never)( ever)? (sign up|signed up|ask for this|asked for this|ask for these|asked for these|agree|agreed|consent|consented|subscribe|subscribed|gave you permission|give you permission|gave permission)\M'),
        ('words', 'es', 'ours', '\m(par[aeo]n?|parar|alto|basta|dej[ae]n?|dejar|ces[ae]n?)( ya)?( de)? (enviar|enviarme|mandar|mandarme|escribir|escribirme|molestar|molestarme|textear|textearme|mensajes?|textos?|llamar|llamarme)\M|\m(no mas|ya no|ni un)( [^ ]+){0,3} (mensajes?|textos?|sms|notificaciones|publicidad|recordatorios|favor|gracias)\M'),
        ('words', 'es', 'ours', '\m(no|ya no|nunca)( me| nos)? (envi|mand|escrib|contact|molest|texte|llam)(e|es|en|a|as|an|i|is|ies|ien)( mas| nada| mensajes?| textos?| por favor|$)|\mno (quiero|deseo|quisiera)( [^ ]+){0,3} (mensajes?|textos?|sms|notificaciones|publicidad|recordatorios|contacten)\M'),
        ('words', 'es', 'ours', '\m(dar|darme|dame|denme|deme|den|quiero) (de )?(la )?baja\M|\mde baja\M|\m(borr|elimin|quit|saqu|remuev)(a|e|en|ar)me\M|\m(numero|persona) equivocad[oa]\M|\mequivocad[oa]$|\mdesuscri|\mdejen?me en paz\M|\mcancel(ar|en|e|a)( la| los| mis| mi| las)? (suscripcion|mensajes|textos|notificaciones)\M|\m(borrar|borren?|eliminar|eliminen?|quitar|quiten?) (mi|este) numero\M|\mno (me interesa|estoy interesad[oa])\M|^(no quiero|desactivar)( gracias| por favor)?$'),
        ('words', 'fr', 'ours', '\m(arrete[rz]?|cesse[rz]?)( svp| sil vous plait)?( de| d| les| vos| ces| tout| ca)\M|\m(ne |n)?(me |m)?(envoyez|envoyer|envoie|contactez|contacter|textez|ecrivez|derangez|envoyez moi) (plus|pas)\M|\m(plus|pas|aucun) (de |d )?(messages?|textos?|sms)\M|\mplus recevoir\M|\m(me |m)?(desabonn|desinscri)|\m(retirez|enlevez|supprimez|retirer|effacez) (moi|mon numero)\M|\m(mauvais|faux) numero\M|\mlaissez moi tranquille\M|\mpas interessee?\M|^fini$'),
        ('words', 'de', 'ours', '\m(keine|keinen|nicht mehr|nie wieder|nie mehr)( [^ ]+){0,3} (sms|nachrichten?|textnachrichten|mitteilungen|werbung|schreiben|anschreiben|kontaktieren|texten|senden|schicken)\M|\mhor(t|en sie)?( [^ ]+){0,3} auf\M|\m(abmelden|abbestellen|austragen|aufhoren|stoppen)\M|\mfalsche nummer\M|\mkein interesse\M|\mnicht mehr( bitte| danke)?$|\min ruhe\M|\m(meine|diese) nummer (zu )?loschen\M|\mlosch(en|t|e)( sie)?( bitte)? (meine|diese) nummer\M'),
        ('words', 'pt, it, nl', 'ours', '\mpar(e|em|ar|a) de (me |enviar|mandar|escrever)|\mnao( me)? (envi|mand|escrev|contat|perturb|incomod)[a-z]+|\mnao (quero|desejo)( [^ ]+){0,3} (mensagens|mensagem|sms|textos?)\M|\mnumero errado\M|\mdescadastr|\m(me )?(tire|tirem|remova|removam|retire)( me| meu)\M|\mnon( mi)? (scriv|mand|invi|contatt|disturb)[a-z]+|\mnon voglio( [^ ]+){0,3} (messaggi|sms)\M|\m(smett|basta con)[a-z]*|\mbasta (messaggi|sms)\M|\mnumero sbagliato\M|\mdisiscriv|\m(cancellatemi|rimuovetemi|toglietemi)\M|\m(geen|nooit meer)( [^ ]+){0,3} (berichten|berichtjes|sms|smsjes)\M|\mniet meer( [^ ]+){0,2} (smsen|appen|berichten|sturen|contact)\M|\m(uitschrijven|afmelden)\M|\mverkeerd nummer\M|\m(nao tenho|geen) interesse\M|\mnon mi interessa\M'),
        ('words', 'ru, uk, zh, ja, ko, vi, tl', 'ours', 'отпиш|отписа|не пиши|не присыла|не отправля|прекрат|перестан|відпиш|не пиш|не надсила|不要再|别再发|別再發|不要发|退订|退訂|取消订阅|取消訂閱|送らない|やめて|停止して|配信停止|보내지|수신거부|그만 보내|dung nhan tin|dung gui|khong gui|huwag (na|nang|mo) |tigilan')
    ) as w (kind, language, said_by, words)
$$;

-- ======== drop smsretry.claimed_retry ========
drop view if exists smsretry.claimed_retry;

-- ======== schemas/views/claimed_retry.sql ========
-- What a claim returns to its worker: a row with everything that decides about it. Row level security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, left(q.last_error, smsretry.longest_reason()) as last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at, q.held_since is not null as held, left(q.why, smsretry.longest_reason()) as why,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.account_refusal_count, q.message_class,
       a.begun_at as attempt_begun_at, a.sent_to, a.sent_body, a.sent_by,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       -- Values are cut: a body of megabytes would cost the other rows of the claim.
       l.id is not null as send_log_found, left(l.subject, smsretry.longest_body() + 1) as body, left(l.channel::text, 40) as channel,
       smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
       smsretry.found_sid(l.provider_message_id) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       -- The application's own processor goes by this; our workers check again at begin.
       case when q.claimed_by_application and smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone)) is not null
            then 'opted_out' else left(c.sms_consent_status::text, 40) end as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by,
       -- Undelivered messages of this text, newest first: the provider is asked once more before another one leaves. A text
       -- with one row and no error has none.
       case when q.last_error is null
                 and cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) < 2
            then '{}' else array(
           select m.twilio_sid from public.sms_send_attempts m
           -- An array, so that an index finds them without statistics.
           where m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
             and smsretry.is_lost(m.delivery_status)
           order by m.begun_at desc) end as lost_sids,
       -- Since when it might have gone out: not before it was queued, unless it was planned.
       case when q.scheduled_for < q.created_at
                 and not exists (select 1 from public.scheduled_sends s
                                 where s.id = q.send_log_id and s.business_id = q.business_id)
            then q.created_at else q.scheduled_for end as due_since,
       -- For a row in doubt: bodies of other sends to that number in doubt or under way, the nearest in time first. A message
       -- with those words is theirs.
       case when q.in_doubt_since is null then '{}' else array(
           select o.sent_body from public.sms_send_attempts o
           where o.sent_to = a.sent_to and o.id <> a.id and o.sent_body <> coalesce(a.sent_body, '')
           group by o.sent_body order by min(abs(extract(epoch from o.begun_at - a.begun_at))), o.sent_body
           limit 20) end as other_bodies,
       (select min(o.opened_at) from smsretry.circuit o) as circuit_opened_at,
       (select min(o.opened_at) from smsretry.business_circuits o where o.business_id = q.business_id) as business_circuit_opened_at,
       (select max(o.tried_at) from smsretry.business_circuits o where o.business_id = q.business_id) as business_circuit_tried_at,
       exists (select 1 from public.sms_retry_queue o
               where o.status = 'pending' and o.recover_count >= smsretry.suspect_after() and o.scheduled_for <= smsretry.clock()) as suspects_wait,
       -- Only preview_sms_retries fills these in.
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       q.why_code, null::text as refused_code,
       -- claim_due_sms_retries sets it.
       true as others_wait
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business.
left join public.send_logs l on l.id = q.send_log_id and l.business_id = q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id = q.business_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;

-- ======== drop smsretry.scheduled_claim ========
drop view if exists smsretry.scheduled_claim;

-- ======== schemas/views/scheduled_claim.sql ========
-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by, array[]::text[] as lost_sids,
       s.scheduled_for as due_since,
       array[]::text[] as other_bodies,
       (select min(o.opened_at) from smsretry.circuit o) as circuit_opened_at,
       null::timestamptz as business_circuit_opened_at, null::timestamptz as business_circuit_tried_at,
       false as suspects_wait,
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       case when h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code, null::text as refused_code,
       true as others_wait
from public.scheduled_sends s
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join public.businesses b on b.id = s.business_id
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

-- ======== schemas/queue/before_insert.sql ========
-- A row is inserted: the claim of the application's own processor ends, a doubt about an earlier send of the text is kept,
-- and its age counts from now by the one clock. security definer, because a tenant may not update rows. If row level
-- security refuses the row, all of this is undone.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_doubt record;
begin
    if new.status = 'pending' then
        new.created_at := smsretry.clock();
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
        select * into v_doubt from smsretry.earlier_doubt(new.send_log_id, new.business_id);
        if v_doubt.attempt_id is not null then
            new.attempt_id := v_doubt.attempt_id;
            new.in_doubt_since := v_doubt.since;
            new.why := v_doubt.why;
            new.why_code := 'in_doubt';
        end if;
    end if;
    new.last_error := left(new.last_error, smsretry.longest_reason());
    return new;
end
$$;

-- ======== schemas/queue/begin_for_application.sql ========
-- A send that may have been made without a begin, by the application's own processor or before a restore: it counts as begun
-- when the row was claimed, with what the rows say now.
create or replace function smsretry.begin_for_application(retry public.sms_retry_queue)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.attempt_id := gen_random_uuid();
    retry.begun_at := retry.claimed_at;
    perform smsretry.write_attempt(retry, retry.attempt_id, retry.attempt_count + 1, retry.claimed_at);
    return retry;
end
$$;

-- ======== schemas/queue/check_queueable.sql ========
-- Refuse a send log whose text cannot be owed to anybody. The caller has locked it; its id is null if there is none.
create or replace function smsretry.check_queueable(log public.send_logs, asked_for uuid)
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if log.id is null then
        raise exception 'There is no send log %', asked_for
            using errcode = 'SR404', hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    if log.channel <> 'sms' then
        raise exception 'Send log % is of channel %, not sms', log.id, log.channel using errcode = 'SR422';
    end if;
    if log.customer_id is null then
        raise exception 'Send log % names no customer', log.id
            using errcode = 'SR422', hint = 'Set send_logs.customer_id: consent and phone number are read there.';
    end if;
    if exists (select 1 from public.customers c where c.id = log.customer_id and c.business_id <> log.business_id) then
        raise exception 'Send log % names a customer of another business', log.id using errcode = 'SR422';
    end if;
end
$$;

-- ======== schemas/queue/close_row.sql ========
-- End a row as failed or cancelled, and tell its send log why, unless that says sent. The caller holds the row locked; what
-- else it set in the row is kept.
create or replace function smsretry.close_row(
    retry public.sms_retry_queue, final_status text, error text, why_code text, code integer, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := close_row.final_status;
    retry.last_error := close_row.error;
    retry.error_code := close_row.code;
    retry.why := null;
    retry.why_code := close_row.why_code;
    perform smsretry.save_row(retry, close_row.at);

    update public.send_logs l
    set status = 'failed', error_message = left(close_row.error, smsretry.longest_reason()), updated_at = close_row.at
    where l.id = retry.send_log_id and l.business_id = retry.business_id
      and not smsretry.is_sent(l.provider_message_id, l.status::text);
end
$$;

-- ======== schemas/queue/complete_row.sql ========
-- End a row whose text the provider accepted, and tell its send log. Without a SID the log already says so and stays, as
-- does one that was delivered by an earlier message. why: what the row said before, if it had ended. Locked: as in close_row.
create or replace function smsretry.complete_row(
    retry public.sms_retry_queue, sid text, at timestamptz, why text default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := 'completed';
    retry.last_error := null;
    retry.error_code := null;
    retry.why := complete_row.why;
    retry.why_code := null;
    perform smsretry.save_row(retry, complete_row.at);

    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    where l.id = retry.send_log_id
      and not (l.status::text = 'delivered' and smsretry.found_sid(l.provider_message_id) is not null);
end
$$;

-- ======== schemas/queue/put_back.sql ========
-- Return a row to pending until it is due. Locked: as in close_row.
create or replace function smsretry.put_back(retry public.sms_retry_queue, due timestamptz, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := 'pending';
    retry.scheduled_for := put_back.due;
    perform smsretry.save_row(retry, put_back.at);
end
$$;

-- ======== schemas/queue/queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it has. If an earlier row ended in doubt, the new one is in
-- doubt about that send (smsretry.before_insert).
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed)
-- Parameter names are the API, here and in all of public. The application may call it with send_log_id alone. Nulls mean the
-- default: due in one minute, marketing, of use for as long as the worker says. expires_in: a day has 24 hours.
-- scheduled_for wins over retry_in.
create or replace function public.queue_sms_retry(
    send_log_id uuid, reason text default null, attempt_count integer default 0, scheduled_for timestamptz default null,
    error text default null, retry_in interval default null, max_attempts integer default 3, expires_in interval default null,
    message_class text default null
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_due constant timestamptz := coalesce(
        queue_sms_retry.scheduled_for, v_now + coalesce(queue_sms_retry.retry_in, interval '1 minute'));
    v_expires constant timestamptz := v_now
        + make_interval(secs => extract(epoch from queue_sms_retry.expires_in)::double precision);
    v_error constant text := left(queue_sms_retry.error, smsretry.longest_reason());
    v_class constant text := coalesce(queue_sms_retry.message_class, 'marketing');
    v_log public.send_logs;
begin
    select * into v_log from public.send_logs l where l.id = queue_sms_retry.send_log_id for update;
    perform smsretry.check_queueable(v_log, queue_sms_retry.send_log_id);
    if queue_sms_retry.attempt_count is null or queue_sms_retry.max_attempts is null then
        raise exception 'attempt_count and max_attempts must be numbers' using errcode = 'SR422';
    end if;
    if v_class not in ('marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional' using errcode = 'SR422';
    end if;
    if smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    perform smsretry.supersede(v_log.id, queue_sms_retry.attempt_count);
    for v_try in 1 .. 3 loop -- again only if somebody else inserts a row for the same text at this very moment
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id and q.status in ('pending', 'processing');
        if found then
            return;
        end if;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts then
            update public.send_logs l
            set status = 'failed', updated_at = v_now, error_message = coalesce(
                v_error, 'Gave up after ' || queue_sms_retry.attempt_count || ' attempts')
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            return;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
            scheduled_for, reason, last_error, expires_at, message_class, created_at, updated_at)
        values (
            v_log.business_id, v_log.id, v_log.customer_id, 'pending', queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts, v_due, queue_sms_retry.reason, v_error, v_expires, v_class,
            v_now, v_now)
        on conflict (send_log_id) where status in ('pending', 'processing') do nothing
        returning id, 'queued', sms_retry_queue.scheduled_for;
        if found then
            return;
        end if;
    end loop;
    raise exception 'The row for send log % was not kept', v_log.id
        using errcode = 'SR409', hint = 'A trigger on sms_retry_queue swallows inserts: look at the triggers that are not smsretry''s.';
end
$$;

-- ======== schemas/queue/save_row.sql ========
-- Write a row as its variable says: the one list of columns, so that whatever a function sets is kept. The caller has locked
-- the row and read it under that lock. What the text is, and the application's own columns, never change. A row that no
-- worker holds has no lease, and one that has ended waits for nothing. Only take_row and supersede write columns themselves.
create or replace function smsretry.save_row(retry public.sms_retry_queue, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if retry.status <> 'processing' then
        retry.claimed_at := null;
        retry.begun_at := null;
        retry.claimed_by_application := false;
    end if;
    if retry.status in ('completed', 'failed', 'cancelled') then
        retry.attempt_id := null;
        retry.in_doubt_since := null;
        retry.held_since := null;
    end if;
    update public.sms_retry_queue q
    set status = retry.status, attempt_count = retry.attempt_count, max_attempts = retry.max_attempts,
        scheduled_for = retry.scheduled_for, last_attempted_at = retry.last_attempted_at,
        last_error = left(retry.last_error, smsretry.longest_reason()), reason = retry.reason, updated_at = save_row.at,
        claim_no = retry.claim_no, claimed_at = retry.claimed_at, begun_at = retry.begun_at, attempt_id = retry.attempt_id,
        in_doubt_since = retry.in_doubt_since, reconcile_count = retry.reconcile_count,
        reconciled_claim_no = retry.reconciled_claim_no, recover_count = retry.recover_count,
        rate_limit_count = retry.rate_limit_count, account_refusal_count = retry.account_refusal_count,
        error_code = retry.error_code, why = left(retry.why, smsretry.longest_reason()), why_code = retry.why_code,
        held_since = retry.held_since,
        claimed_by_application = retry.claimed_by_application, expires_at = retry.expires_at,
        window_closes_at = retry.window_closes_at
    where q.id = retry.id;
end
$$;

-- ======== schemas/queue/supersede.sql ========
-- The application's own processor queues the next try of a text that it has claimed: that claim ends, so that one live row
-- remains. The new row counts more attempts; otherwise it is the same text queued twice, and the claim stays.
create or replace function smsretry.supersede(send_log_id uuid, attempt_count integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'failed', last_error = coalesce(q.last_error, 'Its next try is another row'), why_code = 'superseded',
        claimed_at = null, claimed_by_application = false, held_since = null, updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id and q.status = 'processing' and q.claimed_by_application
      and q.attempt_count < supersede.attempt_count
$$;

-- ======== schemas/queue/tell_waiting.sql ========
-- Tell a send log that its text waits and has no message, by its status's default; if that is refused or says sent, by
-- failed. Null if it worked; otherwise what refuses it, in codes and names: the database's message may quote the row.
create or replace function smsretry.tell_waiting(send_log_id uuid, error text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    for v_try in 1 .. 2 loop
        begin
            if v_try = 1 then
                update public.send_logs l
                set status = default, provider_message_id = default, error_message = left(tell_waiting.error, smsretry.longest_reason()),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            else
                update public.send_logs l
                set status = 'failed', provider_message_id = '{}', error_message = left(tell_waiting.error, smsretry.longest_reason()),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            end if;
            if exists (select 1 from public.send_logs l
                       where l.id = tell_waiting.send_log_id and smsretry.is_sent(l.provider_message_id, l.status::text)) then
                raise exception 'It still says that its text was sent' using errcode = 'SR409', table = 'send_logs', column = 'status';
            end if;
            return null;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name;
        end;
    end loop;
    return concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''));
end
$$;

-- ======== schemas/queue/write_attempt.sql ========
-- Record a send that begins: what is sent, to whom, under which consent and rule. The rows say what is not given.
create or replace function smsretry.write_attempt(
    retry public.sms_retry_queue, id uuid, attempt_number integer, begun_at timestamptz, rule text default null,
    body text default null, sent_by text default null, run_id uuid default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id)
    select write_attempt.id, retry.id, write_attempt.attempt_number, retry.claim_no, write_attempt.begun_at,
           left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200), write_attempt.rule,
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40),
           coalesce(write_attempt.body, left(l.subject, smsretry.longest_body() + 1)), write_attempt.sent_by, write_attempt.run_id
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
end
$$;

-- ======== schemas/turns/claim_in_turn.sql ========
-- Lock up to limit_count due rows of this kind, business by business in turns, from where the last claim ended. Rows that
-- are locked, or no longer due, are passed over. Kinds and settled: smsretry.in_turn.
--   ids: in turns · businesses: whose turn it was · complete: whether nobody else has any due
create or replace function smsretry.claim_in_turn(
    kind text, limit_count integer, at timestamptz, settled timestamptz default null,
    out ids uuid[], out businesses uuid[], out complete boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_turn record;
    v_id uuid;
    v_business uuid;
    v_due boolean;
    v_served uuid;
begin
    select * into v_turn from smsretry.in_turn(kind, at, limit_count, settled);
    ids := '{}';
    businesses := v_turn.businesses;
    complete := v_turn.passed is null;
    if cardinality(businesses) = 0 then
        return;
    end if;
    -- A loop, and each row by its id alone: without statistics a join may read a whole index for each, and `limit` beside
    -- `skip locked` may take far more rows.
    foreach v_id in array smsretry.work_in_turn(kind, businesses, v_turn.each, limit_count, at, settled) loop
        exit when cardinality(ids) >= limit_count;
        if kind = 'deliveries' then
            select a.delivery_look_at <= claim_in_turn.at, a.business_id into v_due, v_business
            from public.sms_send_attempts a where a.id = v_id for update skip locked;
        else
            select q.status = 'pending' and q.scheduled_for <= claim_in_turn.at and q.recover_count < smsretry.suspect_after()
                       and (q.in_doubt_since is not null) = (kind = 'doubtful'), q.business_id
            into v_due, v_business
            from public.sms_retry_queue q where q.id = v_id for update skip locked;
        end if;
        if v_due then
            ids := ids || v_id;
            v_served := v_business;
        end if;
    end loop;
    perform smsretry.end_turn(
        kind, v_turn.place, businesses, v_turn.passed, v_served, cardinality(ids) = limit_count);
end
$$;

-- ======== schemas/turns/end_turn.sql ========
-- A claim has ended: the next one from this place begins behind the last business served; or, if too little could be taken
-- because the rest is locked, behind all that were tried.
create or replace function smsretry.end_turn(
    kind text, place integer, businesses uuid[], passed uuid, served uuid, enough boolean
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update smsretry.turns t
    set after = coalesce(
        end_turn.passed,
        case when end_turn.enough then end_turn.served else end_turn.businesses[cardinality(end_turn.businesses)] end,
        t.after)
    where t.kind = end_turn.kind and t.place = end_turn.place
$$;

-- ======== schemas/turns/in_turn.sql ========
-- Whose turn it is: the businesses with due work of this kind, by id round and round, behind the one served last. Neither
-- what nor how much they wrote changes the order.
--   kind: texts | doubtful | scheduled | deliveries (settled: accepted no later than that, unless they failed)
--   businesses: up to twice limit_count, because locked rows are passed over; empty: nothing is due
--   each: how many of each to look at first, several times what is taken for the same reason
--   place: of smsretry.turns, locked until end_turn; null: all that is due fits into the claim, or all places are taken and
--     the order begins anywhere
--   passed: how far was looked, if too many wait for later; the longest waiting are then added, and the next claim goes on
create or replace function smsretry.in_turn(
    kind text, at timestamptz, limit_count integer, settled timestamptz default null,
    out businesses uuid[], out each integer, out place integer, out passed uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_peek constant integer := greatest(4 * limit_count, 200);
    v_known uuid[];
    v_seen bigint;
    v_start uuid;
begin
    select w.businesses, w.seen into v_known, v_seen from smsretry.waited_longest(kind, at, v_peek, settled) w;
    if v_seen <= limit_count then
        businesses := coalesce(v_known, '{}');
        each := limit_count;
        return;
    end if;
    select t.place, t.after into place, v_start from smsretry.turns t
    where t.kind = in_turn.kind order by t.place limit 1 for update skip locked;
    v_start := coalesce(v_start, md5(concat(clock_timestamp(), pg_backend_pid()))::uuid);
    if v_seen = v_peek then -- there may be more, of others
        select n.businesses, n.passed into businesses, passed
        from smsretry.next_in_turn(kind, at, v_start, 2 * limit_count, settled) n;
    end if;
    if v_seen < v_peek or passed is not null then
        businesses := coalesce(businesses, '{}') || array(
            select b from unnest(v_known) b where (b = any (businesses)) is not true order by b <= coalesce(passed, v_start), b);
    end if;
    each := v_peek / greatest(cardinality(businesses), 1) + 1;
end
$$;

-- ======== schemas/turns/next_in_turn.sql ========
-- Up to `most` businesses with due work of this kind, by id round and round from behind `start`. Kinds: smsretry.in_turn.
--   passed: how far was looked, if 5,000 that wait for later came before there were enough
-- One index probe a business; none of its other rows is read. enable_sort is off, so that the order's own index is used.
create or replace function smsretry.next_in_turn(
    kind text, at timestamptz, start uuid, most integer, settled timestamptz, out businesses uuid[], out passed uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
declare
    v_business uuid := start;
    v_class text := 'transactional'; -- the last one: the next step goes to another business
    v_edge timestamptz := 'infinity'; -- likewise
    v_due timestamptz;
    v_wrapped boolean := false;
begin
    businesses := '{}';
    for v_looks in 1 .. 5000 loop
        case kind
        when 'texts' then
            select q.business_id, q.message_class, q.scheduled_for into v_business, v_class, v_due from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.message_class) > (v_business, v_class)
            order by q.business_id, q.message_class, q.scheduled_for limit 1;
        when 'doubtful' then
            select q.business_id, q.scheduled_for into v_business, v_due from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.scheduled_for) > (v_business, v_edge)
            order by q.business_id, q.scheduled_for limit 1;
        when 'scheduled' then
            select s.business_id, coalesce(s.look_at, s.scheduled_for) into v_business, v_due from public.scheduled_sends s
            where s.status = 'scheduled' and (s.business_id, coalesce(s.look_at, s.scheduled_for)) > (v_business, v_edge)
              and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
            order by s.business_id, coalesce(s.look_at, s.scheduled_for) limit 1;
        when 'deliveries' then
            select a.business_id, a.delivery_look_at into v_business, v_due from public.sms_send_attempts a
            where a.delivery_look_at is not null and (a.business_id, a.delivery_look_at) > (v_business, v_edge)
              and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
            order by a.business_id, a.delivery_look_at limit 1;
        end case;
        v_edge := 'infinity';
        if v_business is null then -- there is none behind: on from the first one
            exit when v_wrapped;
            v_wrapped := true;
            v_business := '00000000-0000-0000-0000-000000000000';
            v_class := '';
            v_edge := '-infinity';
            continue;
        end if;
        exit when v_wrapped and v_business > start;
        if v_due <= at then
            businesses := businesses || v_business;
            exit when cardinality(businesses) >= most;
            v_class := 'transactional';
        end if;
        if v_looks = 5000 then
            passed := v_business;
        end if;
    end loop;
end
$$;

-- ======== schemas/turns/others_in_turn.sql ========
-- Due work of these businesses other than texts, in turns: the longest waiting of each, then the next; at most `each` a
-- business. Kinds, and enable_sort: smsretry.next_in_turn.
create or replace function smsretry.others_in_turn(
    kind text, businesses uuid[], each integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    return (
        select array_agg(w.id order by w.turn, b.place)
        from unnest(businesses) with ordinality as b (id, place)
        cross join lateral (
            select n.id, row_number() over () as turn
            from (
                (select q.id from public.sms_retry_queue q
                 where kind = 'doubtful'
                   and q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
                   and (q.business_id, q.scheduled_for) >= (b.id, '-infinity') and (q.business_id, q.scheduled_for) <= (b.id, at)
                 order by q.business_id, q.scheduled_for, q.id limit each)
                union all
                (select s.id from public.scheduled_sends s
                 where kind = 'scheduled' and s.status = 'scheduled'
                   and (s.business_id, coalesce(s.look_at, s.scheduled_for)) >= (b.id, '-infinity')
                   and (s.business_id, coalesce(s.look_at, s.scheduled_for)) <= (b.id, at)
                   and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
                 order by s.business_id, coalesce(s.look_at, s.scheduled_for), s.id limit each)
                union all
                (select a.id from public.sms_send_attempts a
                 where kind = 'deliveries' and a.delivery_look_at is not null
                   and (a.business_id, a.delivery_look_at) >= (b.id, '-infinity') and (a.business_id, a.delivery_look_at) <= (b.id, at)
                   and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
                 order by a.business_id, a.delivery_look_at, a.id limit each)
            ) n
        ) w);
end
$$;

-- ======== schemas/turns/texts_in_turn.sql ========
-- Due texts of these businesses, in turns: the first of each, then the second. Within a business, transactional texts come
-- first, then those whose window closes within the hour. At most `each` of each class of a business. enable_sort: next_in_turn.
create or replace function smsretry.texts_in_turn(businesses uuid[], each integer, at timestamptz)
returns uuid[] language sql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
    select array_agg(t.id order by t.turn, t.place)
    from (
        select c.id, b.place, row_number() over (
                   partition by b.place order by c.message_class desc, c.closes_soon, c.scheduled_for, c.id) as turn
        from unnest(texts_in_turn.businesses) with ordinality as b (id, place)
        cross join lateral (
            select d.id, d.message_class, d.scheduled_for,
                   case when d.window_closes_at between texts_in_turn.at and texts_in_turn.at + interval '1 hour'
                        then d.window_closes_at end as closes_soon
            from (
                (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
                   and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'transactional', '-infinity')
                   and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'transactional', texts_in_turn.at)
                 order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
                union
                (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
                   and q.window_closes_at is not null and q.scheduled_for <= texts_in_turn.at
                   and (q.business_id, q.window_closes_at) >= (b.id, texts_in_turn.at)
                   and (q.business_id, q.window_closes_at) <= (b.id, texts_in_turn.at + interval '1 hour')
                 order by q.business_id, q.window_closes_at, q.id limit texts_in_turn.each)
                union
                (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
                   and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'marketing', '-infinity')
                   and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'marketing', texts_in_turn.at)
                 order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
            ) d
        ) c
    ) t
$$;

-- ======== schemas/turns/waited_longest.sql ========
-- The businesses of the `most` due items of this kind that have waited longest, and how many items there are: a cheap way to
-- see that little or nothing is due. Kinds: smsretry.in_turn.
create or replace function smsretry.waited_longest(
    kind text, at timestamptz, most integer, settled timestamptz, out businesses uuid[], out seen bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    case kind
    when 'texts' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select q.business_id from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n;
    when 'doubtful' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select q.business_id from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is not null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n;
    when 'scheduled' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select s.business_id from public.scheduled_sends s
              where s.status = 'scheduled' and coalesce(s.look_at, s.scheduled_for) <= at
                -- No join, so that the index is walked in order and only as far as needed.
                and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
              order by coalesce(s.look_at, s.scheduled_for), s.id limit most) n;
    when 'deliveries' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select a.business_id from public.sms_send_attempts a
              where a.delivery_look_at <= at and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
              order by a.delivery_look_at limit most) n;
    end case;
end
$$;

-- ======== schemas/turns/work_in_turn.sql ========
-- Due work of these businesses in turns: at first only `each` of a business, and up to `most` if a few of them have most of
-- it. Kinds and settled: smsretry.in_turn.
create or replace function smsretry.work_in_turn(
    kind text, businesses uuid[], each integer, most integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids uuid[];
    v_each integer;
begin
    foreach v_each in array array[each, most] loop
        if v_ids is null or cardinality(v_ids) < most and v_each > each then
            v_ids := coalesce(case kind when 'texts' then smsretry.texts_in_turn(businesses, v_each, at)
                                        else smsretry.others_in_turn(kind, businesses, v_each, at, settled) end, '{}');
        end if;
    end loop;
    return v_ids;
end
$$;

-- ======== schemas/worker/accept_attempt.sql ========
-- The provider has the message of this attempt (sid; null if only its send log says so). A row that waits for the answer is
-- completed; otherwise the send log is told, unless it has another message. The caller holds the row locked: the attempt's
-- own, or the newer one that is in doubt about it, which then owns it.
create or replace function smsretry.accept_attempt(
    retry public.sms_retry_queue, attempt_id uuid, sid text, settled_by text, at timestamptz
)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = accept_attempt.at, settled_by = accept_attempt.settled_by,
        twilio_sid = accept_attempt.sid, error_code = null, sent_to = null, sent_body = null,
        delivery_look_at = case when accept_attempt.sid is not null then accept_attempt.at end,
        retry_id = retry.id, claim_no = case when a.retry_id = retry.id then a.claim_no else retry.claim_no end
    where a.id = accept_attempt.attempt_id;
    if retry.status in ('pending', 'processing') and (retry.begun_at is null or retry.attempt_id = accept_attempt.attempt_id) then
        perform smsretry.complete_row(retry, accept_attempt.sid, accept_attempt.at);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = accept_attempt.at,
        provider_message_id = jsonb_build_object('twilio_sid', accept_attempt.sid)
    where l.id = retry.send_log_id and smsretry.found_sid(l.provider_message_id) is null;
    return 'recorded';
end
$$;

-- ======== schemas/worker/admit_send.sql ========
-- Whether the send of a claimed row may begin now. Parameters and answers: begin_sms_attempt. A text that may not go is
-- ended here, and one whose earlier message may have gone out is put in doubt.
create or replace function smsretry.admit_send(
    retry public.sms_retry_queue, send_before timestamptz, phone text, decided_by text, cap integer, cap_since timestamptz,
    expires_at timestamptz, life interval,
    out answer text, out why text, out why_code text, out decided_at timestamptz, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
begin
    -- `for share`: an opt-out is either seen here or waits until this send is begun.
    select * into v_customer from public.customers c
    where c.id = retry.customer_id and c.business_id = retry.business_id for share;
    if phone is null then
        perform smsretry.lock_number(retry.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(retry.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = retry.business_id;
    if cap is not null then
        reached_at := smsretry.cap_reached_at(retry.business_id, v_customer.phone, cap, cap_since);
    end if;
    -- `for share`: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = retry.send_log_id and l.business_id = retry.business_id for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time

    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        answer := 'changed'; -- deleted: the next decision says so
        return;
    end if;
    select r.why, r.why_code into why, why_code
    from smsretry.refusal(
        smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key) r;
    if why_code is null and retry.expires_at <= decided_at then
        why := 'Expired before it could be sent';
        why_code := 'expired';
    end if;
    if why_code is not null then
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, decided_at);
        answer := 'ended';
        return;
    end if;
    retry.expires_at := coalesce(retry.expires_at, expires_at, decided_at + life);
    why := smsretry.put_in_doubt(retry, decided_at);
    if why is not null then
        why_code := (select q.why_code from public.sms_retry_queue q where q.id = retry.id);
    end if;
    answer := case
        when why is not null then 'lost'
        when decided_at >= send_before then 'closed'
        when v_customer.phone is distinct from coalesce(phone, v_customer.phone)
            or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours) <> decided_by
            then 'changed'
        when reached_at is not null then 'capped'
        else 'go'
    end;
end
$$;

-- ======== schemas/worker/answer_sms_call.sql ========
-- Make one call of a worker's: function, and its parameters as JSON by name.
create or replace function smsretry.answer_sms_call(function text, v jsonb)
returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case answer_sms_call.function
        when 'begin_sms_attempt' then
            return (select to_jsonb(b) from public.begin_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, send_before => (v ->> 'send_before')::timestamptz,
                quiet_hours_rule => v ->> 'quiet_hours_rule', first_send => coalesce((v ->> 'first_send')::boolean, false),
                cap => (v ->> 'cap')::integer, cap_since => (v ->> 'cap_since')::timestamptz, phone => v ->> 'phone',
                body => v ->> 'body', sent_by => v ->> 'sent_by', decided_by => v ->> 'decided_by',
                life => (v ->> 'life')::interval, run_id => (v ->> 'run_id')::uuid,
                expires_at => (v ->> 'expires_at')::timestamptz) b);
        when 'finish_sms_attempt' then
            return (select to_jsonb(f) from public.finish_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, outcome => v ->> 'outcome', next_status => v ->> 'next_status',
                error => v ->> 'error', error_code => (v ->> 'error_code')::integer, twilio_sid => v ->> 'twilio_sid',
                retry_in => (v ->> 'retry_in')::interval, reason => v ->> 'reason',
                counted => coalesce((v ->> 'counted')::boolean, true), phone => v ->> 'phone',
                opted_out => coalesce((v ->> 'opted_out')::boolean, false), phone_status => v ->> 'phone_status',
                account_refused => coalesce((v ->> 'account_refused')::boolean, false), why_code => v ->> 'why_code') f);
        when 'defer_sms_retry' then
            return to_jsonb(public.defer_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                until => (v ->> 'until')::timestamptz, reason => v ->> 'reason', why => v ->> 'why',
                life => (v ->> 'life')::interval, window_closes_at => (v ->> 'window_closes_at')::timestamptz,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'hold_sms_retry' then
            return to_jsonb(public.hold_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint, why => v ->> 'why',
                look_in => (v ->> 'look_in')::interval, life => (v ->> 'life')::interval,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'end_sms_retry' then
            return to_jsonb(public.end_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                final_status => v ->> 'final_status', error => v ->> 'error', error_code => (v ->> 'error_code')::integer,
                why_code => v ->> 'why_code'));
        else
            raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end case;
end
$$;

-- ======== schemas/worker/begin_sms_attempt.sql ========
-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row, or (why says so) it is now in doubt about an earlier send
--     | changed  number, zone, hours, customer or send log are no longer what the decision was made from: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | ended    the row is finished; why and why_code say the reason
-- decided_at: the database's clock. phone, body and sent_by are kept until the outcome is known. expires_at: when the text
-- is of no more use, if nothing has said so before; otherwise life: how long it is of use from now on.
create or replace function public.begin_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, send_before timestamptz, quiet_hours_rule text,
    first_send boolean default false, cap integer default null, cap_since timestamptz default null,
    phone text default null, body text default null, sent_by text default null, decided_by text default null,
    life interval default null, run_id uuid default null, expires_at timestamptz default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the customer or the send log locked, this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if claim_no is null or attempt_id is null or send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if cap is not null and cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    v_row := smsretry.fenced(retry_id, claim_no);
    decided_at := smsretry.clock();
    if v_row.id is null or v_row.in_doubt_since is not null or v_row.begun_at is not null and v_row.attempt_id <> attempt_id then
        answer := 'lost';
    elsif v_row.begun_at is not null then
        answer := 'go'; -- the answer to the same call was lost on its way
    else
        select a.answer, a.why, a.why_code, a.decided_at, case a.answer when 'capped' then a.reached_at end
        into answer, why, why_code, decided_at, reached_at
        from smsretry.admit_send(v_row, send_before, phone, decided_by, cap, cap_since, expires_at, life) a;
        if answer = 'go' then
            perform smsretry.write_attempt(
                v_row, attempt_id, case when first_send then 0 else v_row.attempt_count + 1 end, decided_at,
                quiet_hours_rule, body, sent_by, run_id);
            v_row.begun_at := decided_at;
            v_row.attempt_id := attempt_id;
            v_row.last_attempted_at := decided_at;
            v_row.why := null;
            v_row.why_code := null;
            v_row.held_since := null;
            v_row.recover_count := 0;
            v_row.claimed_by_application := false;
            v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
            perform smsretry.save_row(v_row, decided_at);
        end if;
    end if;
    return next;
end
$$;

-- ======== schemas/worker/cap_reached_at.sql ========
-- When a number reached its cap: the time of the cap-th text from the end since a moment; null: there is room. Counted is
-- what may have reached the phone from this business: sends accepted, in doubt or under way, and the application's own.
create or replace function smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
returns timestamptz language sql set search_path = pg_catalog, pg_temp as $$
    with person as materialized (
        select c.id from public.customers c
        where c.phone = cap_reached_at.phone and c.business_id = cap_reached_at.business_id
    ),
    reached (at) as (
        -- By number, because a customer who is deleted and imported again is the same person.
        select coalesce(a.finished_at, a.begun_at)
        from public.sms_send_attempts a
        where a.number_key = smsretry.number_key(cap_reached_at.business_id, cap_reached_at.phone)
          and coalesce(a.finished_at, a.begun_at) > cap_reached_at.since
          and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where coalesce(l.updated_at, l.created_at) > cap_reached_at.since
          and l.channel = 'sms' and smsretry.is_sent(l.provider_message_id, l.status::text)
          and not exists (select 1 from public.sms_retry_queue q
                          join public.sms_send_attempts a on a.retry_id = q.id
                          where q.send_log_id = l.id and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt'))
    )
    select r.at from reached r
    where r.at > cap_reached_at.since
    order by r.at desc
    offset greatest(cap_reached_at.cap, 1) - 1 limit 1
$$;

-- ======== schemas/worker/check_outcome.sql ========
-- Refuse an outcome, next status, error and delay that contradict each other.
create or replace function smsretry.check_outcome(outcome text, next_status text, error text, retry_in interval)
returns void language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if ((outcome, next_status) in (
        ('accepted', 'completed'), ('rejected', 'pending'), ('rejected', 'failed'),
        ('not_sent', 'pending'), ('not_sent', 'failed'), ('in_doubt', 'pending'))) is not true then
        raise exception 'A send whose outcome is % cannot leave its row %', outcome, next_status using errcode = 'SR422';
    end if;
    if next_status = 'pending' and retry_in is null then
        raise exception 'retry_in is missing: a row that goes back to pending needs a time' using errcode = 'SR422';
    end if;
    if next_status <> 'completed' and error is null then
        raise exception 'error is missing: a text that did not go out needs a reason' using errcode = 'SR422';
    end if;
end
$$;

-- ======== schemas/worker/claim_due_sms_retries.sql ========
-- Claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns (smsretry.in_turn). Within a
-- business, transactional texts come first, then those whose window closes within the hour. Neither doubtful nor suspect rows.
-- others_wait: a business has a text due and none in this claim.
-- begins: the caller begins each send with begin_sms_attempt. The application's own processor does not: if it dies, its
-- claim counts as a send that may have been made.
create or replace function public.claim_due_sms_retries(limit_count integer default null, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    select * into v_turn
    from smsretry.claim_in_turn('texts', smsretry.rows_of_claim(limit_count), v_now);
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now, begins is not true) t);
    v_others_wait := not v_turn.complete or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/worker/claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not, for the caller who has just queued it. No row: it is not pending, or in
-- doubt. Raises if it cannot be claimed.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id and q.status = 'pending' and q.in_doubt_since is null
    for update;
    if found then
        perform smsretry.take_row(claim_sms_retry.retry_id, smsretry.clock(), false);
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
    end if;
end
$$;

-- ======== schemas/worker/claim_suspect_sms_retry.sql ========
-- Claim one due suspect row alone, because it may kill its worker, or none. The one whose claims died least often goes
-- first; one that cannot be claimed is passed over.
create or replace function public.claim_suspect_sms_retry()
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_id uuid;
begin
    for v_id in
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.recover_count >= smsretry.suspect_after() and q.scheduled_for <= v_now
        order by q.recover_count, q.scheduled_for
        limit 50
        for update skip locked
    loop
        return query select * from smsretry.take(array[v_id], v_now);
        exit when found or clock_timestamp() > v_until;
    end loop;
end
$$;

-- ======== schemas/worker/defer_sms_retry.sql ========
-- Put a claimed row back to pending for a reason that is no failure; costs no attempt. False: the claim was lost. Repeatable.
-- window_closes_at: when the window that it waits for closes; null: not known.
-- expires_at: when the text is of no more use, if it might have gone out and nothing has said so before; otherwise life: how
-- long it is of use from now on.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null,
    life interval default null, window_closes_at timestamptz default null, expires_at timestamptz default null,
    why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if until is null then
        raise exception 'until is missing: a deferred row needs a time' using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(reason, v_row.reason);
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := null;
        v_row.window_closes_at := coalesce(window_closes_at, v_row.window_closes_at);
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, smsretry.clock() + life);
        perform smsretry.put_back(v_row, until, smsretry.clock());
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = retry_id and q.status = 'pending' and q.claim_no = defer_sms_retry.claim_no and q.scheduled_for = until);
end
$$;

-- ======== schemas/worker/end_sms_retry.sql ========
-- End a claimed row whose send never began: failed (it cannot be sent) or cancelled (it is no longer wanted). False: the
-- claim was lost. May be repeated.
create or replace function public.end_sms_retry(
    retry_id uuid, claim_no bigint, final_status text, error text, error_code integer default null,
    why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if (final_status in ('failed', 'cancelled')) is not true or error is null then
        raise exception 'A row ends failed or cancelled, with a reason' using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        perform smsretry.close_row(v_row, final_status, error, why_code, error_code, smsretry.clock());
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = retry_id and q.status = final_status and q.claim_no = end_sms_retry.claim_no and q.last_error = error);
end
$$;

-- ======== schemas/worker/fenced.sql ========
-- The fence: the row, locked, if its worker still has it under this claim number; otherwise null. Every write of a worker
-- begins here. Callers assign the answer and do not select from it: a call that waits here while a migration adds a column
-- then goes on with the new row type instead of failing.
create or replace function smsretry.fenced(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
begin
    select q.* into v_row
    from public.sms_retry_queue q
    where q.id = fenced.retry_id and q.status = 'processing' and q.claim_no = fenced.claim_no
    for update;
    return v_row;
end
$$;

-- ======== schemas/worker/finish_sms_attempt.sql ========
-- The outcome of a begun send, and where its row goes: attempt, row and send log in one transaction. A repeated call changes
-- nothing. applied is false if the claim was lost.
--   outcome → next_status: accepted → completed; rejected, not_sent → pending (in retry_in) or failed; in_doubt → pending
-- counted: whether the send costs an attempt. phone, opted_out, phone_status: smsretry.mark_customer.
create or replace function public.finish_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, outcome text, next_status text, error text default null,
    error_code integer default null, twilio_sid text default null, retry_in interval default null,
    reason text default null, counted boolean default true, phone text default null, opted_out boolean default false,
    phone_status text default null, account_refused boolean default false,
    why_code text default null
)
returns table (applied boolean, status text, scheduled_for timestamptz, attempt_count integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_doubt constant boolean := outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_number integer;
begin
    perform smsretry.wait_shortly();
    perform smsretry.check_outcome(outcome, next_status, error, retry_in);
    if opted_out then
        perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    applied := coalesce(v_row.begun_at is not null and v_row.attempt_id = attempt_id, false);

    if applied then
        update public.sms_send_attempts a
        set finished_at = v_now, outcome = finish_sms_attempt.outcome, error_code = finish_sms_attempt.error_code,
            twilio_sid = finish_sms_attempt.twilio_sid, settled_by = v_settled_by,
            delivery_look_at = case when finish_sms_attempt.twilio_sid is not null then v_now end,
            sent_to = case when v_doubt then a.sent_to end, sent_body = case when v_doubt then a.sent_body end
        where a.id = attempt_id
        returning a.attempt_number into v_number;

        v_row.attempt_count := greatest(v_row.attempt_count, case when counted then v_number end);
        v_row.rate_limit_count := v_row.rate_limit_count + coalesce(reason = 'rate_limit', false)::integer;
        v_row.account_refusal_count := v_row.account_refusal_count + coalesce(account_refused, false)::integer;
        v_row.reason := coalesce(reason, v_row.reason);
        case next_status
            when 'completed' then
                perform smsretry.complete_row(v_row, twilio_sid, v_now);
            when 'failed' then
                perform smsretry.close_row(v_row, 'failed', error, why_code, error_code, v_now);
            else
                v_row.last_error := error;
                v_row.why_code := why_code;
                v_row.error_code := error_code;
                v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
                v_row.in_doubt_since := case when v_doubt then v_now end;
                perform smsretry.put_back(v_row, v_now + retry_in, v_now);
        end case;
        if opted_out or phone_status is not null then
            perform smsretry.mark_customer(v_row, phone, opted_out, phone_status, error_code, v_now);
        end if;
    else
        -- Applied before: the answer to the same call was lost, or the provider's callback was faster.
        applied := exists (
            select 1 from public.sms_send_attempts a
            where a.id = attempt_id and a.retry_id = finish_sms_attempt.retry_id and a.claim_no = finish_sms_attempt.claim_no
              and (a.settled_by = 'callback'
                   or a.outcome = finish_sms_attempt.outcome and a.settled_by is not distinct from v_settled_by));
    end if;
    select q.status, q.scheduled_for, q.attempt_count into status, scheduled_for, attempt_count
    from public.sms_retry_queue q where q.id = retry_id;
    return next;
end
$$;

-- ======== schemas/worker/finish_sms_run.sql ========
-- A run is done; told: its numbers. False: the run is unknown. May be repeated.
create or replace function public.finish_sms_run(run_id uuid, told text, needs_somebody boolean default false)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    update smsretry.runs r
    set finished_at = smsretry.clock(), told = left(coalesce(finish_sms_run.told, ''), smsretry.longest_reason()),
        needs_somebody = coalesce(finish_sms_run.needs_somebody, false)
    where r.id = finish_sms_run.run_id;
    return found;
end
$$;

-- ======== schemas/worker/group_sms_calls.sql ========
-- Make a worker's begin, finish, defer, hold and end calls as one transaction. One that fails is undone alone.
-- calls: [{"function", "values", "lock_order"}]. May be repeated, as each of them may.
--   place: in the array, from 1 · answer: the function's · code, message, hint: its error · seconds: how long it took; null
--   with the code 57014: no time was left, and it was not made
-- lock_order keeps two groups from deadlocking. A locked row is waited for half a second once in a group, and then hardly at
-- all. A group has a second, so that the database never works for a caller who has given up. A single call that takes longer
-- (a trigger that sleeps) is cancelled alone: PostgREST applies statement_timeout to the whole call (db-hoisted-tx-settings,
-- since 12.2; https://docs.postgrest.org/en/v13/references/transactions.html#function-settings).
create or replace function public.group_sms_calls(calls jsonb)
returns table (place integer, answer jsonb, code text, message text, hint text, seconds double precision)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '2s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_call record;
    v_began timestamptz;
    v_over boolean := false;
begin
    if (jsonb_typeof(group_sms_calls.calls) = 'array' and jsonb_array_length(group_sms_calls.calls) between 1 and 100) is not true then
        raise exception 'calls must be an array of 1 to 100 calls' using errcode = 'SR422';
    end if;
    perform set_config('smsretry.wait', '500ms', true);
    for v_call in
        select c.value, c.ordinality::integer as place
        from jsonb_array_elements(group_sms_calls.calls) with ordinality c
        order by c.value ->> 'lock_order', c.ordinality
    loop
        place := v_call.place;
        answer := null;
        code := null;
        message := null;
        hint := null;
        seconds := null;
        v_began := clock_timestamp();
        if v_over or v_began > v_until then
            code := '57014';
            return next;
            continue;
        end if;
        begin
            set constraints all deferred; -- to what they are in a transaction of the call's own
            answer := smsretry.answer_sms_call(v_call.value ->> 'function', v_call.value -> 'values');
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again: nothing more is begun
                get stacked diagnostics code = returned_sqlstate, message = message_text;
                answer := null;
                v_over := true;
            when others then
                get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
                answer := null;
                if code = '55P03' then
                    perform set_config('smsretry.wait', '10ms', true);
                end if;
        end;
        seconds := extract(epoch from clock_timestamp() - v_began);
        return next;
    end loop;
end
$$;

-- ======== schemas/worker/hold_sms_retry.sql ========
-- Put a claimed row back to pending because of something that a person can mend (why), to be looked at again in look_in.
-- Costs no attempt. False: the claim was lost. May be repeated. expires_at, life: as for defer_sms_retry.
create or replace function public.hold_sms_retry(
    retry_id uuid, claim_no bigint, why text, look_in interval, life interval default null,
    expires_at timestamptz default null, why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    perform smsretry.wait_shortly();
    if why is null or look_in is null then
        raise exception 'why and look_in must be given: a held row says what it waits for' using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is not null and v_row.begun_at is null then
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := coalesce(v_row.held_since, v_now);
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, v_now + life);
        perform smsretry.put_back(v_row, v_now + look_in, v_now);
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = retry_id and q.status = 'pending' and q.claim_no = hold_sms_retry.claim_no and q.held_since is not null);
end
$$;

-- ======== schemas/worker/lease_sms_sender.sql ========
-- For workers of version 1.0: lease_sms_time; returns in how many seconds the segments begin.
create or replace function public.lease_sms_sender(sender text, segments integer, per_second double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return extract(epoch from l.begins_at - l.asked_at)
    from public.lease_sms_time(
        lease_sms_sender.sender, greatest(lease_sms_sender.segments, 1), lease_sms_sender.per_second) l;
end
$$;

-- ======== schemas/worker/lease_sms_time.sql ========
-- Reserve a sender's time for so many segments, in one piece, so that all workers together keep its rate. Unused time is lost.
--   begins_at: `lead` seconds from now at the soonest, because the answer takes a while · asked_at: the database's clock
-- No segments: nothing is reserved. If more than an hour is reserved, a rate was set wrong, and it starts over from now.
create or replace function public.lease_sms_time(
    sender text, segments integer, per_second double precision, lead double precision default 0
)
returns table (begins_at timestamptz, asked_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now timestamptz := smsretry.clock();
    v_first timestamptz;
    v_takes interval;
    v_ends timestamptz;
begin
    if (lease_sms_time.per_second > 0) is not true then
        raise exception 'per_second must be above 0' using errcode = 'SR422';
    end if;
    if (lease_sms_time.segments > 0) is not true then
        return query select v_now, v_now;
        return;
    end if;
    v_takes := make_interval(secs => lease_sms_time.segments / lease_sms_time.per_second);
    v_first := v_now + make_interval(secs => least(greatest(coalesce(lease_sms_time.lead, 0), 0), 60));
    insert into smsretry.sender_time as s (sender, free_at) values (lease_sms_time.sender, v_first + v_takes)
    on conflict (sender) do update
        set free_at = case when s.free_at > v_now + interval '1 hour' then v_first else greatest(s.free_at, v_first) end + v_takes
    returning s.free_at into v_ends;
    return query select v_ends - v_takes, v_now;
end
$$;

-- ======== schemas/worker/next_sms_due.sql ========
-- In how many seconds a text, or a look for evidence, is due: 0 if one is, null if none waits. Suspect rows do not count.
create or replace function public.next_sms_due()
returns double precision language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select extract(epoch from greatest(next.due_at - smsretry.clock(), interval '0'))::double precision
    from (select least(
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
         order by q.scheduled_for limit 1),
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
         order by q.scheduled_for limit 1)) as due_at) next
    where next.due_at is not null
$$;

-- ======== schemas/worker/recover_row.sql ========
-- Take back one row whose worker fell silent: recover_stuck_sms_retries. The caller holds it locked.
create or replace function smsretry.recover_row(retry public.sms_retry_queue, look_in interval, life interval, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_due timestamptz := recover_row.at + coalesce(look_in, interval '0');
begin
    -- Nobody can have texted a customer without a number.
    if retry.claimed_by_application and retry.begun_at is null and retry.in_doubt_since is null
        and not exists (select 1 from public.customers c
                        where c.id = retry.customer_id and coalesce(btrim(c.phone), '') = '') then
        retry := smsretry.begin_for_application(retry);
    end if;
    if retry.begun_at is not null then
        update public.sms_send_attempts a
        set finished_at = recover_row.at, outcome = 'in_doubt', worker_died = true
        where a.id = retry.attempt_id and a.finished_at is null;
        retry.in_doubt_since := recover_row.at;
        retry.expires_at := coalesce(retry.expires_at, least(retry.claimed_at, recover_row.at) + life);
        retry.attempt_count := greatest(
            retry.attempt_count, (select a.attempt_number from public.sms_send_attempts a where a.id = retry.attempt_id));
        retry.last_error := 'The worker died after the send began: it is unknown whether the text went out';
        retry.error_code := null;
        retry.why_code := 'worker_died';
    else
        -- Without a limit: a text that was never tried, or is in doubt, is never failed because workers died.
        retry.recover_count := retry.recover_count + 1;
        if retry.in_doubt_since is null then
            v_due := retry.scheduled_for;
            if retry.recover_count >= smsretry.suspect_after() then
                v_due := recover_row.at + make_interval(mins => least(retry.recover_count - smsretry.suspect_after(), 15));
                retry.why_code := 'worker_died';
                retry.why := 'Its worker died ' || retry.recover_count
                    || ' times before the send began: it is claimed alone from now on';
            end if;
        end if;
    end if;
    perform smsretry.put_back(retry, v_due, recover_row.at);
end
$$;

-- ======== schemas/worker/recover_stuck_sms_retries.sql ========
-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now. None is failed here.
--   begun, or claimed by a caller that does not begin: the text may have gone out, so the row is in doubt
--   in doubt: still so · neither: pending again at no cost; either way a suspect row is claimed alone, and ever less often
-- look_in: when a row in doubt is looked at; null: at once. life: how long a text is of use from a claim that counts as its
-- first send; null: its first look says so. The application calls this with stale_minutes alone.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default null, life interval default null
)
returns setof public.sms_retry_queue
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_began timestamptz;
    v_skip uuid[] := '{}';
    v_stale public.sms_retry_queue;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422', hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.status = 'processing'
          and (greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
               -- Claimed while the clock was ahead: its lease would last until then.
               or greatest(q.claimed_at, q.begun_at) > v_now + make_interval(mins => stale_minutes))
          -- A trigger is slow for these, or refuses them.
          and not exists (select 1 from smsretry.set_apart s where s.business_id = q.business_id and s.retry_at > v_now)
        order by q.id
        limit smsretry.largest_claim()
        for update skip locked
    loop
        v_began := clock_timestamp();
        exit when v_began > v_until; -- the next run takes the rest
        continue when v_stale.business_id = any (v_skip);
        begin
            perform smsretry.recover_row(v_stale, look_in, life, v_now);
            return query select q.* from public.sms_retry_queue q where q.id = v_stale.id;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again
                perform smsretry.set_business_apart(v_stale.business_id, v_began, sqlstate, v_now);
                exit;
            when others then
                -- The next run tries it again.
                raise warning 'Row % could not be recovered: % (%)', v_stale.id, sqlerrm, sqlstate;
        end;
        if smsretry.took_long(v_began) then
            v_skip := v_skip || v_stale.business_id;
            perform smsretry.set_business_apart(v_stale.business_id, v_began, null, v_now);
        end if;
    end loop;
end
$$;

-- ======== schemas/worker/set_business_apart.sql ========
-- A row of this business has been written since `began`, or could not be (state: its SQLSTATE). The business is left alone
-- ten times as long, ten minutes at most, so that its triggers take a tenth of everybody's time. Never waits, never fails.
create or replace function smsretry.set_business_apart(business_id uuid, began timestamptz, state text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
#variable_conflict use_column
declare
    v_seconds constant numeric := extract(epoch from clock_timestamp() - set_business_apart.began);
begin
    insert into smsretry.set_apart as s (business_id, at, retry_at, why)
    values (
        set_business_apart.business_id, set_business_apart.at,
        set_business_apart.at + least(make_interval(secs => 10 * v_seconds::double precision), interval '10 minutes'),
        case when set_business_apart.state is null or set_business_apart.state = '57014'
             then 'A row took ' || round(v_seconds, 1) || ' s to write'
             else 'A row could not be written (' || set_business_apart.state || ')' end
            || ': look at the triggers of sms_retry_queue')
    on conflict (business_id) do update set at = excluded.at, retry_at = excluded.retry_at, why = excluded.why;
exception when others then
    raise warning 'Business % could not be set apart: %', set_business_apart.business_id, sqlstate;
end
$$;

-- ======== schemas/worker/set_sms_circuit.sql ========
-- Open the circuit breaker, or close it (why null). why: what is wrong and what to do. sender: whose it is.
-- business_ids: of these businesses alone; null: everybody's, and closing that closes all. Returns whether it is open.
create or replace function public.set_sms_circuit(why text, sender text default '', business_ids uuid[] default null)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_sender constant text := coalesce(set_sms_circuit.sender, '');
    v_why constant text := left(smsretry.numberless(set_sms_circuit.why), smsretry.longest_reason());
begin
    if set_sms_circuit.business_ids is not null then
        if v_why is null then
            delete from smsretry.business_circuits b where b.business_id = any (set_sms_circuit.business_ids);
            return false;
        end if;
        delete from smsretry.business_circuits b where b.tried_at < v_now - interval '1 day';
        insert into smsretry.business_circuits (business_id, sender, opened_at, tried_at, why)
        select distinct i.id, v_sender, v_now, v_now, v_why from unnest(set_sms_circuit.business_ids) as i (id)
        where i.id is not null
        order by i.id -- so that two runs lock them in the same order
        on conflict (business_id, sender) do update set tried_at = excluded.tried_at, why = excluded.why;
        return true;
    end if;
    if v_why is null then
        delete from smsretry.business_circuits b where b.business_id is not null; -- Supabase refuses a delete without a where clause
        delete from smsretry.circuit c where c.sender is not null;
        return false;
    end if;
    insert into smsretry.circuit (sender, opened_at, why) values (v_sender, v_now, v_why)
    on conflict (sender) do update set why = excluded.why;
    delete from smsretry.circuit c where c.sender <> v_sender;
    return true;
end
$$;

-- ======== schemas/worker/start_sms_run.sql ========
-- A run begins. Returns earlier runs that never finished, each once, with what their sends came to. stale_minutes: after how
-- long a silent run counts as interrupted; null: none. May be repeated, and then returns none.
create or replace function public.start_sms_run(run_id uuid, stale_minutes integer default null)
returns table (id uuid, started_at timestamptz, accepted bigint, in_doubt bigint, refused bigint)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    insert into smsretry.runs (id, started_at) values (start_sms_run.run_id, v_now) on conflict do nothing;
    return query
    with silent as (
        update smsretry.runs r set interrupted_at = v_now
        where r.id = any (array(
            select u.id from smsretry.runs u
            where u.finished_at is null and u.interrupted_at is null
              and start_sms_run.stale_minutes is not null
              and u.started_at < v_now - make_interval(mins => greatest(start_sms_run.stale_minutes, 1))
            order by u.started_at limit 20 for update skip locked))
        returning r.id, r.started_at
    )
    select s.id, s.started_at,
           count(*) filter (where a.outcome = 'accepted'),
           count(*) filter (where a.id is not null and coalesce(a.outcome, 'in_doubt') = 'in_doubt'),
           count(*) filter (where a.outcome in ('rejected', 'not_sent'))
    from silent s
    left join public.sms_send_attempts a
        on a.run_id = s.id and a.begun_at between s.started_at and s.started_at + interval '1 day'
    group by s.id, s.started_at order by s.started_at;
end
$$;

-- ======== schemas/worker/take.sql ========
-- Claim these rows, which the caller has found pending and locked, and return those that could be claimed. by_application:
-- smsretry.take_row. If a trigger of the application's is slow for one business, or refuses a row, that row stays pending,
-- its business is set apart, and the others are claimed. What there was no time for stays pending, too.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms' -- for what a trigger waits for
-- Without statistics a plan would read whole tables.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_order uuid[];
    v_owners uuid[];
    v_apart uuid[];
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_whose uuid[] := '{}';
    v_skip uuid[] := '{}';
    v_tried integer := 0;
    v_state text;
begin
    -- Of a business that is set apart, one row after the others, and another one each time: not all may be slow.
    select array_agg(o.id order by o.apart, o.place), array_agg(o.business_id order by o.apart, o.place),
           array_agg(o.business_id) filter (where o.apart)
    into v_order, v_owners, v_apart
    from (
        select q.id, q.business_id, i.place, s.business_id is not null as apart, s.retry_at,
               row_number() over (partition by q.business_id order by md5(q.id::text || take.at::text)) as nth
        from unnest(take.ids) with ordinality as i (id, place)
        join public.sms_retry_queue q on q.id = i.id
        left join smsretry.set_apart s on s.business_id = q.business_id
    ) o
    where not o.apart or (o.nth = 1 and o.retry_at <= take.at);

    begin
        for n in 1 .. coalesce(cardinality(v_order), 0) loop
            v_began := clock_timestamp();
            exit when v_began > v_until;
            continue when v_owners[n] = any (v_skip);
            v_tried := n;
            if smsretry.take_row(v_order[n], take.at, take.by_application) then
                v_took := v_took || v_order[n];
                v_whose := v_whose || v_owners[n];
            end if;
            if smsretry.took_long(v_began) then
                v_skip := v_skip || v_owners[n];
                perform smsretry.set_business_apart(v_owners[n], v_began, null, take.at);
            elsif v_owners[n] = any (v_apart) then
                delete from smsretry.set_apart s where s.business_id = v_owners[n];
            end if;
        end loop;
        set constraints all immediate; -- what is only asked at the end would undo all of them
    exception
        when query_canceled then
            v_state := sqlstate;
        when others then
            v_state := sqlstate;
    end;
    if v_state = '57014' then
        -- The statement timeout does not start again: only what was quick is repeated.
        perform smsretry.set_business_apart(v_owners[v_tried], v_began, v_state, take.at);
        v_took := smsretry.take_each(v_took, v_whose, take.at, take.by_application);
    elsif v_state is not null then
        v_took := smsretry.take_each(v_order, v_owners, take.at, take.by_application);
    end if;
    return query
    select r.* from smsretry.claimed_retry r where r.id = any (v_took) order by r.scheduled_for, r.id;
end
$$;

-- ======== schemas/worker/take_each.sql ========
-- Claim rows one by one, because one of them could not be written: it stays as it is, and its business is set apart. owners:
-- the rows' businesses. Returns those that were claimed.
create or replace function smsretry.take_each(ids uuid[], owners uuid[], at timestamptz, by_application boolean)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_skip uuid[] := '{}';
begin
    for n in 1 .. coalesce(cardinality(take_each.ids), 0) loop
        continue when take_each.owners[n] = any (v_skip);
        v_began := clock_timestamp();
        begin
            if smsretry.take_row(take_each.ids[n], take_each.at, take_each.by_application) then
                v_took := v_took || take_each.ids[n];
            end if;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- no time is left, and it is not counted again
                perform smsretry.set_business_apart(take_each.owners[n], v_began, sqlstate, take_each.at);
                exit;
            when others then
                perform smsretry.set_business_apart(take_each.owners[n], v_began, sqlstate, take_each.at);
                if smsretry.took_long(v_began) then
                    v_skip := v_skip || take_each.owners[n]; -- it waits for something: so would its other rows
                end if;
        end;
    end loop;
    return v_took;
end
$$;

-- ======== schemas/worker/take_row.sql ========
-- Claim one row, which the caller has found pending and locked; false: it was put in doubt instead. Its status is not asked
-- for again: without statistics the planner would walk a partial index. A row in doubt keeps its attempt. by_application:
-- the claimer sends without a begin, so what a begin would put in doubt is put in doubt here.
create or replace function smsretry.take_row(id uuid, at timestamptz, by_application boolean)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
begin
    if take_row.by_application and exists (select 1 from smsretry.restores) then
        select * into v_row from public.sms_retry_queue q where q.id = take_row.id;
        if smsretry.put_in_doubt(v_row, take_row.at) is not null then
            return false;
        end if;
    end if;
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take_row.at, begun_at = null,
        claimed_by_application = take_row.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take_row.at
    where q.id = take_row.id;
    return true;
end
$$;

-- ======== schemas/worker/wait_shortly.sql ========
-- In a group, wait for locks only as long as the group says (smsretry.wait, set by group_sms_calls). Every function that a
-- group may call begins with this.
create or replace function smsretry.wait_shortly()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('smsretry.wait', true) <> '' then
        perform set_config('lock_timeout', current_setting('smsretry.wait'), true);
    end if;
end
$$;

-- ======== schemas/doubt/claim_doubtful_sms_retries.sql ========
-- Claim up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look for evidence is due. Businesses take turns,
-- the longest waiting row of each first. Suspect rows are left to claim_suspect_sms_retry.
create or replace function public.claim_doubtful_sms_retries(limit_count integer default null)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids constant uuid[] := (smsretry.claim_in_turn('doubtful', smsretry.rows_of_claim(limit_count), v_now)).ids;
begin
    return query select * from smsretry.take(v_ids, v_now);
end
$$;

-- ======== schemas/doubt/doubt.sql ========
-- Put a text in doubt because a restored backup may have forgotten its send between since and until. That send is written as
-- an attempt, unless the row was in doubt already. The first look is due at once. The claim number leaps, so that no worker
-- from before the restore can write. who, because: of the person who recorded the restore. Returns why. The row is locked.
create or replace function smsretry.doubt(
    retry public.sms_retry_queue, since timestamptz, until timestamptz, who text, because text, at timestamptz
)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.claim_no := retry.claim_no + 1000000; -- more than a text was ever claimed
    if retry.in_doubt_since is null then
        retry.claimed_at := doubt.since;
        retry := smsretry.begin_for_application(retry);
    end if;
    update public.sms_send_attempts a set outcome = 'in_doubt', finished_at = doubt.at
    where a.id = retry.attempt_id and a.outcome is distinct from 'accepted';
    retry.in_doubt_since := doubt.until;
    retry.reconcile_count := 0;
    retry.recover_count := 0;
    retry.held_since := null;
    retry.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
    retry.why_code := 'restored';
    perform smsretry.put_back(retry, doubt.at, doubt.at);
    insert into smsretry.steps (retry_id, taken_at, step, who, because)
    values (retry.id, doubt.at, 'put in doubt', doubt.who, doubt.because);
    return retry.why;
end
$$;

-- ======== schemas/doubt/doubt_sms_retries.sql ========
-- For a person, after restoring a backup and before anything runs: what went out after the backup was taken (since) looks
-- unsent. Records the restore; from then on each older text is looked for at the provider before its next message leaves
-- (smsretry.forgotten). Puts what is due in doubt at once, row_limit texts a call, those that were claimed or in doubt
-- first. What was begun when the backup was taken comes into doubt by recovery. Repeat it until it changes none.
-- life: how long a text is of use from when it was due, or from since if that is later, if nothing has said so; null: its
-- first look says so. dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, life interval default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_restored_at timestamptz;
    v_found record;
    v_row public.sms_retry_queue;
    v_rows jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and dry_run is not null and row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(doubt_sms_retries.who, doubt_sms_retries.because);
        insert into smsretry.restores (since, restored_at, who, because)
        values (doubt_sms_retries.since, v_now, doubt_sms_retries.who, doubt_sms_retries.because)
        on conflict (since) do nothing;
    end if;
    v_restored_at := coalesce((select r.restored_at from smsretry.restores r where r.since = doubt_sms_retries.since), v_now);
    for v_found in select * from smsretry.forgotten_candidates(doubt_sms_retries.since, v_restored_at, row_limit, v_now) loop
        select * into v_row from public.sms_retry_queue q where q.id = v_found.id;
        continue when v_row.status not in ('pending', 'processing'); -- it has ended meanwhile
        if not dry_run and v_found.skip is null then
            begin
                v_row.expires_at := coalesce(v_row.expires_at, greatest(doubt_sms_retries.since, v_row.scheduled_for) + life);
                perform smsretry.doubt(
                    v_row, doubt_sms_retries.since, v_now, doubt_sms_retries.who, doubt_sms_retries.because, v_now);
                if not exists (select 1 from public.sms_retry_queue q where q.id = v_row.id and q.in_doubt_since = v_now) then
                    raise exception 'Row % stays as it is', v_row.id using errcode = 'SR409';
                end if;
                set constraints all immediate; -- a deferred check would undo the others, too
            exception
                when no_data_found then
                    raise; -- the key of the hashed numbers is gone: that concerns all
                when others then
                    v_found.skip := 'A trigger or a rule refuses to have it changed (' || sqlstate || ')';
            end;
        end if;
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_found.skip);
    end loop;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/doubt/earlier_doubt.sql ========
-- The last send of this text, by any of its rows, that may have gone out; nulls: there is none. Evidence of it is looked for
-- before the text is sent. One that is under way is not in doubt yet. plpgsql keeps its plan: every begin calls this.
--   since: when it came into doubt · why: what the row says meanwhile
create or replace function smsretry.earlier_doubt(
    send_log_id uuid, business_id uuid, out attempt_id uuid, out since timestamptz, out why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    select a.id, coalesce(a.finished_at, a.begun_at) into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them without statistics.
    where a.retry_id = any (array(
            select q.id from public.sms_retry_queue q
            where q.send_log_id = earlier_doubt.send_log_id and q.business_id = earlier_doubt.business_id
              and q.begun_at is null))
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc limit 1;
    if found then
        why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
    end if;
end
$$;

-- ======== schemas/doubt/forgotten.sql ========
-- The time in which this text may have gone out unrecorded, because the database was restored from a backup; nulls: there is
-- none. A text is older than the restore if its row, send log or scheduled send is. Only a later look that found nothing, or
-- a person's word, clears it: a message that was found does not prove that no other exists.
create or replace function smsretry.forgotten(
    retry public.sms_retry_queue, out since timestamptz, out until timestamptz, out who text, out because text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select 1 from smsretry.restores) -- on most days this is all
        or not exists (select 1 from public.customers c -- nobody can have texted a customer without a number
                       where c.id = retry.customer_id and coalesce(btrim(c.phone), '') <> '') then
        return;
    end if;
    select min(r.since), max(r.restored_at), max(r.who), max(r.because) into since, until, who, because
    from smsretry.restores r
    where (retry.created_at < r.restored_at
           or exists (select 1 from public.send_logs l
                      where l.id = retry.send_log_id and l.created_at < r.restored_at)
           or exists (select 1 from public.scheduled_sends s
                      where s.id = retry.send_log_id and s.created_at < r.restored_at))
      and not exists (
          select 1 from public.sms_send_attempts a
          -- An array, so that an index finds them without statistics.
          where a.retry_id = any (array(
                  select q.id from public.sms_retry_queue q where q.send_log_id = retry.send_log_id))
            and a.begun_at <= r.since and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent' and a.settled_by in ('reconcile', 'operator'));
end
$$;

-- ======== schemas/doubt/forgotten_candidates.sql ========
-- Rows from before a restore for doubt_sms_retries to put in doubt, locked; last those that it leaves alone, with the
-- reason. A million rows cost no more than a batch: the others come into doubt when their send is to begin.
create or replace function smsretry.forgotten_candidates(
    since timestamptz, restored_at timestamptz, row_limit integer, at timestamptz, out id uuid, out skip text
)
returns setof record language plpgsql set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all rows for each candidate.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_peek constant integer := 4 * forgotten_candidates.row_limit; -- some are left alone
begin
    return query
    with candidate as materialized (
        (select q.id from public.sms_retry_queue q
         where q.status = 'processing' order by q.id limit v_peek)
        union all
        (select q.id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null and q.in_doubt_since < forgotten_candidates.since
         order by q.scheduled_for, q.id limit v_peek)
        union all
        (select q.id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= forgotten_candidates.at
         order by q.scheduled_for, q.id limit v_peek)
    )
    select q.id, k.skip
    from candidate o
    join public.sms_retry_queue q on q.id = o.id
    cross join lateral (select case
        when q.status = 'processing' and q.claimed_at > forgotten_candidates.since
            then 'A worker has it at this moment: stop every runner first'
        when q.in_doubt_since is null and not exists (
            select 1 from public.customers c where c.id = q.customer_id and coalesce(btrim(c.phone), '') <> '')
            then 'Nobody can have texted a customer without a number'
        when exists (select 1 from public.send_logs l where l.id = q.send_log_id
                     and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
    end) as k (skip)
    -- No condition on status: without statistics the planner would walk a partial index for each.
    where q.begun_at is null and q.created_at < forgotten_candidates.restored_at
      and (q.in_doubt_since is null or q.in_doubt_since < forgotten_candidates.since)
    order by k.skip is not null, q.status = 'pending', q.in_doubt_since is null, q.scheduled_for, q.id
    limit forgotten_candidates.row_limit
    for update of q;
end
$$;

-- ======== schemas/doubt/is_anothers.sql ========
-- Whether a message belongs to another attempt, or to another send log, such as one that the application sent itself.
create or replace function smsretry.is_anothers(sid text, attempt_id uuid, send_log_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.twilio_sid = is_anothers.sid and a.id is distinct from is_anothers.attempt_id)
        or exists (select 1 from public.send_logs l
                   where l.provider_message_id ->> 'twilio_sid' = is_anothers.sid
                     and l.id is distinct from is_anothers.send_log_id)
$$;

-- ======== schemas/doubt/may_be_unanswered.sql ========
-- Whether a message that this row's look found may be another send to the same number: one without an answer yet, or begun
-- between the claim and now, so that the look did not know it. (One dated later began before a clock was set back.)
create or replace function smsretry.may_be_unanswered(retry public.sms_retry_queue, at timestamptz)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_send_attempts ours
        join public.sms_send_attempts theirs on theirs.sent_to = ours.sent_to and theirs.id <> ours.id
        join public.sms_retry_queue q on q.id = theirs.retry_id
        where ours.id = may_be_unanswered.retry.attempt_id
          and (q.status = 'processing' and q.begun_at is not null and q.attempt_id = theirs.id
               or theirs.begun_at > may_be_unanswered.retry.claimed_at and theirs.begun_at <= may_be_unanswered.at))
$$;

-- ======== schemas/doubt/put_in_doubt.sql ========
-- Put a row in doubt if a message of its text may have left already. Returns why; null: nothing was done.
create or replace function smsretry.put_in_doubt(retry public.sms_retry_queue, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_earlier record;
    v_forgotten record;
begin
    -- A new row is in doubt from its insert on (before_insert). One that was claimed before may have been requeued.
    if retry.claim_no > 1 then
        select * into v_earlier from smsretry.earlier_doubt(retry.send_log_id, retry.business_id);
        if v_earlier.attempt_id is not null then
            retry.attempt_id := v_earlier.attempt_id;
            retry.in_doubt_since := v_earlier.since;
            retry.reconcile_count := 0;
            retry.held_since := null;
            retry.why := v_earlier.why;
            retry.why_code := 'in_doubt';
            perform smsretry.put_back(retry, put_in_doubt.at, put_in_doubt.at);
            return v_earlier.why;
        end if;
    end if;
    select * into v_forgotten from smsretry.forgotten(retry);
    if v_forgotten.since is not null then
        return smsretry.doubt(
            retry, v_forgotten.since, v_forgotten.until, v_forgotten.who, v_forgotten.because, put_in_doubt.at);
    end if;
    return null;
end
$$;

-- ======== schemas/doubt/reconcile_sms_retry.sql ========
-- The result of a look for evidence, for a claimed row in doubt. May be repeated.
--   decision: accepted     it was found (twilio_sid; null if only the send log says so)
--           | look_again   it was not found; look again in look_in
--           | look_failed  the look itself failed; look again in look_in
--           | resend       it was not found for long enough: send it again
--           | hold         a person must decide about error; look again in look_in. ambiguous: the messages that may be the
--                          text. Past its expiry, the row fails with that
--           A look that found nothing ends an earlier hold.
-- life: how long the text is of use from now on, if nothing has said so; null: the next look says so.
--   answer: applied
--         | lost       the claim was lost
--         | sid_taken  another text has that SID, or all ambiguous ones: look at the next message
--         | wait       a send to the same number has no answer yet, or began after the claim: the message may be that one's
create or replace function public.reconcile_sms_retry(
    retry_id uuid, claim_no bigint, decision text, twilio_sid text default null, settled_by text default 'reconcile',
    look_in interval default null, error text default null, ambiguous text[] default null,
    life interval default null, why_code text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_unowned text[];
begin
    if (decision in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')) is not true
        or decision in ('look_again', 'look_failed', 'hold') and look_in is null or decision = 'hold' and error is null then
        raise exception 'decision must be accepted, look_again or look_failed (with look_in), resend, or hold (with error and look_in)'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is null or v_row.begun_at is not null or v_row.in_doubt_since is null then
        return case when exists ( -- the answer to the same call was lost on its way
            select 1 from public.sms_retry_queue q where q.id = retry_id and q.reconciled_claim_no = claim_no)
            then 'applied' else 'lost' end;
    end if;
    -- In this order: an answer between the two checks shows as a taken SID, and is never missed by both.
    if (twilio_sid is not null or ambiguous is not null) and smsretry.may_be_unanswered(v_row, v_now) then
        return 'wait';
    end if;
    v_unowned := (
        select array_agg(m.sid order by m.place) from unnest(ambiguous) with ordinality as m (sid, place)
        where not smsretry.is_anothers(m.sid, v_row.attempt_id, v_row.send_log_id));
    if smsretry.is_anothers(twilio_sid, v_row.attempt_id, v_row.send_log_id) or ambiguous is not null and v_unowned is null then
        return 'sid_taken';
    end if;

    v_row.reconciled_claim_no := claim_no;
    v_row.recover_count := 0;
    v_row.why_code := why_code;
    v_row.expires_at := coalesce(v_row.expires_at, v_now + life);
    if decision = 'accepted' then
        perform smsretry.accept_attempt(v_row, v_row.attempt_id, twilio_sid, settled_by, v_now);
    elsif decision = 'resend' or exists ( -- a person has said so of an older row of the text, as this one was queued
            select 1 from public.sms_send_attempts a where a.id = v_row.attempt_id and a.outcome = 'not_sent') then
        perform smsretry.resend(v_row, settled_by, v_now);
    elsif decision = 'hold' then
        v_row.why := left(error, 1800) || coalesce(
            ': ' || array_to_string(v_unowned[:3], ', ')
            || case when cardinality(v_unowned) > 3 then ' and ' || cardinality(v_unowned) - 3 || ' more' else '' end, '');
        if v_row.expires_at <= v_now then
            perform smsretry.close_row(v_row, 'failed', v_row.why, why_code, null, v_now);
        else
            v_row.held_since := coalesce(v_row.held_since, v_now);
            perform smsretry.put_back(v_row, v_now + look_in, v_now);
        end if;
    else
        if decision = 'look_again' then
            v_row.reconcile_count := v_row.reconcile_count + 1;
            v_row.why := case when v_row.held_since is null then v_row.why end;
            v_row.held_since := null;
        end if;
        perform smsretry.put_back(v_row, v_now + look_in, v_now);
    end if;
    return 'applied';
exception when unique_violation then -- two looks found the same message at the same moment
    return 'sid_taken';
end
$$;

-- ======== schemas/doubt/resend.sql ========
-- Send a text again whose attempt in doubt is taken never to have reached the provider. If the worker died, it costs no
-- attempt: the request may never have left. The caller holds the row locked.
create or replace function smsretry.resend(retry public.sms_retry_queue, settled_by text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_attempt public.sms_send_attempts;
begin
    update public.sms_send_attempts a
    set outcome = 'not_sent', finished_at = resend.at, settled_by = resend.settled_by, sent_to = null, sent_body = null
    where a.id = resend.retry.attempt_id and a.outcome is distinct from 'not_sent'
    returning * into v_attempt;
    if v_attempt.worker_died then
        retry.attempt_count := least(retry.attempt_count, greatest(v_attempt.attempt_number - 1, 0));
    end if;
    retry.attempt_id := null;
    retry.in_doubt_since := null;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := null;
    retry.why_code := case resend.settled_by when 'operator' then 'operator' else 'no_evidence' end;
    perform smsretry.put_back(retry, resend.at, resend.at);
end
$$;

-- ======== schemas/doubt/resolve_sms_doubt.sql ========
-- For a person: what became of a text in doubt. With a SID it went out as that message; without one it did not, and is sent
-- again. If it expired in doubt, its send log then says that it went out, or it stays ended and may be requeued. If it was
-- queued anew, the newer row is resolved. Answers resolved or not_in_doubt. With a SID it may be repeated.
create or replace function public.resolve_sms_doubt(
    retry_id uuid, twilio_sid text default null, who text default null, because text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
    v_newer public.sms_retry_queue;
    v_attempt_id uuid;
begin
    if num_nonnulls(resolve_sms_doubt.who, resolve_sms_doubt.because) > 0 then
        perform smsretry.check_who_and_why(resolve_sms_doubt.who, resolve_sms_doubt.because);
    end if;
    select * into v_row from public.sms_retry_queue q where q.id = resolve_sms_doubt.retry_id for update;
    if v_row.status in ('failed', 'cancelled') then
        select * into v_newer from public.sms_retry_queue q
        where q.send_log_id = v_row.send_log_id and q.business_id = v_row.business_id
          and q.status in ('pending', 'processing') and q.in_doubt_since is not null
        for update;
        if found then
            v_row := v_newer;
        end if;
    end if;
    if v_row.status = 'pending' and v_row.in_doubt_since is not null then
        v_attempt_id := v_row.attempt_id;
    elsif v_row.status in ('failed', 'cancelled') then
        select d.attempt_id into v_attempt_id from smsretry.earlier_doubt(v_row.send_log_id, v_row.business_id) d;
    end if;
    if v_attempt_id is null then -- or a worker is looking at it at this moment
        return case when exists (select 1 from public.sms_send_attempts a
                                 join public.sms_retry_queue q on q.id = a.retry_id
                                 where a.twilio_sid = resolve_sms_doubt.twilio_sid and q.send_log_id = v_row.send_log_id)
                    then 'resolved' else 'not_in_doubt' end;
    end if;
    if resolve_sms_doubt.twilio_sid is null and v_row.status = 'pending' then
        perform smsretry.resend(v_row, 'operator', smsretry.clock());
    elsif resolve_sms_doubt.twilio_sid is null then
        update public.sms_send_attempts a
        set outcome = 'not_sent', finished_at = smsretry.clock(), settled_by = 'operator', sent_to = null, sent_body = null
        where a.id = v_attempt_id;
    else
        perform public.settle_sms_attempt(v_attempt_id, resolve_sms_doubt.twilio_sid, 'operator');
    end if;
    insert into smsretry.steps (retry_id, taken_at, step, who, because)
    values (v_row.id, smsretry.clock(), case when resolve_sms_doubt.twilio_sid is null then 'did not go out' else 'went out' end,
            coalesce(resolve_sms_doubt.who, 'not said'), coalesce(resolve_sms_doubt.because, 'not said'));
    return 'resolved';
end
$$;

-- ======== schemas/doubt/settle_sms_attempt.sql ========
-- For the application's webhook: the provider's status callback. It proves that the provider has the message of this attempt
-- (whose id is in the URL; null: found by its SID), and says how far it has come (delivery_status, error_code: Twilio's
-- MessageStatus and ErrorCode). May be called any number of times, in any order, before or after the sender's own answer. An
-- unknown status proves the message and is not kept.
-- Answers settled (the row is completed), recorded (the row had moved on, or the status is news), already_settled (no news),
-- or unknown_attempt (there is none, or it has another SID).
create or replace function public.settle_sms_attempt(
    attempt_id uuid default null, twilio_sid text default null, settled_by text default 'callback',
    delivery_status text default null, error_code integer default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_answer text := 'already_settled';
begin
    if not smsretry.is_message_id(settle_sms_attempt.twilio_sid)
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be the provider''s id of a message, settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    if settle_sms_attempt.attempt_id is null then
        select * into v_attempt from public.sms_send_attempts a where a.twilio_sid = settle_sms_attempt.twilio_sid;
    else
        select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    end if;
    -- No fence: what the provider accepted is true, whoever has the row. The row is the attempt's own, or a newer one of its
    -- text that is in doubt about it.
    select * into v_row from public.sms_retry_queue q
    where q.id = coalesce(
        (select w.id from public.sms_retry_queue o join public.sms_retry_queue w on w.send_log_id = o.send_log_id
         where o.id = v_attempt.retry_id and w.status in ('pending', 'processing') and w.attempt_id = v_attempt.id),
        v_attempt.retry_id)
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    v_now := smsretry.clock();
    if v_attempt.twilio_sid <> settle_sms_attempt.twilio_sid then
        return 'unknown_attempt';
    end if;
    if v_attempt.twilio_sid is null then
        if smsretry.is_anothers(settle_sms_attempt.twilio_sid, v_attempt.id, v_row.send_log_id) then
            raise exception 'SID % belongs to another text', settle_sms_attempt.twilio_sid using errcode = 'SR422';
        end if;
        v_answer := smsretry.accept_attempt(v_row, v_attempt.id, settle_sms_attempt.twilio_sid, settle_sms_attempt.settled_by, v_now);
    end if;
    if smsretry.record_delivery(v_attempt.id, settle_sms_attempt.delivery_status, settle_sms_attempt.error_code, v_now)
        and v_answer = 'already_settled' then
        return 'recorded';
    end if;
    return v_answer;
end
$$;

-- ======== schemas/consent/businesses_of.sql ========
-- The businesses that have a customer with this number. texted: also those that have texted it. A deleted customer who
-- answers STOP may be imported again tomorrow.
create or replace function smsretry.businesses_of(phone text, texted boolean)
returns setof uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.business_id from public.customers c where c.phone = businesses_of.phone
    union
    select b.id from public.businesses b cross join smsretry.secret
    where businesses_of.texted and exists (
        select 1 from public.sms_send_attempts a where a.number_key = smsretry.number_key(b.id, businesses_of.phone))
    order by 1
$$;

-- ======== schemas/consent/give_back_consent.sql ========
-- Take back, at one business, what a STOP of this number ended before `at`: smsretry.take_back_stop. Nothing changes if the
-- START does not take back every opt-out there. Returns how many customers have consent again.
create or replace function smsretry.give_back_consent(
    business_id uuid, phone text, number_key bytea, at timestamptz, by_yes boolean
)
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids constant uuid[] := smsretry.lock_customers(give_back_consent.business_id, give_back_consent.phone);
    v_given integer;
begin
    delete from smsretry.unwritten_consents u
    where u.number_key = give_back_consent.number_key and u.consent = 'opted_in' and u.since <= give_back_consent.at;
    -- After the locks: an opt-out may have held them.
    if exists (
        select 1
        from (select c.sms_consent_source::text, c.sms_consent_at from public.customers c
              where c.id = any (v_ids) and c.sms_consent_status::text = 'opted_out'
              union all
              select s.source, s.since from smsretry.suppressions s where s.number_key = give_back_consent.number_key
              union all
              select u.source, u.since from smsretry.unwritten_consents u
              where u.number_key = give_back_consent.number_key and u.consent = 'opted_out') as o (source, since)
        where not smsretry.start_takes_back(o.source, give_back_consent.by_yes) or o.since >= give_back_consent.at) then
        return 0;
    end if;
    with given_back as (
        update public.customers c
        set sms_consent_status = case when x.known then x.consent else 'unknown' end,
            sms_consent_at = give_back_consent.at, sms_consent_source = 'inbound_start'
        from (select i.id, t.customer_id is not null as known, t.consent
              from unnest(v_ids) i (id)
              left join smsretry.stopped_consents t on t.customer_id = i.id and t.number_key = give_back_consent.number_key) x
        where c.id = x.id and c.sms_consent_status::text = 'opted_out'
        returning c.sms_consent_status::text as consent)
    select count(*) into v_given from given_back g where g.consent = 'opted_in';
    -- If nobody has consent again, the trigger on customers has lifted nothing.
    perform smsretry.lift(give_back_consent.number_key, give_back_consent.at, true);
    return v_given;
end
$$;

-- ======== schemas/consent/keep_stale.sql ========
-- Record that an opt-in of this date lifts nothing: smsretry.stale_opt_ins.
create or replace function smsretry.keep_stale(number_key bytea, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.stale_opt_ins (number_key, at)
    select keep_stale.number_key, date_trunc('second', keep_stale.at)
    where not exists (
        select 1 from smsretry.stale_opt_ins o
        where o.number_key = keep_stale.number_key and o.at = date_trunc('second', keep_stale.at));
end
$$;

-- ======== schemas/consent/keep_suppression.sql ========
-- An opt-out belongs to a number at a business and outlives the customer's row. Only a later opt-in (sms_consent_at) lifts
-- it: not a row that is imported later, is saved unchanged, or only receives the number. A START (inbound_start) lifts what
-- a START may. Later means written later and dated later. A future date lifts nothing, even after it has come
-- (stale_opt_ins). The same holds for the consent that an opt-out ends, in case a clock was set back.
-- security definer, because tenants may write customers and not suppressions. It never refuses their write.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    k_fast constant interval := '5 minutes'; -- an application's clock may be fast by that much
    v_now timestamptz;
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_moved boolean;
    v_anew boolean;
    v_second timestamptz;
begin
    -- Not in the declarations: the exception handler does not cover those.
    v_now := smsretry.clock();
    v_since := coalesce(new.sms_consent_at, v_now);
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    v_moved := tg_op = 'UPDATE' and (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
    -- Only the status changed: the time is that of the consent that ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := v_now;
    end if;
    -- The same write may opt out and remove the number from the row.
    if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then
        perform smsretry.suppress(
            old.business_id, smsretry.number_key(old.business_id, old.phone), v_since, new.sms_consent_source::text);
    end if;
    if new.phone is null then
        return new;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_moved and old.phone is not null then -- the row's earlier dates are no news for its new number either
        perform smsretry.keep_stale(v_key, o.at)
        from smsretry.stale_opt_ins o where o.number_key = smsretry.number_key(old.business_id, old.phone);
    end if;
    -- An application that saves whole rows may cut off microseconds, and so write an earlier time.
    v_anew := tg_op = 'INSERT' or v_changed
        or coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
    if new.sms_consent_status::text = 'opted_out' then
        if v_anew or v_moved
            or (old.sms_consent_source is distinct from new.sms_consent_source
                and smsretry.suppressed_since(v_key) is not null) then
            perform smsretry.suppress(new.business_id, v_key, v_since, new.sms_consent_source::text);
        end if;
        if v_changed and old.sms_consent_status::text = 'opted_in' and old.sms_consent_at >= v_since then
            perform smsretry.keep_stale(v_key, old.sms_consent_at);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and new.sms_consent_at is not null then
        -- Applications cut off or round to milliseconds or seconds.
        v_second := date_trunc('second', new.sms_consent_at);
        v_anew := v_anew and new.sms_consent_at <= v_now + k_fast and not exists (
            select 1 from smsretry.stale_opt_ins o
            where o.number_key = v_key and o.at in (v_second, v_second - interval '1 second'));
        if v_anew then
            perform smsretry.lift(
                v_key, least(new.sms_consent_at, v_now), new.sms_consent_source::text is not distinct from 'inbound_start');
        end if;
        if new.sms_consent_at > v_now or v_moved and not v_anew and smsretry.suppressed_since(v_key) < new.sms_consent_at then
            perform smsretry.keep_stale(v_key, new.sms_consent_at);
        end if;
    end if;
    if v_changed and new.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(new.sms_consent_source::text) then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (new.id, v_key, old.sms_consent_status::text) -- for a later START
        on conflict (customer_id) do update set number_key = excluded.number_key, consent = excluded.consent;
    elsif v_changed then
        delete from smsretry.stopped_consents t where t.customer_id = new.id;
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;

-- ======== schemas/consent/keep_unwritten.sql ========
-- Keep once what a number said while it cannot be written: smsretry.unwritten_consents.
create or replace function smsretry.keep_unwritten(
    number_key bytea, business_id uuid, consent text, since timestamptz, source text
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
    select keep_unwritten.number_key, keep_unwritten.business_id, keep_unwritten.consent, keep_unwritten.since,
           left(keep_unwritten.source, 200)
    where not exists (
        select 1 from smsretry.unwritten_consents u
        where u.number_key = keep_unwritten.number_key and u.consent = keep_unwritten.consent
          and u.since = keep_unwritten.since and (u.source is not distinct from left(keep_unwritten.source, 200)))
$$;

-- ======== schemas/consent/lift.sql ========
-- Lift a number's opt-outs from before a moment, and those dated after and_after. by_start: only if a START may.
create or replace function smsretry.lift(
    number_key bytea, before timestamptz, by_start boolean, and_after timestamptz default 'infinity'
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from smsretry.suppressions s
    where s.number_key = lift.number_key and (s.since < lift.before or s.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(s.source));
    delete from smsretry.unwritten_consents u
    where u.number_key = lift.number_key and u.consent = 'opted_out' and (u.since < lift.before or u.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(u.source));
end
$$;

-- ======== schemas/consent/lock_customers.sql ========
-- Lock a number at a business, then in order of id its customers who have that number, and one customer by id, whose number
-- may have changed. The order keeps two opt-outs of the same people from deadlocking.
create or replace function smsretry.lock_customers(business_id uuid, phone text, customer_id uuid default null)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform smsretry.lock_number(lock_customers.business_id, lock_customers.phone);
    return array(
        select c.id from public.customers c
        where (c.phone = lock_customers.phone or c.id = lock_customers.customer_id) and c.business_id = lock_customers.business_id
        order by c.id for no key update);
end
$$;

-- ======== schemas/consent/mark_customer.sql ========
-- Record what the provider's refusal says of the number: opted_out ends the consent of everyone at the business who has it,
-- and phone_status tells the application. It never undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if mark_customer.opted_out then
        perform smsretry.set_consent(
            retry.business_id, retry.customer_id, mark_customer.phone, 'opted_out',
            coalesce('twilio_' || mark_customer.code, 'provider_refusal'), mark_customer.at);
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.business_id = retry.business_id and c.phone = mark_customer.phone;
    end if;
exception
    when deadlock_detected or lock_not_available or serialization_failure then
        raise; -- passing: the caller repeats the call
    when others then
        -- The application's checks and triggers may refuse the mark. The provider will refuse the next text, too.
        raise warning 'The customer of row % could not be marked after the provider''s %: %',
            retry.id, mark_customer.code, sqlstate;
end
$$;

-- ======== schemas/consent/mark_words_read.sql ========
-- A number's texts that may mean stop no longer wait for a person. Returns how many did.
create or replace function smsretry.mark_words_read(number_key bytea, at timestamptz)
returns integer language sql set search_path = pg_catalog, pg_temp as $$
    with seen as (
        update smsretry.inbound_texts t set seen_at = mark_words_read.at
        where t.number_key = mark_words_read.number_key and t.heard = 'words' and t.seen_at is null
        returning 1)
    select count(*)::integer from seen
$$;

-- ======== schemas/consent/means_stop.sql ========
-- Whether an incoming text says stop. "Any reasonable means" revokes consent (47 CFR 64.1200(a)(10)). When in doubt, opt out.
--   keyword: nothing but words of stop, whatever case, accents, punctuation and emoji ("stop, cancel!", "stoppp")
--   words: it may mean stop: a keyword beside courtesies, or a phrase of smsretry.words_of_stop anywhere
--   null: neither, such as "cancel" in another sentence, "stop by at 5?" and "don't stop, I love these"
-- A phone's reaction to our text ("Liked “…Reply STOP to opt out”") quotes us and says nothing.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n’)?a (pas )?(aim|ador)[^ ]+|[^a-z]{1,12} to) ["“„«].*["”“»][^a-z]*$';
    v_list record;
    v_plain text;
    v_words text[];
    v_pattern text;
    v_means text;
begin
    if lower(left(means_stop.body, smsretry.longest_body()) collate "C") ~ v_reaction then
        return null;
    end if;
    select array_agg(replace(x.word, ' ', '')) filter (where w.kind = 'keyword') as keywords,
           array_agg(x.word) filter (where w.kind = 'courtesy') as courtesies,
           array_agg(x.word) filter (where w.kind = 'even_so') as even_so,
           array_agg(x.word) filter (where w.kind = 'not_this') as not_this,
           array_agg(x.word) filter (where w.kind = 'words') as words into v_list
    from smsretry.words_of_stop() w cross join unnest(w.words) x (word);
    for v_plain in
        select distinct p.plain
        from (values (smsretry.plain_words(means_stop.body)), (smsretry.plain_words(means_stop.body, ' '))) p (plain)
        where p.plain <> ''
    loop
        v_words := string_to_array(v_plain, ' ');
        if v_words <@ v_list.keywords or replace(v_plain, ' ', '') = any (v_list.keywords)
            or length(v_plain) <= 60 and regexp_replace(replace(v_plain, ' ', ''), '(.)\1+', '\1', 'g') in (
                select regexp_replace(k.word, '(.)\1+', '\1', 'g') from unnest(v_list.keywords) k (word)) then
            return 'keyword';
        end if;
        if v_words <@ (v_list.keywords || v_list.courtesies) and v_words && v_list.keywords
            or v_plain collate "C" ~ any (v_list.even_so) then
            v_means := 'words';
        end if;
        foreach v_pattern in array v_list.not_this loop
            v_plain := regexp_replace(v_plain collate "C", v_pattern, '-', 'g');
        end loop;
        if v_plain collate "C" ~ any (v_list.words) then
            v_means := 'words';
        end if;
    end loop;
    return v_means;
end
$$;

-- ======== schemas/consent/opt_out.sql ========
-- End consent for everyone who has this number, at one business or at all that have a customer with it. Businesses fail
-- separately: a lock or a rule at one keeps nobody else from opting out. All together wait for locks for one second. What
-- could not be written holds nevertheless (unwritten_consents), and the same call again writes it. If one business is named,
-- its rule's error is raised.
-- texted: as in smsretry.businesses_of. left_only: only where this opt-out could not be written before.
--   customers: marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    texted boolean default false, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ended record;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(opt_out.phone, opt_out.texted) b (id)
        where opt_out.business_id is null or b.id = opt_out.business_id
        order by b.id
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select * into v_ended
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at);
            customers := customers + v_ended.customers;
            cancelled := cancelled + v_ended.cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and c.business_id = v_business;
        end;
    end loop;
end
$$;

-- ======== schemas/consent/record_inbound_sms.sql ========
-- For the application's webhook: somebody texted one of our numbers (Twilio's From, OptOutType, Body and MessageSid). STOP
-- opts the number out at every business, because the provider blocks it for their shared sender. START takes back only what
-- STOP, or the provider's refusal, did.
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: anything that may mean stop
-- (smsretry.means_stop), or exactly one of the provider's words of START. A text taken for HELP may say stop, not START.
-- Each message is recorded once. Repeated, it only writes what could not be written the first time, as of then.
--   answer: opted_out | opted_in | nothing | already_recorded
--   customers: opted out now, or with consent again · cancelled: texts that waited
--   unmarked: customers whose rows are locked; a STOP holds for them too, and the same message again marks them
--   heard: provider (OptOutType) | keyword | words (it may mean stop, and a person should read it) | null
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer, heard text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- A form that was decoded wrongly has a space for the plus sign, and RCS names its channel.
    v_phone constant text := regexp_replace(
        record_inbound_sms.phone, '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$', '+\1');
    v_type constant text := coalesce(upper(btrim(left(record_inbound_sms.opt_out_type, 40)) collate "C"), '');
    v_word constant text := upper(btrim(left(record_inbound_sms.body, 40), E' \t\r\n') collate "C");
    v_means text;
    v_said text;
    v_heard text;
    v_heard_at timestamptz := smsretry.clock();
    v_key bytea;
    v_again boolean;
begin
    if not smsretry.is_message_id(record_inbound_sms.twilio_sid) or record_inbound_sms.phone is null then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    if v_type in ('STOP', 'START') then
        v_said := v_type;
        v_heard := 'provider';
    else
        v_means := smsretry.means_stop(record_inbound_sms.body);
        v_said := case when v_means is not null then 'STOP' when v_type = '' and v_word in ('START', 'UNSTOP', 'YES') then 'START' end;
        v_heard := coalesce(v_means, case when v_word = 'YES' then 'yes' else 'keyword' end);
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_said is null then
        return next;
        return;
    end if;
    v_key := (select smsretry.number_key('00000000-0000-0000-0000-000000000000', v_phone) from smsretry.secret);
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said, heard, number_key)
    values (record_inbound_sms.twilio_sid, v_heard_at, v_said, v_heard, v_key) on conflict do nothing;
    v_again := not found;
    if v_again then
        select t.said, t.heard_at, t.heard into v_said, v_heard_at, v_heard
        from smsretry.inbound_texts t where t.twilio_sid = record_inbound_sms.twilio_sid;
    end if;
    answer := case when v_again then 'already_recorded' when v_said = 'STOP' then 'opted_out' else 'opted_in' end;
    if v_said = 'STOP' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(v_phone, case when v_heard = 'words' then 'inbound_words' else 'inbound_stop' end,
                              v_heard_at, null, v_again, true) s;
    else
        select s.customers, s.unmarked into customers, unmarked
        from smsretry.take_back_stop(v_phone, v_heard_at, v_again, coalesce(v_heard = 'yes', false)) s;
    end if;
    -- Nobody needs to read what a plain word follows, or what concerns no customer.
    if not v_again and (v_heard in ('provider', 'keyword') or v_heard = 'words' and customers + unmarked = 0) then
        perform smsretry.mark_words_read(v_key, v_heard_at);
    end if;
    heard := case when v_heard = 'yes' then 'keyword' else v_heard end;
    return next;
end
$$;

-- ======== schemas/consent/record_sms_consent.sql ========
-- For people: a customer says stop or yes by telephone or letter. An opt-out without a business is from all of them; consent
-- is given to one. Either one also closes the number's texts that may mean stop and wait for a person.
--   customers: concerned · cancelled: texts that waited
--   unmarked: customers whose rows are locked; the opt-out holds for them too, and the same call again marks them
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null
)
returns table (customers integer, cancelled integer, unmarked integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_seen integer;
begin
    if (record_sms_consent.consent in ('opted_in', 'opted_out')) is not true
        or (record_sms_consent.phone ~ '^[+][1-9][0-9]{6,14}$') is not true
        or coalesce(btrim(record_sms_consent.source), '') = '' then
        raise exception 'phone must be E.164, consent opted_in or opted_out, and source must say how it is known'
            using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_in' and record_sms_consent.business_id is null then
        raise exception 'business_id is missing: consent is given to one business' using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_out' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(
            record_sms_consent.phone, record_sms_consent.source, smsretry.clock(), record_sms_consent.business_id) s;
    else
        select s.customers, s.cancelled, 0 into customers, cancelled, unmarked
        from smsretry.set_consent(
            record_sms_consent.business_id, null, record_sms_consent.phone, 'opted_in', record_sms_consent.source,
            smsretry.clock()) s;
    end if;
    v_seen := smsretry.mark_words_read(
        (select smsretry.number_key('00000000-0000-0000-0000-000000000000', record_sms_consent.phone) from smsretry.secret),
        smsretry.clock());
    if customers + unmarked + v_seen = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    return next;
end
$$;

-- ======== schemas/consent/refusal.sql ========
-- Why a text may not go to its customer at any hour (why_code: for programs); null: it may. The one rule, for begin and for
-- predictions. sent: smsretry.is_sent · consent, number_key: the customer's. plpgsql keeps its plan.
create or replace function smsretry.refusal(
    sent boolean, consent text, number_key bytea, out why text, out why_code text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    why := case
        when refusal.sent then 'Already sent'
        when refusal.consent = 'opted_out' then 'Customer opted out'
        when refusal.consent is distinct from 'opted_in'
            then 'Customer opted out (consent is ' || coalesce(left(refusal.consent, 40), 'missing') || ')'
        -- smsretry.suppressed_since, inline because every send needs it.
        when exists (select 1 from smsretry.suppressions s where s.number_key = refusal.number_key)
            or exists (select 1 from smsretry.unwritten_consents u where u.number_key = refusal.number_key and u.consent = 'opted_out')
            then 'Customer opted out (the number did, at this business; a later opt-in lifts it)'
    end;
    why_code := case when why is null then null when refusal.sent then 'already_sent' else 'opted_out' end;
end
$$;

-- ======== schemas/consent/set_consent.sql ========
-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed. An opt-out cancels their waiting texts; a text that is in doubt, under way or locked meets it at its next begin.
-- A repeated opt-out keeps the first record, unless only the first could be lifted by a START.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Null without the key of the hashes. Then no text goes out, and the rows become suppressions once there is a key.
    v_key constant bytea := (select smsretry.number_key(set_consent.business_id, set_consent.phone) from smsretry.secret);
    v_ids constant uuid[] := smsretry.lock_customers(set_consent.business_id, set_consent.phone, set_consent.customer_id);
    v_said record;
    v_waiting public.sms_retry_queue;
begin
    customers := cardinality(v_ids);
    cancelled := 0;
    if set_consent.consent = 'opted_in' then
        -- A person's word also outweighs opt-outs dated in the future.
        perform smsretry.take_unwritten(v_key, set_consent.at);
        update public.customers c
        set sms_consent_status = 'opted_in', sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
        where c.id = any (v_ids);
        perform smsretry.lift(v_key, set_consent.at, false, smsretry.clock());
        return;
    end if;

    for v_said in -- this, and before it what could not be written when it was heard
        select t.since, t.source from smsretry.take_unwritten(v_key, set_consent.at) t
        union all
        select set_consent.at, set_consent.source
        order by 1
    loop
        update public.customers c
        set sms_consent_status = 'opted_out', sms_consent_at = v_said.since, sms_consent_source = v_said.source
        where c.id = any (v_ids)
          and (c.sms_consent_status is distinct from 'opted_out'
               or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)));
        -- The trigger on customers records a changed row. No row has changed if all were opted out already, have another
        -- number by now, or are gone.
        if v_key is not null and not exists ( -- an opt-out that is no earlier, and no easier for a START to take back
            select 1
            from (select s.since, s.source from smsretry.suppressions s where s.number_key = v_key
                  union all
                  select u.since, u.source from smsretry.unwritten_consents u
                  where u.number_key = v_key and u.consent = 'opted_out') o
            where o.since >= v_said.since
              and (smsretry.start_takes_back(v_said.source) or not smsretry.start_takes_back(o.source))) then
            perform smsretry.suppress(set_consent.business_id, v_key, v_said.since, v_said.source);
        end if;
    end loop;
    begin
        for v_waiting in
            select q.* from public.sms_retry_queue q
            where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', 'opted_out', null, set_consent.at);
            cancelled := cancelled + 1;
        end loop;
    exception when lock_not_available or deadlock_detected then
        cancelled := 0; -- none of them
    end;
end
$$;

-- ======== schemas/consent/start_lifts.sql ========
-- Whether an opt-out of this source is a STOP, or the provider's refusal, which reports a STOP where no webhook hears it.
create or replace function smsretry.start_lifts(source text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(start_lifts.source, '') ~ '^(inbound_stop|provider_refusal|twilio_[0-9]+)$'
$$;

-- ======== schemas/consent/start_takes_back.sql ========
-- Whether a START takes back an opt-out of this source: smsretry.start_lifts, or words that may mean stop. Any other (by
-- telephone, by letter, in the application, unknown) lasts until a later opt-in.
-- by_yes: the START was a YES, which may answer another question. It takes back only what the provider blocks.
create or replace function smsretry.start_takes_back(source text, by_yes boolean default false)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select smsretry.start_lifts(start_takes_back.source)
        or coalesce(start_takes_back.source = 'inbound_words' and not start_takes_back.by_yes, false)
$$;

-- ======== schemas/consent/suppress.sql ========
-- Record that a number opted out at a business. The latest time counts, and a source that a START may not lift outweighs one
-- that it may. If the number's row or the business stays locked for lock_timeout, unwritten_consents keeps the opt-out.
create or replace function smsretry.suppress(business_id uuid, number_key bytea, since timestamptz, source text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if exists (select 1 from smsretry.unwritten_consents u
               where u.number_key = suppress.number_key and u.consent = 'opted_out'
                 and (u.since, u.source) is not distinct from (suppress.since, left(suppress.source, 200))) then
        return; -- it has just been waited for
    end if;
    insert into smsretry.suppressions as s (number_key, business_id, since, source)
    values (suppress.number_key, suppress.business_id, suppress.since, left(suppress.source, 200))
    on conflict (number_key) do update
    set since = greatest(s.since, excluded.since),
        source = case
            when smsretry.start_takes_back(s.source) then excluded.source
            when s.since < excluded.since and not smsretry.start_takes_back(excluded.source) then excluded.source
            else s.source end
    where s.since < excluded.since or (smsretry.start_takes_back(s.source) and not smsretry.start_takes_back(excluded.source));
exception when lock_not_available or deadlock_detected then
    perform smsretry.keep_unwritten(
        suppress.number_key, suppress.business_id, 'opted_out', suppress.since, suppress.source);
end
$$;

-- ======== schemas/consent/take_back_stop.sql ========
-- Somebody texted START: at each business that has a customer with this number, restore the consent that a STOP or the
-- provider's refusal ended before `at`. Other opt-outs stay, and with them everything at that business.
-- stopped_consents says what consent was. Without an entry it becomes unknown, and somebody must ask again.
-- by_yes: smsretry.start_takes_back. Separate businesses and left_only: as in smsretry.opt_out.
--   customers: with consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, by_yes boolean default false, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
begin
    customers := 0;
    unmarked := 0;
    for v_business in select b.id from smsretry.businesses_of(take_back_stop.phone, true) b (id) order by b.id loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            customers := customers + smsretry.give_back_consent(
                v_business, take_back_stop.phone, v_key, take_back_stop.at, take_back_stop.by_yes);
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start');
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;

-- ======== schemas/consent/take_unwritten.sql ========
-- Remove and return the opt-outs of a number that could not be written, up to a moment: the caller writes them now. Anything
-- else from that time is out of date.
create or replace function smsretry.take_unwritten(number_key bytea, until timestamptz)
returns table (since timestamptz, source text) language sql set search_path = pg_catalog, pg_temp as $$
    with taken as (
        delete from smsretry.unwritten_consents u
        where u.number_key = take_unwritten.number_key and u.since <= take_unwritten.until
        returning u.consent, u.since, u.source)
    select t.since, t.source from taken t where t.consent = 'opted_out'
$$;

-- ======== schemas/consent/unread_stop.sql ========
-- The SID of a number's last text that may mean stop and that nobody has read; null: there is none.
create or replace function smsretry.unread_stop(phone text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select t.twilio_sid from smsretry.inbound_texts t
        where t.number_key = smsretry.number_key('00000000-0000-0000-0000-000000000000', unread_stop.phone)
          and t.heard = 'words' and t.seen_at is null
        order by t.heard_at desc limit 1);
end
$$;

-- ======== schemas/scheduled/cancel_scheduled.sql ========
-- For cancel_sms_retries: cancel scheduled sends that are not queued yet, newest first. One that cannot be changed stays.
-- Returns a JSON object a row, as smsretry.change_of_row. The filter: as smsretry.chosen.
create or replace function smsretry.cancel_scheduled(
    ids uuid[], business_id uuid, customer_id uuid, containing text, since timestamptz, until timestamptz, row_limit integer,
    dry_run boolean, why_code text, why text
)
returns jsonb[] language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_send public.scheduled_sends;
    v_skip text;
    v_found boolean;
    v_rows jsonb[] := '{}';
begin
    for v_send in
        select s.* from public.scheduled_sends s
        where s.status = 'scheduled'
          and (cancel_scheduled.ids is null or s.id = any (cancel_scheduled.ids))
          and (cancel_scheduled.business_id is null or s.business_id = cancel_scheduled.business_id)
          and (cancel_scheduled.customer_id is null or s.customer_id = cancel_scheduled.customer_id)
          and (cancel_scheduled.why_code is null or s.why_code = cancel_scheduled.why_code)
          and (cancel_scheduled.containing is null or strpos(lower(s.why), lower(cancel_scheduled.containing)) > 0)
          and (cancel_scheduled.since is null or s.updated_at >= cancel_scheduled.since)
          and (cancel_scheduled.until is null or s.updated_at < cancel_scheduled.until)
        order by s.updated_at desc, s.id
        limit cancel_scheduled.row_limit
    loop
        v_skip := null;
        if not cancel_scheduled.dry_run then
            begin
                update public.scheduled_sends s set status = 'cancelled', why = cancel_scheduled.why, why_code = 'operator'
                where s.id = v_send.id and s.status = 'scheduled';
                v_found := found;
                v_skip := case
                    when exists (select 1 from public.scheduled_sends s where s.id = v_send.id and s.status = 'scheduled')
                        then 'A trigger on scheduled_sends keeps it as it is'
                    when not v_found then 'It has changed meanwhile'
                end;
                set constraints all immediate; -- a deferred check would undo the others, too
            exception when others then
                v_skip := 'A trigger or a rule of scheduled_sends refuses each change of it (' || sqlstate || ')';
            end;
        end if;
        v_rows := v_rows || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', case v_send.message_class when 'transactional' then 'transactional' else 'marketing' end,
            'attempts', 0,
            'was', coalesce(smsretry.numberless(v_send.why), 'Scheduled for ' || to_char(v_send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'),
            'skipped', v_skip, 'warned', null);
    end loop;
    return v_rows;
end
$$;

-- ======== schemas/scheduled/keep_scheduled.sql ========
-- Keep a scheduled send that could not be queued for a reason that is not its own: held if somebody must mend it (trouble),
-- for life at most, otherwise later. result: held | later | cancelled. If a trigger or a rule refuses even this,
-- smsretry.held_sends keeps it, and the others go on. The caller holds the row locked.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text, out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_since timestamptz;
    v_expired boolean;
    v_status text;
    v_due timestamptz;
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    v_since := coalesce(
        send.held_since, (select h.held_since from smsretry.held_sends h where h.scheduled_id = send.id));
    v_expired := keep_scheduled.trouble is not null and coalesce(v_since + keep_scheduled.life <= keep_scheduled.at, false);
    begin
        result := case when v_expired then 'cancelled' when keep_scheduled.trouble is null then 'later' else 'held' end;
        why := case when v_expired then 'Expired before it could be sent. ' else '' end || keep_scheduled.trouble;
        why_code := case result when 'cancelled' then 'expired' when 'held' then 'row_refused' end;
        update public.scheduled_sends s
        set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
            why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, smsretry.longest_reason()) end,
            why_code = case keep_scheduled.result when 'later' then s.why_code else keep_scheduled.why_code end,
            held_since = case keep_scheduled.result when 'held' then coalesce(v_since, keep_scheduled.at)
                                                    when 'later' then s.held_since end,
            look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
        where s.id = send.id
        returning s.status, coalesce(s.look_at, s.scheduled_for) into v_status, v_due;
        if coalesce(v_status = 'scheduled' and (v_expired or v_due < keep_scheduled.look_at), true) then
            raise exception 'It stays as it was' using errcode = 'SR409';
        end if;
        set constraints all immediate; -- a deferred check would undo the others, too
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
            v_rule = constraint_name;
        raise warning 'Scheduled send % could not be changed: %', send.id, v_state;
        result := 'held';
        why_code := 'row_refused';
        why := left(concat_ws('. ', keep_scheduled.trouble, case
            when v_state = 'SR409' then 'Its row stays as it is, whatever is written: look for a trigger on scheduled_sends '
                || 'that swallows or undoes updates'
            else 'Its row cannot be changed: '
                || concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                || '. Mend the row, or look at the triggers and rules of scheduled_sends' end), smsretry.longest_reason());
        insert into smsretry.held_sends (scheduled_id, held_since, look_at, expired, why)
        values (send.id, coalesce(v_since, keep_scheduled.at), keep_scheduled.look_at, v_expired, keep_scheduled.why)
        on conflict (scheduled_id) do update
        set look_at = excluded.look_at, expired = held_sends.expired or excluded.expired, why = excluded.why;
    end;
end
$$;

-- ======== schemas/scheduled/make_send_log.sql ========
-- Insert the send log of a scheduled send, with the send's own id. Returns whether it was made now. Raises if afterwards
-- none says that its text waits, so call it inside a block.
create or replace function smsretry.make_send_log(id uuid, business_id uuid, customer_id uuid, body text, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_made boolean;
    v_sent boolean;
begin
    insert into public.send_logs (id, business_id, customer_id, channel, subject, created_at, updated_at)
    select make_send_log.id, make_send_log.business_id, make_send_log.customer_id, 'sms', make_send_log.body,
           make_send_log.at, make_send_log.at
    where not exists (select 1 from public.send_logs l where l.id = make_send_log.id);
    v_made := found;
    select smsretry.is_sent(l.provider_message_id, l.status::text) into v_sent
    from public.send_logs l where l.id = make_send_log.id;
    if v_sent is null then
        raise exception 'its send log was not kept; a trigger on send_logs swallows it, or gives it another id' using errcode = 'SR409';
    elsif v_made and v_sent then
        raise exception 'its send log says from the start that the text was sent; send_logs.status needs another default'
            using errcode = 'SR409';
    end if;
    return v_made;
end
$$;

-- ======== schemas/scheduled/make_text.sql ========
-- Queue the text of a scheduled send, or keep it for later. An error is its own trouble: it is held and says what to mend.
-- busy: its business was locked a moment ago, so it is not tried. state: the SQLSTATE if it failed. The row is locked.
create or replace function smsretry.make_text(
    send public.scheduled_sends, life interval, busy boolean, until timestamptz, at timestamptz,
    out result text, out why text, out retry_id uuid, out why_code text, out state text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_look_at constant timestamptz := until + interval '13 minutes'; -- of what somebody must mend
    v_table text;
    v_column text;
    v_rule text;
    v_message text;
begin
    if exists (select 1 from smsretry.held_sends h where h.scheduled_id = send.id and h.expired) then
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(send, 'It was held for too long', life, v_look_at, at) k;
        return;
    end if;
    state := case when busy then '55P03' end;
    if state is null then
        begin
            select q.result, q.why, q.retry_id, q.why_code into result, why, retry_id, why_code
            from smsretry.queue_scheduled(send, at, life) q;
        exception when query_canceled or others then
            get stacked diagnostics state = returned_sqlstate, v_table = table_name, v_column = column_name,
                v_rule = constraint_name, v_message = message_text;
        end;
    end if;
    if state in ('55P03', '40P01', '40001') then
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(send, null, life, until + interval '30 seconds', at) k;
    elsif state <> '57014' then
        -- The database's own message may quote the row. Ours, with an SR code, hold only ids.
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(
            send, 'Its text cannot be made: ' || case
                when state like 'SR%' then v_message
                else concat_ws(', ', state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                    || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
            end, life, v_look_at, at) k;
    end if;
end
$$;

-- ======== schemas/scheduled/queue_scheduled.sql ========
-- Make the text of a scheduled send, its send log and its row in the queue, or say why there can be none. The send log has
-- the send's own id, so there is one text at most. The caller holds the row locked.
--   result: queued | cancelled | failed
-- life: how long it is of use from its time on, if it does not say so itself; null: its claim says so. Raises if its row
-- stays as it was: otherwise it would be queued again and again.
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, life interval, out result text, out why text, out retry_id uuid,
    out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_status text;
begin
    -- Infinity and the like are no end. The constraint refuses them, and with them each change of the row.
    if send.not_after > upper(smsretry.century()) then
        send.not_after := null;
    end if;
    why_code := case
        when not exists (select 1 from public.customers c where c.id = send.customer_id and c.business_id = send.business_id)
            then 'no_customer'
        when coalesce(btrim(send.body, E' \t\n\r'), '') = '' then 'no_body'
        -- A send planned for -infinity is held until somebody mends it.
        when coalesce(send.not_after, case when isfinite(send.scheduled_for) then send.scheduled_for + life end)
            <= queue_scheduled.at then 'expired'
    end;
    if why_code in ('no_customer', 'no_body') then
        result := 'failed';
        why := case why_code when 'no_customer' then 'Customer not found'
                             else 'Text is empty: scheduled_sends.body holds none' end;
    elsif why_code = 'expired' then
        result := 'cancelled';
        why := 'Expired before it could be sent' || case
            when send.not_after is not null then ''
            when send.held_since is not null then '. ' || send.why
            else ': it was due on ' || to_char(send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD') || ' (UTC)' end;
        if exists (select 1 from smsretry.restores r where send.scheduled_for between r.since and r.restored_at) then
            why := why || '. It may have gone out before the database was restored: look in the provider''s log';
        end if;
    -- A send log that is made now is this text's, even if a trigger changed its words.
    elsif smsretry.make_send_log(send.id, send.business_id, send.customer_id, send.body, queue_scheduled.at)
        or exists (select 1 from public.send_logs l
                   where l.id = send.id and l.business_id = send.business_id
                     and l.customer_id = send.customer_id and l.subject = send.body) then
        result := 'queued';
        select q.retry_id into retry_id
        from public.queue_sms_retry(
            send_log_id => send.id, scheduled_for => send.scheduled_for,
            expires_in => send.not_after - smsretry.clock(), -- queue_sms_retry adds it to that
            message_class => send.message_class) q;
    else
        result := 'failed';
        why_code := 'id_taken';
        why := 'Its id is that of another send log: schedule the text anew';
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = left(queue_scheduled.why, smsretry.longest_reason()),
        why_code = queue_scheduled.why_code, held_since = null, look_at = null,
        not_after = send.not_after,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = send.id
    returning s.status into v_status;
    if coalesce(v_status = 'scheduled', true) then
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that', result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- a deferred check would undo the others, too
end
$$;

-- ======== schemas/scheduled/queue_scheduled_sms.sql ========
-- Queue the scheduled sends that are due within `ahead` (null: now), limit_count at most (smsretry.rows_of_claim).
-- Businesses take turns, the oldest of each first. Each is a subtransaction of its own: send log, queue row and status, or
-- none of them. May be repeated. Sends that are held are passed over until their next look.
--   result: queued | cancelled | failed (why) | held (why: what a person can mend) | later (its business is locked now)
-- life: how long a text is of use from its time on if it does not say so, and how long it may be held; null: the claim says.
create or replace function public.queue_scheduled_sms(
    limit_count integer default null, ahead interval default null, life interval default null
)
returns table (scheduled_id uuid, business_id uuid, customer_id uuid, result text, why text, retry_id uuid, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the business locked, its texts wait, and not the others.
set lock_timeout = '1s' set statement_timeout = '8s' as $$ -- statement_timeout: as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_until constant timestamptz := v_now + least(greatest(coalesce(ahead, interval '0'), interval '0'), interval '1 hour');
    v_latest constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_turn record;
    v_id uuid;
    v_taken integer := 0;
    v_served uuid;
    v_send public.scheduled_sends;
    v_made record;
    v_began timestamptz;
    v_busy uuid[] := '{}';
    v_slow uuid[] := '{}';
begin
    select * into v_turn from smsretry.in_turn('scheduled', v_until, v_limit);
    foreach v_id in array smsretry.work_in_turn('scheduled', v_turn.businesses, v_turn.each, v_limit, v_until) loop
        v_began := clock_timestamp();
        exit when v_taken >= v_limit or v_began > v_latest; -- the next call takes the rest
        -- By its id alone: see smsretry.claim_in_turn.
        select * into v_send from public.scheduled_sends s where s.id = v_id for update skip locked;
        continue when (v_send.status = 'scheduled' and coalesce(v_send.look_at, v_send.scheduled_for) <= v_until) is not true
            or v_send.business_id = any (v_slow)
            or exists (select 1 from smsretry.set_apart a where a.business_id = v_send.business_id and a.retry_at > v_now);
        v_taken := v_taken + 1;
        v_served := v_send.business_id;
        select * into v_made from smsretry.make_text(v_send, life, v_send.business_id = any (v_busy), v_until, v_now);
        if v_made.state in ('55P03', '40P01', '40001') then
            v_busy := v_busy || v_send.business_id;
        end if;
        if v_made.state = '57014'
            or v_made.state is distinct from '55P03' and smsretry.took_long(v_began) then
            -- A trigger is slow for this business: its other sends come later.
            v_slow := v_slow || v_send.business_id;
            perform smsretry.set_business_apart(v_send.business_id, v_began, v_made.state, v_now);
            exit when v_made.state = '57014'; -- the time is over and is not counted again
        end if;
        return query
        select v_send.id, v_send.business_id, v_send.customer_id, v_made.result, v_made.why, v_made.retry_id, v_made.why_code;
    end loop;
    perform smsretry.end_turn(
        'scheduled', v_turn.place, v_turn.businesses, v_turn.passed, v_served, v_taken = v_limit);
end
$$;

-- ======== schemas/scheduled/schedule_sms.sql ========
-- Plan a text for a time, when it is checked like every other: consent, permitted hours, caps. Update its row to change it.
--   result: scheduled | already_scheduled (this id exists and stays as it is)
-- id: the caller's own, with which the call may be repeated; null: each call plans another text. not_after: when the text is
-- of no more use; null: as any text. A past time means now. message_class null: marketing. created_by: the planner.
create or replace function public.schedule_sms(
    business_id uuid, customer_id uuid, body text, scheduled_for timestamptz, not_after timestamptz default null,
    message_class text default null, created_by uuid default null, id uuid default null
)
returns table (scheduled_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id constant uuid := coalesce(schedule_sms.id, gen_random_uuid());
    v_class constant text := coalesce(schedule_sms.message_class, 'marketing');
    v_problem text;
    v_there public.scheduled_sends;
    v_state text;
    v_column text;
    v_rule text;
begin
    v_problem := case
        when schedule_sms.scheduled_for is null then 'scheduled_for is missing: when is the text to go out?'
        when (schedule_sms.scheduled_for <@ smsretry.century()) is not true
            then 'scheduled_for must be a time in this century'
        when not schedule_sms.not_after <@ smsretry.century()
            then 'not_after must be a time in this century'
        when schedule_sms.not_after <= greatest(schedule_sms.scheduled_for, v_now)
            then 'not_after must come after scheduled_for, and after now'
        when coalesce(btrim(schedule_sms.body, E' \t\n\r'), '') = '' then 'body is empty'
        when length(schedule_sms.body) > smsretry.longest_body()
            then 'body is longer than ' || smsretry.longest_body() || ' characters, the most that the provider takes'
        when v_class not in ('marketing', 'transactional') then 'message_class must be marketing or transactional'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if not exists (select 1 from public.customers c
                   where c.id = schedule_sms.customer_id and c.business_id = schedule_sms.business_id) then
        raise exception 'There is no customer % at business %', schedule_sms.customer_id, schedule_sms.business_id
            using errcode = 'SR404', hint = 'Consent and phone number are read there: insert the customer first.';
    end if;

    begin
        insert into public.scheduled_sends (
            id, business_id, customer_id, body, scheduled_for, not_after, message_class, status, created_by, created_at, updated_at)
        values (v_id, schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body,
                greatest(schedule_sms.scheduled_for, v_now), -- its life counts from there
                schedule_sms.not_after, v_class, 'scheduled', schedule_sms.created_by, v_now, v_now)
        on conflict (id) do nothing
        returning * into v_there;
    exception when integrity_constraint_violation then
        -- The database's own error would quote the body, also in its log.
        get stacked diagnostics v_state = returned_sqlstate, v_column = column_name, v_rule = constraint_name;
        raise exception 'scheduled_sends does not take the text: %', concat_ws(', ', v_state, nullif(v_column, ''), nullif(v_rule, ''))
            using errcode = 'SR409', hint = 'Look at what the table requires beyond smsretry''s columns, or insert the row yourself.';
    end;
    if v_there.id is not null then
        return query select v_there.id, 'scheduled', v_there.scheduled_for;
        return;
    end if;
    select * into v_there from public.scheduled_sends s where s.id = v_id;
    if (v_there.business_id, v_there.customer_id, v_there.body)
        is distinct from (schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body) then
        raise exception 'Scheduled send % is another text', v_id
            using errcode = 'SR409', hint = 'Give each text an id of its own.';
    end if;
    return query select v_there.id, 'already_scheduled', v_there.scheduled_for;
end
$$;

-- ======== schemas/scheduled/scheduled_send_changed.sql ========
-- A scheduled send is updated. While it waits, anything may change. Once queued, moving or cancelling it does the same to
-- its text, or is refused (SR409) if the send has begun or the text has ended. It is no longer kept in held_sends.
-- security definer, because an owner may change its scheduled sends and not the queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_text public.sms_retry_queue;
begin
    delete from smsretry.held_sends h where h.scheduled_id = old.id;
    new.updated_at := v_now;
    if new.status = 'cancelled' and old.status <> 'cancelled' then
        new.held_since := null;
        new.why := case when new.why is distinct from old.why then new.why end;
        new.why_code := case when new.why_code is distinct from old.why_code then new.why_code else 'application' end;
        new.why := left(coalesce(new.why, 'Cancelled by the application'), smsretry.longest_reason());
    end if;
    if old.status <> 'queued' then
        if new.status = 'scheduled' and old.status <> 'scheduled' then
            new.why := null; -- wanted after all
            new.why_code := null;
        end if;
        if (new.body, new.customer_id, new.scheduled_for, new.not_after)
            is distinct from (old.body, old.customer_id, old.scheduled_for, old.not_after) then
            new.look_at := null; -- looked at anew
        end if;
        return new;
    end if;
    if (new.status, new.scheduled_for, new.not_after, new.body, new.business_id, new.customer_id, new.message_class, new.send_log_id)
        is not distinct from
       (old.status, old.scheduled_for, old.not_after, old.body, old.business_id, old.customer_id, old.message_class, old.send_log_id) then
        return new;
    end if;
    if new.status not in ('queued', 'cancelled')
        or (new.body, new.business_id, new.customer_id, new.message_class, new.send_log_id)
            is distinct from (old.body, old.business_id, old.customer_id, old.message_class, old.send_log_id) then
        raise exception 'Scheduled send % is queued: it can be moved or cancelled, and nothing else', old.id
            using errcode = 'SR409', hint = 'Cancel it and schedule another.';
    end if;
    select q.* into v_text from public.sms_retry_queue q
    where q.send_log_id = old.send_log_id and q.business_id = old.business_id and q.status in ('pending', 'processing')
    for update;
    if v_text.id is null or v_text.status <> 'pending' or v_text.in_doubt_since is not null then
        raise exception 'It is too late to change scheduled send %: its text %', old.id, case
                when v_text.id is null then 'has ended'
                when v_text.in_doubt_since is not null then 'may have gone out, and evidence is looked for'
                else 'is with a worker at this moment' end
            using errcode = 'SR409', hint = 'explain_sms tells what became of it, by its send log.';
    end if;
    if new.status = 'cancelled' then
        perform smsretry.close_row(v_text, 'cancelled', new.why, new.why_code, null, v_now);
    else
        v_text.expires_at := new.not_after;
        v_text.held_since := null;
        v_text.why := null;
        v_text.why_code := null;
        v_text.reason := null;
        perform smsretry.put_back(v_text, new.scheduled_for, v_now);
    end if;
    return new;
end
$$;

-- ======== schemas/delivery/claim_sms_deliveries.sql ========
-- Claim accepted messages without a final delivery status, and undelivered ones whose text awaits a decision. Businesses
-- take turns, the longest waiting message of each first; none younger than first_look, so that the provider's callback may
-- come first. A failure is due at once. The claim lasts for `lease`.
--   failures: undelivered messages of this text, this one included · settled: no decision is needed, because the row has not
--   ended with this message, or another row of the text waits · may_have_arrived: another message of it may have
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000, first_look interval default null, lease interval default '10 minutes'
)
returns table (
    attempt_id uuid, looks integer, retry_id uuid, business_id uuid, customer_id uuid, send_log_id uuid, twilio_sid text,
    accepted_at timestamptz, delivery_status text, delivery_code integer, failures bigint, attempt_count integer,
    max_attempts integer, expires_at timestamptz, settled boolean, may_have_arrived boolean, claimed_at timestamptz
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_first_look constant interval := coalesce(claim_sms_deliveries.first_look, interval '0');
    v_ids uuid[];
begin
    if (claim_sms_deliveries.limit_count between 1 and 10000 and v_first_look >= interval '0'
        and claim_sms_deliveries.lease >= interval '0') is not true then
        raise exception 'limit_count must be 1 to 10000, first_look and lease 0 or more' using errcode = 'SR422';
    end if;
    v_ids := (smsretry.claim_in_turn('deliveries', limit_count, v_now, v_now - v_first_look)).ids;
    return query
    with taken as (
        update public.sms_send_attempts a
        set delivery_look_at = v_now + claim_sms_deliveries.lease, delivery_looks = a.delivery_looks + 1
        where a.id = any (v_ids)
        returning a.*
    )
    select t.id, t.delivery_looks, q.id, q.business_id, q.customer_id, q.send_log_id, t.twilio_sid,
           t.finished_at, t.delivery_status, t.delivery_code,
           (select count(*) from public.sms_send_attempts a
            -- An array, so that an index finds them without statistics.
            where a.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
              and (a.id = t.id or smsretry.is_lost(a.delivery_status))),
           greatest(q.attempt_count, t.attempt_number), q.max_attempts, q.expires_at,
           q.status <> 'completed' or l.id is null or smsretry.found_sid(l.provider_message_id) is distinct from t.twilio_sid
               or exists (select 1 from public.sms_retry_queue o
                          where o.send_log_id = q.send_log_id and o.status in ('pending', 'processing')),
           smsretry.may_have_arrived(q.send_log_id, t.id), v_now
    from unnest(v_ids) with ordinality as u (id, turn)
    join taken t on t.id = u.id
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    order by u.turn;
end
$$;

-- ======== schemas/delivery/finish_sms_delivery.sql ========
-- The result of a look at a message: what the provider reports (delivery_status, error_code), and what follows. Repeatable.
--   decision: look_again   nothing final yet; look again in look_in
--           | close        nothing follows: it was delivered, or another message of the text counts
--           | unknown      the provider reported nothing final for long enough
--           | send_again   it did not arrive: the row is queued again, due in retry_in, with every check made anew
--           | give_up      it did not arrive: the row fails with error; opted_out and phone_status are kept for the number
--   look_in: with the last two, when to look once more. An undelivered message may still arrive.
--   answer: applied | lost (another look or a callback settled it) | changed (the decision no longer fits, or was applied
--           before: it is looked at again)
create or replace function public.finish_sms_delivery(
    attempt_id uuid, looks integer, decision text, delivery_status text default null, error_code integer default null,
    look_in interval default null, retry_in interval default null, error text default null, opted_out boolean default false,
    phone_status text default null, why_code text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_fails constant boolean := decision in ('send_again', 'give_up');
begin
    if (decision in ('look_again', 'close', 'unknown', 'send_again', 'give_up')) is not true
        or decision = 'look_again' and look_in is null or decision = 'send_again' and retry_in is null
        or v_fails and error is null then
        raise exception 'decision must be look_again (with look_in), close, unknown, send_again (with retry_in and error) or give_up (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = attempt_id)
    for update;
    v_now := smsretry.clock();
    select * into v_attempt from public.sms_send_attempts a where a.id = attempt_id for update;
    if (v_attempt.delivery_looks = looks) is not true then
        return 'lost';
    end if;
    if v_attempt.delivery_look_at is null then -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id, case decision when 'unknown' then 'unknown' else delivery_status end, error_code, v_now);
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    if v_attempt.delivery_look_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    if smsretry.is_outdated(v_attempt, v_row, v_fails, decision, delivery_status, v_now) then
        return 'changed';
    end if;
    update public.sms_send_attempts a set delivery_look_at = v_now + look_in where a.id = v_attempt.id;
    if decision = 'send_again' then
        perform smsretry.send_again(v_row, v_attempt, error, why_code, v_now + retry_in, v_now);
    elsif decision = 'give_up' then
        perform smsretry.close_row(v_row, 'failed', error, why_code, v_attempt.delivery_code, v_now);
        perform smsretry.tell_delivery(v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, error, v_now);
    end if;
    if opted_out or phone_status is not null then
        -- A begin locks the number before the row. It cannot deadlock with this: it wants a processing row, and this one ended.
        perform smsretry.mark_customer(v_row, c.phone, opted_out, finish_sms_delivery.phone_status, v_attempt.delivery_code, v_now)
        from public.customers c -- whose number is still the one that the text was sent to
        where c.id = v_row.customer_id and c.business_id = v_row.business_id
          and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key;
    end if;
    return 'applied';
end
$$;

-- ======== schemas/delivery/is_outdated.sql ========
-- Whether a look's decision no longer holds when it is written: it acts on a failure (fails) and the text may have arrived
-- or waits again; or the look saw nothing final (saw), and a callback has reported a failure since.
create or replace function smsretry.is_outdated(
    attempt public.sms_send_attempts, retry public.sms_retry_queue, fails boolean, decision text, saw text, at timestamptz
)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if fails then
        return not smsretry.is_lost(attempt.delivery_status) or retry.status <> 'completed'
            or smsretry.may_have_arrived(retry.send_log_id, attempt.id)
            or exists (select 1 from public.sms_retry_queue q
                       where q.send_log_id = retry.send_log_id and q.status in ('pending', 'processing'));
    end if;
    return smsretry.is_lost(attempt.delivery_status) and decision in ('look_again', 'unknown')
        and attempt.delivery_look_at <= is_outdated.at and not smsretry.is_lost(saw);
end
$$;

-- ======== schemas/delivery/may_have_arrived.sql ========
-- Whether another message of the text than this attempt's is, or may get, on the phone: under way, in doubt, or accepted and
-- not lost. Such a text is never sent again.
create or replace function smsretry.may_have_arrived(send_log_id uuid, but_for uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_send_attempts a
        -- An array, so that an index finds them without statistics.
        where a.retry_id = any (array(
                select q.id from public.sms_retry_queue q where q.send_log_id = may_have_arrived.send_log_id))
          and a.id is distinct from may_have_arrived.but_for
          and (coalesce(a.outcome, 'in_doubt') = 'in_doubt'
               or a.outcome = 'accepted' and not smsretry.is_lost(a.delivery_status)))
$$;

-- ======== schemas/delivery/open_delivery.sql ========
-- Copy the business to an attempt whose delivery opens, so that deliveries can be looked at in turns.
create or replace function smsretry.open_delivery()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.business_id := (select q.business_id from public.sms_retry_queue q where q.id = new.retry_id);
    return new;
end
$$;

-- ======== schemas/delivery/record_delivery.sql ========
-- Record what the provider reports of a message; true if that is news. Reports may come late, twice and in any order. A
-- failure is due for a decision at once. A delivery ends the matter and takes back a failure or a cancellation.
create or replace function smsretry.record_delivery(attempt_id uuid, status text, code integer, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_before_all constant interval := '3 days'; -- a failure is due first: its text may still arrive in time
    v_lost constant boolean := smsretry.is_lost(status);
    v_arrived constant boolean := smsretry.has_arrived(status);
    v_rank constant integer := smsretry.delivery_rank(status);
    v_known integer;
    v_attempt public.sms_send_attempts;
    v_row public.sms_retry_queue;
    v_newer public.sms_retry_queue;
begin
    select * into v_attempt from public.sms_send_attempts a where a.id = attempt_id for update;
    select * into v_row from public.sms_retry_queue q where q.id = v_attempt.retry_id;
    v_known := coalesce(smsretry.delivery_rank(v_attempt.delivery_status), 0);
    if v_lost and v_rank = v_known and v_attempt.delivery_code is null then -- the report that said why came second
        update public.sms_send_attempts a set delivery_code = code where a.id = v_attempt.id;
        return code is not null;
    end if;
    if (v_rank > v_known) is not true then
        return false;
    end if;
    update public.sms_send_attempts a
    set delivery_status = status, delivery_at = at, delivery_code = case when v_lost then code end,
        delivery_look_at = case when v_lost then at - k_before_all
                                when not v_arrived and status <> 'unknown' then a.delivery_look_at end
    where a.id = v_attempt.id;

    if v_lost and v_attempt.twilio_sid = (
            select smsretry.found_sid(l.provider_message_id) from public.send_logs l where l.id = v_row.send_log_id) then
        perform smsretry.tell_delivery(
            v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, coalesce('Not delivered: code ' || code, 'Not delivered'), at);
    elsif v_arrived and not smsretry.has_arrived(v_attempt.delivery_status) then
        -- It was to be sent again, given up or cancelled. A send that is under way ends by itself.
        if v_row.status in ('failed', 'cancelled') or v_row.status = 'pending' and v_row.in_doubt_since is null then
            perform smsretry.complete_row(
                v_row, v_attempt.twilio_sid, at, -- what was told of it before stays told
                case v_row.status when 'failed' then 'It was delivered after all. Before that it had failed: '
                                  when 'cancelled' then 'It was delivered after all. Before that it had been cancelled: ' end
                    || coalesce(v_row.last_error, 'no reason was kept'));
        end if;
        for v_newer in -- the text was queued anew
            select q.* from public.sms_retry_queue q
            where q.send_log_id = v_row.send_log_id and q.business_id = v_row.business_id and q.id <> v_row.id
              and q.status = 'pending' and q.in_doubt_since is null
            for update
        loop
            perform smsretry.complete_row(v_newer, v_attempt.twilio_sid, at);
        end loop;
        perform smsretry.tell_delivery(v_row.send_log_id, 'delivered', v_attempt.twilio_sid, null, at);
    end if;
    return true;
end
$$;

-- ======== schemas/delivery/send_again.sql ========
-- Queue again a text that the provider accepted and that did not arrive. Its send log must say first that it waits, without
-- a message: a log that still says sent would end the text unsent. If it cannot, nothing changes. The caller holds the row
-- locked and has made sure that no other message of the text may arrive.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, why_code text, due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_trouble text;
begin
    v_trouble := smsretry.tell_waiting(retry.send_log_id, send_again.error, send_again.at);
    if v_trouble is not null then
        raise exception 'Send log % cannot be told that its text waits: %', retry.send_log_id, v_trouble
            using errcode = 'SR409', hint = 'Look at the rules and triggers of send_logs. It is tried again when the lease of this look is over.';
    end if;
    retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := null;
    retry.why_code := send_again.why_code;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.put_back(retry, send_again.due, send_again.at);
end
$$;

-- ======== schemas/delivery/tell_delivery.sql ========
-- Tell a send log whether its message was delivered, or why it was undelivered. The column is the application's. If it does
-- not take these words, the log goes on saying sent, and the attempt has the truth.
create or replace function smsretry.tell_delivery(send_log_id uuid, status text, sid text, error text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    for v_try in 1 .. 2 loop
        begin
            update public.send_logs l
            set status = case when v_try = 1 then tell_delivery.status
                              when tell_delivery.status = 'delivered' then 'sent' else l.status end,
                error_message = left(tell_delivery.error, smsretry.longest_reason()), updated_at = tell_delivery.at,
                provider_message_id = case
                    when smsretry.found_sid(l.provider_message_id) = tell_delivery.sid then l.provider_message_id
                    else jsonb_build_object('twilio_sid', tell_delivery.sid) end
            where l.id = tell_delivery.send_log_id;
            return;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                -- The application's checks and triggers never undo what the provider reported.
                if v_try = 2 then
                    raise warning 'Send log % could not be told that its text is %: %',
                        tell_delivery.send_log_id, tell_delivery.status, sqlstate;
                end if;
        end;
    end loop;
end
$$;

-- ======== schemas/records/is_undelivered.sql ========
-- Whether the message that a send log shows did not arrive, and no other message of the text may. It may be sent again.
create or replace function smsretry.is_undelivered(send_log_id uuid, provider_message_id jsonb)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.twilio_sid = smsretry.found_sid(is_undelivered.provider_message_id)
                     and smsretry.is_lost(a.delivery_status))
       and not smsretry.may_have_arrived(is_undelivered.send_log_id, null)
$$;

-- ======== schemas/records/is_unsettled.sql ========
-- Whether a send of this row's text, by any row, is in doubt. Such a text is never simply sent again.
create or replace function smsretry.is_unsettled(retry_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_retry_queue q
        cross join lateral smsretry.earlier_doubt(q.send_log_id, q.business_id) d
        where q.id = is_unsettled.retry_id and d.attempt_id is not null)
$$;

-- ======== drop smsretry.scheduled_on_record ========
drop view if exists smsretry.scheduled_on_record;

-- ======== schemas/records/scheduled_on_record.sql ========
-- A scheduled send without a text, as explain_sms shows it, in the columns of smsretry.text_on_record. retry_id: its own id.
-- Times and classes that the application wrote are shown as far as they are valid.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, left(b.name, 200) as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       case s.message_class when 'transactional' then 'transactional' else 'marketing' end as message_class,
       case when s.status = 'scheduled' and (s.held_since is not null or h.scheduled_id is not null) then 'held' else s.status end as state,
       greatest(least(coalesce(s.held_since, case s.status when 'scheduled' then h.held_since end, s.updated_at, smsretry.clock()),
                      k.last), k.first) as since,
       left(smsretry.numberless(case when s.status = 'scheduled' then coalesce(h.why, s.why) else s.why end), smsretry.longest_reason()) as why,
       null::integer as code,
       case when s.status = 'scheduled' and s.scheduled_for is not null then least(greatest(s.scheduled_for, s.look_at, h.look_at, k.first), k.last) end as next_at,
       case when s.not_after between k.first and k.last then s.not_after end as expires_at,
       0 as attempts, 3 as max_attempts, greatest(least(coalesce(s.created_at, smsretry.clock()), k.last), k.first) as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(s.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as steps,
       case when s.status = 'scheduled' then array['cancel_sms_retries'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid,
       case when s.status = 'scheduled' and h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code
from public.scheduled_sends s
cross join (select lower(smsretry.century()) as first, upper(smsretry.century()) as last) k
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');

grant select on smsretry.scheduled_on_record to service_role;

-- ======== drop smsretry.text_on_record ========
drop view if exists smsretry.text_on_record;

-- ======== schemas/records/text_on_record.sql ========
-- A text and all that is known of it, as explain_sms shows it. Holds only the last four digits of a number, also where the
-- application wrote freely. security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts, and
--   the one it is in doubt about · steps: what people did · can: the calls that help · stop_sid: smsretry.unread_stop
create or replace view smsretry.text_on_record with (security_invoker = true) as
select q.id as retry_id, q.business_id, left(b.name, 200) as business, q.customer_id, q.send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       q.message_class, smsretry.text_state(q, smsretry.clock()) as state,
       coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
       left(smsretry.numberless(
           case when q.status in ('failed', 'cancelled') then q.last_error else coalesce(q.why, q.last_error) end), smsretry.longest_reason()) as why,
       q.error_code as code, case when q.status = 'pending' then q.scheduled_for end as next_at, q.expires_at,
       q.attempt_count as attempts, q.max_attempts, q.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status,
       left(smsretry.numberless(l.status::text), 40) as send_log_status,
       left(smsretry.found_sid(l.provider_message_id), 40) as sid,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'begun_at', a.begun_at, 'finished_at', a.finished_at, 'number', a.attempt_number,
                     'outcome', coalesce(a.outcome, 'under_way'), 'settled_by', a.settled_by, 'code', a.error_code,
                     'sid', a.twilio_sid, 'rule', a.quiet_hours_rule, 'consent', a.consent_status,
                     'consent_at', smsretry.on_calendar(a.consent_at), 'consent_source', left(smsretry.numberless(a.consent_source), 200),
                     'worker_died', a.worker_died, 'run_id', a.run_id, 'delivery', a.delivery_status,
                     'delivery_code', a.delivery_code, 'delivery_at', a.delivery_at) order by a.begun_at)
                 from public.sms_send_attempts a where a.retry_id = q.id or a.id = q.attempt_id), '[]') as history,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'taken_at', t.taken_at, 'step', t.step, 'who', t.who, 'because', t.because) order by t.taken_at)
                 from smsretry.steps t where t.retry_id = q.id), '[]') as steps,
       case
           when q.status = 'completed' or l.id is null or c.id is null then '{}'
           when q.status in ('failed', 'cancelled') then
               case when smsretry.is_sent(l.provider_message_id, l.status::text)
                         and not smsretry.is_undelivered(l.id, l.provider_message_id) then '{}'
                    when smsretry.is_unsettled(q.id) then array['resolve_sms_doubt']
                    else array['requeue_failed_sms'] end
           when q.in_doubt_since is not null and q.status = 'pending' then array['resolve_sms_doubt']
           when q.status = 'pending' then array['cancel_sms_retries']
           else '{}'
       end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid, q.why_code
from public.sms_retry_queue q
left join public.businesses b on b.id = q.business_id
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id;

grant select on smsretry.text_on_record to service_role;

-- ======== schemas/desk/cancel_sms_retries.sql ========
-- For a person: cancel waiting texts, and scheduled sends that are not queued yet. A text that is under way or in doubt is
-- left alone. states: scheduled, or as smsretry.text_state; null: all. The rest: as requeue_failed_sms.
create or replace function public.cancel_sms_retries(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    states text[] default null, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_why constant text := 'Cancelled by ' || who || ': ' || because;
    v_row public.sms_retry_queue;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (dry_run is not null and row_limit between 1 and 10000
        and coalesce(states, '{}') <@ array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']) is not true then
        raise exception 'states are scheduled, due, waiting, held, under_way or in_doubt, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], retry_ids, business_id, customer_id, code, reason, containing, since, until,
            why_code) c
        where states is null or smsretry.text_state(c, v_now) = any (states)
        limit row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := case
            when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
            when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
            when v_row.status = 'processing' then 'A worker has it at this moment'
        end;
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
        continue when dry_run or v_skip is not null;
        perform smsretry.close_row(v_row, 'cancelled', v_why, 'operator', null, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because) values (v_row.id, v_now, 'cancelled', who, because);
    end loop;
    if coalesce('scheduled' = any (states), true) and num_nonnulls(code, reason) = 0 then
        v_rows := v_rows || smsretry.cancel_scheduled(
            retry_ids, business_id, customer_id, nullif(btrim(containing), ''), since, until,
            row_limit - cardinality(v_rows), dry_run, why_code, v_why);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/desk/change_of_row.sql ========
-- What a step does to one row, for smsretry.change_summary. Holds only the last four digits of a number.
create or replace function smsretry.change_of_row(retry public.sms_retry_queue, was text, skipped text, warned text default null)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return jsonb_build_object(
        'retry_id', retry.id, 'business_id', retry.business_id, 'customer_id', retry.customer_id,
        'number', smsretry.masked((select c.phone from public.customers c where c.id = retry.customer_id)),
        'message_class', retry.message_class, 'attempts', retry.attempt_count, 'was', smsretry.numberless(change_of_row.was),
        'skipped', change_of_row.skipped, 'warned', change_of_row.warned);
end
$$;

-- ======== schemas/desk/change_summary.sql ========
-- The answer of a step: rows (smsretry.change_of_row) counted by why they are skipped or warned of, and a sample.
create or replace function smsretry.change_summary(
    rows jsonb[], out matched integer, out changed integer, out skipped jsonb, out warned jsonb, out sample jsonb
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with told as (
        select r.told, r.told ->> 'skipped' as skip, r.told ->> 'warned' as warn, r.place
        from unnest(change_summary.rows) with ordinality as r (told, place)
    )
    select count(*)::integer,
           (count(*) filter (where t.skip is null))::integer,
           coalesce((select jsonb_object_agg(s.skip, s.texts) from (
                         select u.skip, count(*) as texts from told u where u.skip is not null group by u.skip) s), '{}'),
           coalesce((select jsonb_object_agg(w.warn, w.texts) from (
                         select u.warn, count(*) as texts from told u
                         where u.warn is not null and u.skip is null group by u.warn) w), '{}'),
           coalesce((select jsonb_agg(f.told order by f.place) from (
                         select u.told, u.place from told u order by u.place limit 20) f), '[]')
    from told t
$$;

-- ======== schemas/desk/check_who_and_why.sql ========
-- Refuse a step without who and because, or with a phone number in them: both are kept for good and shown to everybody.
create or replace function smsretry.check_who_and_why(who text, because text)
returns void language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(btrim(check_who_and_why.who), '') = '' or coalesce(btrim(check_who_and_why.because), '') = ''
        or length(check_who_and_why.who) > 200 or length(check_who_and_why.because) > 500 then
        raise exception 'who and because must be given (200 and 500 characters at most): they are kept with each text'
            using errcode = 'SR422';
    end if;
    if (smsretry.numberless(check_who_and_why.who), smsretry.numberless(check_who_and_why.because))
        is distinct from (check_who_and_why.who, check_who_and_why.because) then
        raise exception 'who and because must hold no phone number: they are kept for good and shown to everybody'
            using errcode = 'SR422', hint = 'Name the customer by its id.';
    end if;
end
$$;

-- ======== schemas/desk/chosen.sql ========
-- The rows that fit a filter, newest first. A null filters nothing. containing: last_error or why; since, until: updated_at.
create or replace function smsretry.chosen(
    statuses text[], retry_ids uuid[], business_id uuid, customer_id uuid, code integer, reason text, containing text,
    since timestamptz, until timestamptz, why_code text
)
returns setof public.sms_retry_queue language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
begin
    if num_nonnulls(chosen.retry_ids, chosen.business_id, chosen.customer_id, chosen.code, chosen.reason,
                    nullif(btrim(chosen.containing), ''), chosen.since, chosen.until, chosen.why_code) = 0 then
        raise exception 'Say which texts: by retry_ids, business_id, customer_id, code, reason, why_code, containing, since or until'
            using errcode = 'SR422';
    end if;
    return query
    select q.* from public.sms_retry_queue q
    where q.status = any (chosen.statuses)
      and (chosen.retry_ids is null or q.id = any (chosen.retry_ids))
      and (chosen.business_id is null or q.business_id = chosen.business_id)
      and (chosen.customer_id is null or q.customer_id = chosen.customer_id)
      and (chosen.code is null or q.error_code = chosen.code)
      and (chosen.reason is null or q.reason = chosen.reason)
      and (chosen.why_code is null or q.why_code = chosen.why_code)
      and (chosen.containing is null
           or strpos(lower(concat_ws(' ', q.last_error, q.why)), lower(chosen.containing)) > 0)
      and (chosen.since is null or q.updated_at >= chosen.since)
      and (chosen.until is null or q.updated_at < chosen.until)
    order by q.updated_at desc, q.id;
end
$$;

-- ======== schemas/desk/explain_sms.sql ========
-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of row, send log,
-- customer, number, or last digits (three at least) at a business. A scheduled send without a text is found by its own id or
-- its customer. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null, send_log_id uuid default null, customer_id uuid default null, phone text default null,
    business_id uuid default null, last_digits text default null, row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_people uuid[];
    v_ids uuid[];
    v_scheduled uuid[];
begin
    if num_nonnulls(retry_id, send_log_id, customer_id, phone, last_digits) <> 1
        or last_digits is not null and (business_id is null or last_digits !~ '^[0-9]{3,15}$')
        or (row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: retry_id, send_log_id, customer_id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    v_people := case
        when customer_id is not null then array[customer_id]
        when phone is not null then array(select c.id from public.customers c where c.phone = phone)
        when last_digits is not null then array(
            select c.id from public.customers c
            where c.business_id = business_id and c.phone like '%' || last_digits)
    end;
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where (retry_id is null or q.id = retry_id)
          and (send_log_id is null or q.send_log_id = send_log_id)
          and (v_people is null or q.customer_id = any (v_people))
          and (business_id is null or q.business_id = business_id)
        order by q.created_at desc, q.id
        limit row_limit);
    v_scheduled := array(
        select s.id from public.scheduled_sends s
        where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed')
          and (retry_id is null or s.id = retry_id)
          and (send_log_id is null or s.id = send_log_id)
          and (v_people is null or s.customer_id = any (v_people))
          and (business_id is null or s.business_id = business_id)
        order by s.created_at desc, s.id
        limit row_limit);
    return query
    select e.* from (
        select r.* from smsretry.text_on_record r where r.retry_id = any (v_ids)
        union all
        select p.* from smsretry.scheduled_on_record p where p.retry_id = any (v_scheduled)
    ) e
    order by e.queued_at desc, e.retry_id
    limit row_limit;
end
$$;

-- ======== schemas/desk/not_requeued.sql ========
-- Why requeue_failed_sms leaves a row alone; null: it may be requeued. The caller holds row and send log locked.
create or replace function smsretry.not_requeued(retry public.sms_retry_queue, log public.send_logs, states text[])
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when retry.status <> all (states) then 'It has changed meanwhile'
        when log.id is null then 'Its send log is gone'
        when not exists (select 1 from public.customers c where c.id = retry.customer_id) then 'Its customer is gone'
        when smsretry.is_sent(log.provider_message_id, log.status::text)
            and not smsretry.is_undelivered(log.id, log.provider_message_id)
            then 'Its send log says that it was sent'
        when exists (select 1 from public.sms_retry_queue q
                     where q.send_log_id = retry.send_log_id and q.id <> retry.id
                       and (q.created_at, q.id) > (retry.created_at, retry.id))
            then 'A newer row is of the same text'
        when exists (select 1 from public.sms_retry_queue q
                     where q.send_log_id = retry.send_log_id and q.id <> retry.id and q.status in ('pending', 'processing'))
            then 'Another row of the same text waits'
        when smsretry.is_unsettled(retry.id)
            then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
    end;
end
$$;

-- ======== schemas/desk/preview_sms_retries.sql ========
-- Waiting texts and scheduled sends as a claim would return them now, without claiming. Either those due by `until`, in
-- pages (after the due time and id of the last row), or these rows by id. Each with what its begin would find now:
--   refused, refused_code: smsretry.refusal · doubted: smsretry.earlier_doubt
--   texts_at: when the texts that count against a cap reached the number, within cap_window, newest first
create or replace function public.preview_sms_retries(
    until timestamptz default null, after_due timestamptz default null, after_id uuid default null,
    retry_ids uuid[] default null, row_limit integer default null, cap_window interval default null
)
returns setof smsretry.claimed_retry
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(preview_sms_retries.row_limit, smsretry.largest_claim())), 1);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_at timestamptz;
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts to preview' using errcode = 'SR422';
    end if;
    v_ids := array(
        select w.id from (
            (select q.id, q.scheduled_for from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null
               and (preview_sms_retries.retry_ids is null or q.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or q.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (q.scheduled_for, q.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by q.scheduled_for, q.id limit v_limit)
            union all
            (select s.id, s.scheduled_for from public.scheduled_sends s
             where s.status = 'scheduled'
               and (preview_sms_retries.retry_ids is null or s.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or s.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (s.scheduled_for, s.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by s.scheduled_for, s.id limit v_limit)
        ) w
        order by w.scheduled_for, w.id
        limit v_limit);
    for v_claim in
        select r.* from smsretry.claimed_retry r where r.id = any (v_ids)
        union all
        select s.* from smsretry.scheduled_claim s where s.id = any (v_ids)
        order by scheduled_for, id
    loop
        v_claim.claimed_at := smsretry.clock();
        select r.why, r.why_code into v_claim.refused, v_claim.refused_code
        from smsretry.refusal(
            v_claim.log_says_sent, v_claim.sms_consent_status, smsretry.number_key(v_claim.business_id, v_claim.phone)) r;
        if v_claim.claim_no > 0 then
            select d.why into v_claim.doubted from smsretry.earlier_doubt(v_claim.send_log_id, v_claim.business_id) d;
        end if;
        v_claim.texts_at := '{}';
        while preview_sms_retries.cap_window is not null and cardinality(v_claim.texts_at) < 20 loop
            v_at := smsretry.cap_reached_at(
                v_claim.business_id, v_claim.phone, cardinality(v_claim.texts_at) + 1,
                v_claim.claimed_at - preview_sms_retries.cap_window);
            exit when v_at is null;
            v_claim.texts_at := v_claim.texts_at || v_at;
        end loop;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/desk/prune_sms_history.sql ========
-- Delete one batch of what ended more than keep_days ago: texts with their attempts and steps, and runs. Call it until it
-- deletes nothing. Suppressions, send logs, scheduled sends and texts in doubt stay. SIDs of incoming STOPs stay for 90 days
-- at least and those of STARTs for good, because a repeated webhook is recognized by them. stale_opt_ins stay as needed.
-- security definer: nobody else may delete history.
create or replace function public.prune_sms_history(keep_days integer default 90, batch integer default 1000)
returns table (texts integer, attempts integer, runs integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_before timestamptz;
    v_ids uuid[];
begin
    if (prune_sms_history.keep_days between 7 and 36500 and prune_sms_history.batch between 1 and 10000) is not true then
        raise exception 'keep_days is 7 or more, batch 1 to 10000' using errcode = 'SR422',
            hint = 'The last days are evidence: texts in doubt are settled by them, and daily caps count them.';
    end if;
    v_before := smsretry.clock() - make_interval(days => prune_sms_history.keep_days);
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at < v_before
          and not smsretry.is_unsettled(q.id)
        order by q.updated_at limit prune_sms_history.batch
        for update skip locked);
    select count(*) into attempts from public.sms_send_attempts a where a.retry_id = any (v_ids);
    delete from public.sms_retry_queue q where q.id = any (v_ids);
    get diagnostics texts = row_count;
    delete from smsretry.runs r where r.id = any (array(
        select o.id from smsretry.runs o where o.started_at < v_before order by o.started_at limit prune_sms_history.batch));
    get diagnostics runs = row_count;
    delete from smsretry.inbound_texts t where t.twilio_sid = any (array(
        select o.twilio_sid from smsretry.inbound_texts o
        where o.said = 'STOP' and o.heard_at < least(v_before, smsretry.clock() - interval '90 days')
        order by o.heard_at limit 10 * prune_sms_history.batch));
    -- A past date that is later than no opt-out can lift nothing any more.
    delete from smsretry.stale_opt_ins o where o.ctid = any (array(
        select s.ctid from smsretry.stale_opt_ins s
        where s.at < v_before and coalesce(smsretry.suppressed_since(s.number_key), 'infinity') >= s.at
        limit 10 * prune_sms_history.batch));
    delete from smsretry.held_sends h -- of scheduled sends that somebody deleted, or ended past our trigger
    where not exists (select 1 from public.scheduled_sends s where s.id = h.scheduled_id and s.status = 'scheduled');
    return next;
end
$$;

-- ======== schemas/desk/requeue_failed_sms.sql ========
-- For a person: queue failed texts again, due at once, with every check made anew. Message class, attempts and errors are
-- kept; each gets more_attempts further ones, and its life starts anew. Its send log says that it waits; if that is refused,
-- the text is left alone. Nothing changes without dry_run => false. states: failed, cancelled. row_limit: the newest ones.
--   matched: rows that fit · changed: requeued, or would be · skipped: left alone, by reason · warned: requeued all the same
create or replace function public.requeue_failed_sms(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    states text[] default '{failed}', dry_run boolean default true, who text default null, because text default null,
    more_attempts integer default 3, row_limit integer default 1000, why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (states <@ array['failed', 'cancelled'] and dry_run is not null
        and more_attempts between 1 and 100 and row_limit between 1 and 10000) is not true then
        raise exception 'states must be failed or cancelled, more_attempts 1 to 100, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select * from smsretry.chosen(
            states, retry_ids, business_id, customer_id, code, reason, containing, since, until, why_code)
        limit row_limit
    loop
        -- The send log first, as in queue_sms_retry, so that no second live row can appear.
        select * into v_log from public.send_logs l where l.id = v_row.send_log_id for update;
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := smsretry.not_requeued(v_row, v_log, states);
        if v_skip is null and not dry_run then
            -- The attempt keeps the SID of the undelivered message.
            v_skip := 'Its send log cannot be told that it waits: ' || smsretry.tell_waiting(v_log.id, null, v_now);
        end if;
        v_rows := v_rows || smsretry.change_of_row(v_row, v_row.last_error, v_skip, smsretry.warned_of_requeue(v_row));
        continue when dry_run or v_skip is not null;
        v_row.max_attempts := least(greatest(v_row.max_attempts, v_row.attempt_count + more_attempts), 1000);
        v_row.expires_at := null;
        v_row.rate_limit_count := 0;
        v_row.recover_count := 0;
        v_row.account_refusal_count := 0;
        v_row.reconcile_count := 0;
        v_row.reason := null;
        v_row.why_code := 'operator';
        v_row.why := 'Requeued by ' || who || ': ' || because;
        perform smsretry.put_back(v_row, v_now, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because) values (v_row.id, v_now, 'requeued', who, because);
    end loop;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/desk/set_sms_state_stop.sql ========
-- Stop marketing texts to a US state, or lift the stop (why null). why: the emergency. Returns whether it is stopped.
create or replace function public.set_sms_state_stop(state text, why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if (set_sms_state_stop.state ~ '^[A-Z]{2}$') is not true then
        raise exception 'state must be two capital letters, such as LA' using errcode = 'SR422';
    end if;
    if set_sms_state_stop.why is null then
        delete from smsretry.stopped_states s where s.state = set_sms_state_stop.state;
        return false;
    end if;
    insert into smsretry.stopped_states (state, stopped_at, why)
    values (set_sms_state_stop.state, smsretry.clock(), smsretry.numberless(set_sms_state_stop.why))
    on conflict (state) do update set why = excluded.why;
    return true;
end
$$;

-- ======== schemas/desk/sms_status.sql ========
-- For a person: what is in the queue, what went out and ended lately, what is stopped, and the last runs, by part:
--   clock (oldest: the database's clock; next_at: what was due before is late; texts: smsretry.fewest_texts)
--   scheduled (name: waiting, held or late; told: the id of one held) · queue (name: a state) · waiting (name: category)
--   held (name: reason, a line a business) · sent (by outcome, last hour)
--   delivery, delivery_lately (last day, last hour; name: delivered, undelivered, unknown or open) · delivery_hour (oldest:
--   its start) · delivery_business (last day; the ten businesses with the smallest share delivered; told: its name)
--   delivery_time (name: median or 95th percentile; told: seconds from accepted to delivered; texts: of how many)
--   undelivered (last day; name: the provider's code, a line a business) · ended (last day; failed or cancelled, by error)
--   inbound (only with_words: people whose text may mean stop, unread; told: the oldest one's SID) · stopped · run
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    (select 'clock', '', null::uuid, smsretry.fewest_texts()::bigint, v_now, v_now - smsretry.late_after(), null::text, null::text)
    union all
    select * from smsretry.status_of_waiting(v_now)
    union all
    select s.*, null::text from smsretry.status_of_sends(v_now) s
    union all
    select l.*, null::text from smsretry.status_of_lost(v_now) l
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200)), e.why_code
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.status <> 'completed' and e.updated_at > v_now - interval '1 day'
     group by e.status, left(e.last_error, 200), e.why_code order by e.status desc, count(*) desc limit 50)
    union all
    (select 'inbound', 'words', null::uuid, count(distinct t.number_key), min(t.heard_at), null::timestamptz,
            (array_agg(t.twilio_sid order by t.heard_at))[1], null::text
     from smsretry.inbound_texts t
     where sms_status.with_words and t.heard = 'words' and t.seen_at is null having count(*) > 0)
    union all
    (select 'stopped', 'sending', null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why, null::text from smsretry.circuit c)
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why, null::text
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end), null::text
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

-- ======== schemas/desk/status_of_lost.sql ========
-- Undelivered messages: the lines delivery_business and undelivered of sms_status.
create or replace function smsretry.status_of_lost(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with lost as materialized (
        select q.business_id, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a join public.sms_retry_queue q on q.id = a.retry_id
        where a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null
          and a.delivery_status in ('undelivered', 'failed', 'canceled') -- is_lost, inline because it is cheaper
        group by q.business_id, a.delivery_code
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        -- The row of a message that arrived ended within the day: an index finds it.
        select q.business_id, count(*) as delivered
        from public.sms_retry_queue q join public.sms_send_attempts a on a.retry_id = q.id
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at > status_of_lost.at - interval '1 day'
          and q.business_id in (select l.business_id from losing l)
          and a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status in ('delivered', 'read')
        group by q.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered, left(b.name, 200) as name,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        left join public.businesses b on b.id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= smsretry.fewest_texts()
        order by share, l.undelivered desc, l.business_id limit 10
    )
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz, w.name
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, left(b.name, 200)
     from lost l left join public.businesses b on b.id = l.business_id
     order by l.texts desc limit 50);
end
$$;

-- ======== schemas/desk/status_of_sends.sql ========
-- Recent sends and their fate: the lines sent, delivery, delivery_lately, delivery_hour and delivery_time of sms_status.
create or replace function smsretry.status_of_sends(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with reported as materialized (
        select a.delivery_status, a.begun_at > status_of_sends.at - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.has_arrived(r.delivery_status) then 'delivered'
                    when smsretry.is_lost(r.delivery_status) then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    taken as (
        -- For a message that was read, the time of delivery is not kept. If the response did not settle an attempt, its
        -- finished_at is late.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > status_of_sends.at - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'delivery_hour', d.fate, null::uuid, sum(d.texts)::bigint, d.hour, null::timestamptz, null::text
     from accepted d group by d.hour, d.fate order by d.hour, d.fate)
    union all
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0);
end
$$;

-- ======== schemas/desk/status_of_waiting.sql ========
-- What waits and what is under way: the lines scheduled, queue, waiting and held of sms_status.
create or replace function smsretry.status_of_waiting(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with waiting as (
        -- From an index alone: 200,000 rows may wait.
        select q.reason, q.attempt_count > 0 as tried, q.held_since is not null as held, q.scheduled_for > status_of_waiting.at as later,
               count(*) as texts, min(q.scheduled_for) as oldest
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is null
        group by 1, 2, 3, 4
    ),
    live as materialized (
        -- As smsretry.text_state.
        select case when w.held then 'held' when w.later then 'waiting' else 'due' end as state,
               coalesce(w.reason, case when w.tried then 'twilio_error' else 'none' end) as category,
               w.texts, w.oldest, case when w.later then w.oldest end as next_at
        from waiting w
        union all
        select 'in_doubt', 'none', count(*), min(q.scheduled_for), min(q.scheduled_for) filter (where q.scheduled_for > status_of_waiting.at)
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is not null having count(*) > 0
        union all
        select case when q.in_doubt_since is not null then 'in_doubt' else 'under_way' end, 'none', count(*), min(q.scheduled_for),
               min(q.scheduled_for) filter (where q.scheduled_for > status_of_waiting.at)
        from public.sms_retry_queue q where q.status = 'processing' group by 1
    )
    (select 'scheduled', p.name, null::uuid, count(*), min(p.due), min(p.due) filter (where p.due > status_of_waiting.at),
            min(p.id::text) filter (where p.name = 'held'), null::text
     from (
         select s.id, case when s.held_since is not null or h.scheduled_id is not null then 'held'
                           when s.scheduled_for <= status_of_waiting.at then 'late' else 'waiting' end as name,
                -- The application may have written infinity.
                case when s.scheduled_for <@ smsretry.century() then s.scheduled_for end as due
         from public.scheduled_sends s
         left join smsretry.held_sends h on h.scheduled_id = s.id
         where s.status = 'scheduled') p
     group by p.name order by p.name)
    union all
    (select 'queue', l.state, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l group by l.state order by l.state)
    union all
    (select 'waiting', l.category, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l where l.state = 'waiting' group by l.category order by l.category)
    union all
    (select 'held', left(q.why, 200), q.business_id, count(*), min(q.held_since), min(q.scheduled_for), left(b.name, 200), q.why_code
     from public.sms_retry_queue q left join public.businesses b on b.id = q.business_id
     where q.held_since is not null and q.status in ('pending', 'processing')
     group by left(q.why, 200), q.why_code, q.business_id, left(b.name, 200) order by count(*) desc limit 50);
end
$$;

-- ======== schemas/desk/warned_of_requeue.sql ========
-- What a person should know before a row is requeued; null: nothing.
create or replace function smsretry.warned_of_requeue(retry public.sms_retry_queue)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_customer public.customers;
begin
    select * into v_customer from public.customers c where c.id = retry.customer_id;
    return case
        when v_customer.sms_consent_status::text is distinct from 'opted_in'
            or smsretry.suppressed_since(smsretry.number_key(retry.business_id, v_customer.phone)) is not null
            then 'The customer has not opted in: it will be cancelled'
        when v_customer.phone_status in ('invalid', 'not_mobile')
            then 'The number is known to take no texts (' || v_customer.phone_status || ')'
        when (smsretry.forgotten(retry)).since is not null
            then 'The database was restored from a backup: it is looked for before it goes out'
    end;
end
$$;

-- ======== schemas/checks/check_access.sql ========
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

-- ======== schemas/checks/check_functions.sql ========
-- Whether each function exists once, as this version makes it, and only service_role may call it.
create or replace function smsretry.check_functions(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with functions (name, body) as (
        select f.value ->> 0, f.value ->> 1 from jsonb_array_elements(check_functions.wanted -> 'functions') f
    ),
    made as (
        select f.name, count(p.oid) as found, bool_and(md5(p.prosrc) = f.body) as ours,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from functions f
        left join pg_catalog.pg_proc p
            on p.proname = split_part(f.name, '.', 2) and p.pronamespace = to_regnamespace(split_part(f.name, '.', 1))
        group by f.name
    )
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
$$;

-- ======== schemas/checks/check_parts.sql ========
-- Whether tables, columns, constraints, indexes, triggers, policies and the grants of service_role exist. A trigger counts
-- only if it fires in an ordinary session.
create or replace function smsretry.check_parts(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with parts (kind, in_table, relation, name, definition) as (
        select k.key, e.value ->> 0, to_regclass(e.value ->> 0), e.value ->> 1, e.value ->> 2
        from jsonb_each(check_parts.wanted) k
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
                select 1 from pg_trigger t where t.tgrelid = p.relation and t.tgname = p.name and t.tgenabled in ('O', 'A'))
            when 'policies' then exists (
                select 1 from pg_policy y where y.polrelid = p.relation and y.polname = p.name)
            when 'grants' then has_table_privilege('service_role', p.relation, p.name)
        end, false)
    )
    select 'tables and views', count(*) filter (where p.relation is null) = 0,
           'missing: ' || string_agg(distinct replace(p.in_table, 'public.', ''), ', ') filter (where p.relation is null)
               || '. Run `smsretry migrate --again`'
    from parts p
    having count(*) > 0
    union all
    select case k.kind when 'grants' then 'grants of service_role' else k.kind end, count(m.name) = 0,
           'missing or switched off: '
               || string_agg(m.name || ' of ' || split_part(m.in_table, '.', 2), ', ' order by m.in_table, m.name)
               -- `migrate --again` does not add to a table that exists.
               || case when min(m.definition) is null then '. Run `smsretry migrate --again`'
                       else '. Run: ' || string_agg('alter table ' || m.in_table || ' add ' || rtrim(m.kind, 's') || ' '
                                || m.name || ' ' || m.definition, '; ' order by m.in_table, m.name) end
    from (select distinct p.kind from parts p) k
    left join missing m on m.kind = k.kind
    group by k.kind
$$;

-- ======== schemas/checks/check_reminders.sql ========
-- Warnings about what somebody may have meant, or may have stopped and forgotten. Each is ok, with advice.
create or replace function smsretry.check_reminders()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity from pg_catalog.pg_class r
        where r.relnamespace = 'public'::regnamespace and r.relname in (
            'businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts')
    )
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

-- ======== schemas/checks/check_sms_retries.sql ========
-- For an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503. It fails if texts are overdue, queued or
-- not, sending is stopped, or no run has finished within max_minutes (null: smsretry.late_after).
-- Volatile although it only reads: a HEAD request has PostgREST count rows, and PostgreSQL would not call a stable function
-- for that. security definer, so that a role that may do nothing else may call it: it returns only numbers.
create or replace function public.check_sms_retries(max_minutes integer default null)
returns text language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - case
        when max_minutes is null then smsretry.late_after() else make_interval(mins => greatest(max_minutes, 1)) end;
    v_overdue bigint;
    v_oldest timestamptz;
    v_unqueued bigint;
    v_circuit text;
    v_run timestamptz;
    v_wrong text;
begin
    select count(*), min(q.scheduled_for) into v_overdue, v_oldest
    from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_since;
    select count(*) into v_unqueued
    from public.scheduled_sends s
    where s.status = 'scheduled' and s.held_since is null and s.scheduled_for <= v_since
      and not exists (select 1 from smsretry.held_sends h where h.scheduled_id = s.id);
    select c.why into v_circuit from smsretry.circuit c;
    select max(r.finished_at) into v_run from smsretry.runs r where r.started_at > v_now - interval '7 days';
    v_wrong := concat_ws(' · ',
        case when v_overdue > 0 then v_overdue || ' texts are overdue, the oldest by '
            || floor(extract(epoch from v_now - v_oldest) / 60) || ' minutes' end,
        case when v_unqueued > 0 then v_unqueued || ' scheduled sends are overdue and not queued' end,
        'sending is stopped: ' || v_circuit,
        case when v_run is null then 'no run has finished in 7 days'
             when v_run <= v_since then 'no run has finished for ' || floor(extract(epoch from v_now - v_run) / 60) || ' minutes' end);
    if v_wrong <> '' then
        raise exception '%', v_wrong using errcode = 'PT503', hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, last run finished ' || to_char(v_run at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
end
$$;

-- ======== schemas/checks/check_sms_retry_setup.sql ========
-- For `smsretry doctor`: what is right, what is wrong and what to do about it. Reads only.
-- wanted: what the caller's version of the package makes, by kind: functions ([name, md5 of the body]); columns and
-- constraints ([table, name, definition]); indexes, triggers, policies and the grants of service_role ([table, name]).
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select f.subject, f.ok, case when not f.ok then f.advice end
    from (
        select * from smsretry.check_functions(check_sms_retry_setup.wanted)
        union all
        select * from smsretry.check_parts(check_sms_retry_setup.wanted)
        union all
        select * from smsretry.check_access()
    ) f
    union all
    select r.subject, r.ok, r.advice from smsretry.check_reminders() r
$$;

-- ======== schemas/checks/count_sms_answer.sql ========
-- As many rows as a claim of row_count returns (null: the largest claim); each row holds that number. Counting the rows
-- shows whether the project's max-rows cuts off an answer.
create or replace function public.count_sms_answer(row_count integer default null)
returns setof integer language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select l.most from smsretry.rows_of_claim(coalesce(count_sms_answer.row_count, smsretry.largest_claim())) as l (most)
    cross join generate_series(1, l.most)
$$;

-- ======== schemas/checks/describe_sms_tables.sql ========
-- What the catalog says of the five tables shared with the application, for `smsretry migrate` and `smsretry doctor`. What
-- must be so is in smsretry/adapters/migrations/shapes.py. Reads only.
--   kind: table (type: its relkind)
--     | column (filled: it has a default, or writes itself; definition: generated, an enum's labels, or the default)
--     | unique (name: of the one column) | check (of one column; name: of the constraint)
--     | trigger (before each inserted or updated row; definition: its function's source) | rule (it replaces a write)
--     | dependent (such as a view on a function of the application's that smsretry replaces; definition: which)
create or replace function public.describe_sms_tables()
returns table (relation text, kind text, name text, type text, not_null boolean, filled boolean, definition text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with shared as (
        select c.oid as id, c.relname::text as relation, c.relkind
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    )
    select s.relation, 'table', s.relation, s.relkind::text, null::boolean, null::boolean, null::text from shared s
    union all
    select s.relation, 'column', a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef or a.attidentity <> '',
           case when a.attgenerated <> '' then 'generated'
                else coalesce((select 'enum ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                               from pg_enum e where e.enumtypid = a.atttypid),
                              'default ' || pg_get_expr(d.adbin, d.adrelid)) end
    from shared s
    join pg_attribute a on a.attrelid = s.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select s.relation, 'unique', a.attname::text, null, null, null, null
    from shared s
    join pg_index i on i.indrelid = s.id and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
    join pg_attribute a on a.attrelid = s.id and a.attnum = i.indkey[0]
    union all
    select s.relation, 'check', k.conname::text, null, null, null, pg_get_constraintdef(k.oid)
    from shared s
    join pg_constraint k on k.conrelid = s.id and k.contype = 'c' and cardinality(k.conkey) = 1
    union all
    select s.relation, 'trigger', t.tgname::text, null, null, null, p.prosrc
    from shared s
    -- The bits of tgtype: 1 for each row, 2 before, 4 insert, 16 update.
    join pg_trigger t on t.tgrelid = s.id and not t.tgisinternal and t.tgenabled in ('O', 'A')
        and t.tgtype & 3 = 3 and t.tgtype & (case s.relation when 'sms_retry_queue' then 20 else 16 end) <> 0
    join pg_proc p on p.oid = t.tgfoid
    union all
    select s.relation, 'rule', r.rulename::text, null, null, null, pg_get_ruledef(r.oid)
    from shared s
    join pg_rewrite r on r.ev_class = s.id and r.is_instead and r.ev_type in ('2', '3')
    union all
    select 'sms_retry_queue', 'dependent',
           regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '^rule \S+ on ', ''), null, null, null,
           p.oid::regprocedure::text
    from pg_proc p
    join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid and d.deptype = 'n'
    where p.pronamespace = 'public'::regnamespace
      and p.proname in ('claim_due_sms_retries', 'recover_stuck_sms_retries', 'queue_sms_retry')
      and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
$$;

-- ======== schemas/checks/rehearse_scheduled_send.sql ========
-- Plan and queue a scheduled send, and roll it back. Nulls if that worked, or if only a made-up text would break what this
-- one broke; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_scheduled_send(out step text, out state text, out message text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_scheduled_id uuid;
    v_answer text;
begin
    step := 'making its send log';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    perform smsretry.make_send_log(
        gen_random_uuid(), coalesce(v_log.business_id, gen_random_uuid()), coalesce(v_log.customer_id, gen_random_uuid()),
        'Rehearsal of a scheduled send', smsretry.clock());
    if v_log.id is null then
        raise exception 'there is nobody to plan it for' using errcode = 'SR000';
    end if;
    step := 'schedule_sms';
    select s.scheduled_id into v_scheduled_id
    from public.schedule_sms(v_log.business_id, v_log.customer_id, 'Rehearsal of a scheduled send', smsretry.clock()) s;
    step := 'queue_scheduled_sms';
    select q.result || coalesce(': ' || q.why, '') into v_answer
    from public.scheduled_sends s cross join lateral smsretry.queue_scheduled(s, smsretry.clock(), null) q
    where s.id = v_scheduled_id;
    if v_answer is distinct from 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
    -- A second text of the same customer may break a rule of the application's. A made-up customer breaks foreign keys and
    -- triggers; then only what any row would break counts.
    if state in ('SR000', '55P03', '40P01', '23505')
        or v_log.id is null and state not in ('23502', '23514', '428C9') then
        step := null;
    end if;
end
$$;

-- ======== schemas/checks/rehearse_text.sql ========
-- Queue, claim, begin and finish a sample text, or cancel it by an opt-out, so that it ends as `ends`, and roll it back.
-- Nulls if that worked; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_text(ends text, out step text, out state text, out message text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_answer text;
begin
    step := 'making a sample text';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    if v_log.id is null then
        raise exception 'there is no text to try it with yet' using errcode = 'SR000';
    end if;
    step := 'queue_sms_retry';
    select q.retry_id, q.result into v_retry_id, v_answer from public.queue_sms_retry(v_log.id) q;
    if v_answer <> 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    if ends = 'cancelled' then
        step := 'record_sms_consent';
        select s.cancelled::text into v_answer
        from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
        if v_answer = '0' then
            raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
        end if;
    else
        step := 'claim_due_sms_retries';
        perform 1 from public.claim_due_sms_retries(0, true); -- none: the due rows are not ours to take
        step := 'claim_sms_retry';
        select * into v_claim from public.claim_sms_retry(v_retry_id);
        if v_claim.id is null then
            raise exception 'it took no row' using errcode = 'SR500';
        end if;
        step := 'begin_sms_attempt';
        select b.answer || coalesce(': ' || b.why, '') into v_answer
        from public.begin_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal') b;
        if v_answer <> 'go' then
            raise exception 'it answered %', v_answer using errcode = 'SR500';
        end if;
        step := 'finish_sms_attempt';
        select f.status into v_answer
        from public.finish_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            outcome => case ends when 'failed' then 'rejected' else 'accepted' end, next_status => ends,
            error => case ends when 'failed' then 'Rehearsal' end,
            twilio_sid => case ends when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
        where f.applied;
        if v_answer is distinct from ends then
            raise exception 'the text did not end %', ends using errcode = 'SR500';
        end if;
    end if;
    step := null;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
end
$$;

-- ======== schemas/checks/sample_text.sql ========
-- A text to rehearse with: a new one if the application's tables allow it, otherwise an existing one that is not sent,
-- waiting or locked. Null: there is none. Call it only inside a block that is rolled back. security definer, because
-- service_role may not insert the application's rows.
create or replace function smsretry.sample_text()
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_business uuid;
    v_customer uuid := gen_random_uuid();
    v_log uuid := gen_random_uuid();
begin
    select b.id into v_business from public.businesses b limit 1;
    if v_business is null then
        v_business := gen_random_uuid();
        insert into public.businesses (id, user_id, name, timezone)
        values (v_business, gen_random_uuid(), 'Rehearsal', 'America/New_York');
    end if;
    insert into public.customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
    values (v_customer, v_business, '+15005550006', 'America/New_York', 'opted_in', smsretry.clock());
    insert into public.send_logs (id, business_id, customer_id, channel, subject)
    values (v_log, v_business, v_customer, 'sms', 'Rehearsal');
    return v_log;
exception when others then
    select l.id, c.id into v_log, v_customer
    from public.send_logs l
    join public.customers c on c.id = l.customer_id and c.business_id = l.business_id
    where l.channel = 'sms' and not smsretry.is_sent(l.provider_message_id, l.status::text)
      and not exists (select 1 from public.sms_retry_queue q
                      where q.send_log_id = l.id and q.status in ('pending', 'processing'))
      and not exists (select 1 from smsretry.earlier_doubt(l.id, l.business_id) d where d.attempt_id is not null)
    limit 1 for update of l, c skip locked;
    update public.customers c
    set phone = '+15005550006', sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()
    where c.id = v_customer;
    return v_log;
end
$$;

-- ======== schemas/checks/try_sms_retry_queue.sql ========
-- Rehearse for `smsretry doctor` and `smsretry migrate`: one sample text ends completed, one failed, one cancelled.
-- Everything is rolled back, and no row of the application's is touched. ok is false if a step failed; advice says which, or
-- why it could not be tried now. A second row reports a failing scheduled send; it is ok, because no other text depends on
-- it.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_ends text;
    v_failed record;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    ok := true;
    foreach v_ends in array array['completed', 'failed', 'cancelled'] loop
        select * into v_failed from smsretry.rehearse_text(v_ends);
        if v_failed.step is not null then
            -- No text to try with, or a lock: nothing is known to be wrong.
            ok := v_failed.state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end
                || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300)
                || case when v_failed.state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end;
            exit;
        end if;
    end loop;
    return next;
    if not ok then
        return;
    end if;
    select * into v_failed from smsretry.rehearse_scheduled_send();
    if v_failed.step is not null then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300) || case v_failed.step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is mended, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end;
        return next;
    end if;
end
$$;

-- ======== schemas/triggers/triggers.sql ========
-- What happens on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.before_insert();

drop trigger if exists smsretry_open_delivery on public.sms_send_attempts;
create trigger smsretry_open_delivery
    before insert or update of delivery_look_at on public.sms_send_attempts
    for each row when (new.delivery_look_at is not null and new.business_id is null) execute function smsretry.open_delivery();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

drop trigger if exists smsretry_keep_suppression on public.customers;
create trigger smsretry_keep_suppression
    after insert or update of business_id, phone, sms_consent_status, sms_consent_at, sms_consent_source on public.customers
    for each row execute function smsretry.keep_suppression();

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- ======== schemas/rights/public_functions.sql ========
-- Only the backend calls our functions in public. A Supabase project lets everybody call a new one.
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'begin_sms_attempt', 'cancel_sms_retries', 'check_sms_retries', 'check_sms_retry_setup',
        'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry',
        'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables',
        'doubt_sms_retries', 'end_sms_retry', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery',
        'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'next_sms_due',
        'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry',
        'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'requeue_failed_sms',
        'resolve_sms_doubt', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt',
        'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
    end loop;
end
$$;

-- ======== by hand: who had opted out, whatever a row says of the future ========
-- Who had opted out before there was this trigger, and in which way. What a START may not lift is said first: in version
-- 1.0.0 a later STOP took its place. Nobody is opted out anew who has opted in since.
insert into smsretry.suppressions as s (number_key, business_id, since, source)
select distinct on (1) smsretry.number_key(c.business_id, c.phone), c.business_id, c.last_at, left(c.sms_consent_source, 200)
from (select o.*, max(coalesce(o.sms_consent_at, smsretry.clock())) over (partition by o.business_id, o.phone) as last_at
      from public.customers o
      where o.sms_consent_status::text = 'opted_out' and o.phone is not null) c
where not exists (
    select 1 from public.customers i
    where i.phone = c.phone and i.business_id = c.business_id and i.sms_consent_status::text = 'opted_in'
      and i.sms_consent_at > c.last_at and i.sms_consent_at <= smsretry.clock())
order by 1, smsretry.start_lifts(c.sms_consent_source::text), c.sms_consent_at desc nulls last
on conflict (number_key) do update set source = excluded.source
where smsretry.start_lifts(s.source) and not smsretry.start_lifts(excluded.source);

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
