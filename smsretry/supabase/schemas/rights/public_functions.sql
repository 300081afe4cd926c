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
        'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables',
        'doubt_sms_retries', 'end_sms_retry', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery',
        'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'next_sms_due',
        'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry',
        'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'requeue_failed_sms',
        'resolve_sms_doubt', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt',
        'slow_sms_sender', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
    end loop;
end
$$;
