-- Only the backend calls our functions, and reads the tables in the schema smsretry: a Supabase project lets everybody call a new
-- function in public, and default privileges may be wide. A function that a migration created anew (smsretry.granted_…) keeps the
-- roles of the owner's own that may call it.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
revoke all on all tables in schema smsretry from public, anon, authenticated;
grant select on all tables in schema smsretry to service_role;
grant insert on smsretry.consents, smsretry.events, smsretry.imported_files, smsretry.restores to service_role;
grant insert, update on smsretry.inbound_texts, smsretry.runs to service_role;
grant insert, update, delete on smsretry.mark, smsretry.senders, smsretry.business_senders, smsretry.stops, smsretry.turns to service_role;

-- PostgREST keeps its connections, and PL/pgSQL keeps on each the plans that were made when it was first called
-- (https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-PLAN-CACHING). A plan that was made while the
-- tables were small reads them whole when a day's texts have come at once, until autovacuum comes. So calls that look rows up plan
-- as if an index were almost free, and those that read much plan each statement that has a variable anew. Our triggers plan so, too,
-- because they fire in statements of the application's; and a trigger of the application's that fires first in such a call does.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
    reads_much boolean;
begin
    for version, granted, reads_much in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true), p.proname in (
            'ask_sms_desk', 'check_sms_retries', 'claim_sms_deliveries', 'examine_sms_retries', 'explain_sms', 'list_sms',
            'preview_sms_retries', 'sms_senders', 'sms_status')
        from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.prorettype = 'trigger'::regtype
           or p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
            'add_sms_sender', 'ask_sms_desk', 'begin_sms_attempt', 'change_sms_sender', 'change_sms_texts',
            'check_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry',
            'claim_sms_texts', 'defer_sms_retry', 'doubt_sms_retries', 'end_sms_retry',
            'examine_sms_retries', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run',
            'group_sms_calls', 'import_sms_opt_outs', 'list_sms',
            'mark_sms_database', 'mark_sms_number', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history',
            'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms',
            'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'resolve_sms_doubt',
            'resume_sms_sender', 'schedule_sms', 'set_sms_state_stop', 'set_sms_stop', 'settle_sms_attempt',
            'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue')
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
        foreach role in array coalesce(nullif(granted, ''), '{}')::regrole[] loop
            continue when role::text in ('anon', 'authenticated', 'service_role');
            execute format('grant execute on function %s to %s', version, role);
        end loop;
        execute format('alter function %s set %s', version, case when reads_much then 'plan_cache_mode = force_custom_plan'
                                                                 else 'random_page_cost = 0.1' end);
    end loop;
end
$$;
