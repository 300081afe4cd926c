-- For a person: queue failed texts again, due at once, with every check made anew. Message class, attempts and errors are
-- kept; each gets more_attempts further ones, and its life starts anew. Its send log says that it waits; if that is refused,
-- the text is left alone. Nothing changes without dry_run => false. states: failed, cancelled. row_limit: the newest ones.
--   matched: rows that fit, and those named by id · changed: requeued, or would be · skipped: left alone, by reason · warned: requeued all the same
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
        perform smsretry.note_event(v_row.id, 'requeued', who, because);
    end loop;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, false, states, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;
