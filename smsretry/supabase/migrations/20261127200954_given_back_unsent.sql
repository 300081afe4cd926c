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
    if next_status = 'pending' and retry_in is null and outcome <> 'not_sent' then
        raise exception 'retry_in is missing: a row that goes back to pending needs a time' using errcode = 'SR422';
    end if;
    if next_status <> 'completed' and error is null then
        raise exception 'error is missing: a text that did not go out needs a reason' using errcode = 'SR422';
    end if;
end
$$;

-- ======== schemas/worker/finish_sms_attempt.sql ========
-- The outcome of a begun send, and where its row goes: attempt, row and send log in one transaction. A repeated call changes
-- nothing. applied is false if the claim was lost.
--   outcome → next_status: accepted → completed; rejected, not_sent → pending (in retry_in) or failed; in_doubt → pending
-- retry_in: null for a send that did not leave and is no failure; its row goes back as it was.
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
                v_row.why_code := why_code;
                v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
                v_row.in_doubt_since := case when v_doubt then v_now end;
                if retry_in is not null then
                    v_row.last_error := error;
                    v_row.error_code := error_code;
                end if;
                perform smsretry.put_back(v_row, coalesce(v_now + retry_in, v_row.scheduled_for), v_now);
        end case;
        if opted_out or phone_status is not null then
            perform smsretry.mark_customer(v_row, phone, opted_out, phone_status, error_code, v_now, attempt_id);
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

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- Triggers fire in statements of the application's, too. They plan as our functions in public do.
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('alter function %s set random_page_cost = 0.1', version);
    end loop;
end
$$;

-- ======== schemas/rights/public_functions.sql ========
-- What holds for each of our functions in public: who may call it, and how its calls are planned.
--
-- Only the backend calls them. A Supabase project lets everybody call a new one. A function that a migration created anew
-- (smsretry.granted_…) keeps the roles of the owner's own that may call it.
--
-- PostgREST keeps its connections, and PL/pgSQL keeps on each the plans that were made when it was first called
-- (https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-PLAN-CACHING). A plan that was made while the
-- tables were small reads them whole when a day's texts have come at once, until autovacuum comes. So calls that look rows up plan
-- as if an index were almost free, and those that read much (reads_much) plan each statement that has a variable anew. A trigger
-- of the application's that fires first in such a call is planned so, too.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
    reads_much boolean;
begin
    for version, granted, reads_much in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true), p.proname in (
            'ask_sms_desk', 'check_sms_retries', 'check_sms_retry_setup', 'claim_sms_deliveries', 'describe_sms_tables',
            'examine_sms_retries', 'explain_sms', 'look_up_sms', 'preview_sms_retries', 'sms_senders', 'sms_status')
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'add_sms_sender', 'ask_sms_desk', 'begin_sms_attempt', 'cancel_sms_retries', 'change_sms_sender', 'check_sms_mark', 'check_sms_retries', 'check_sms_retry_setup', 'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry', 'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables', 'doubt_sms_retries', 'end_sms_retry', 'examine_sms_retries', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'import_sms_opt_outs', 'lease_sms_sender', 'lease_sms_time', 'lease_sms_times', 'look_again_sms', 'look_up_sms', 'mark_sms_database', 'next_sms_due', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'requeue_failed_sms', 'resolve_sms_doubt', 'resume_sms_sender', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt', 'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
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

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
