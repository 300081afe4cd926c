-- For change_sms_texts: put a text that has ended back, due at once. Its class, attempts and errors are kept; it gets
-- more_attempts further sends, and its life starts anew. Its send log says that it waits; if that is refused, it is left alone.
create or replace function smsretry.requeue_text(
    id uuid, states text[], dry_run boolean, who text, because text, more_attempts integer, at timestamptz, out skip text, out warn text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_customer public.customers;
begin
    -- The send log first, as in queue_sms_retry, so that no second live row can appear.
    select l.* into v_log from public.send_logs l
    where l.id = (select q.send_log_id from public.sms_retry_queue q where q.id = id) for update;
    select * into v_row from public.sms_retry_queue q where q.id = id for update;
    select * into v_customer from public.customers c where c.id = v_row.customer_id;
    skip := case when v_row.id is null then 'It never became a text: schedule it anew' else smsretry.not_requeued(v_row, v_log, states) end;
    warn := case
        when v_customer.sms_consent_status::text is distinct from 'opted_in'
            or exists (select from smsretry.standing_opt_outs o
                       where o.number_key = smsretry.number_key(v_row.business_id, v_customer.phone))
            then 'The customer has not opted in: it will be cancelled'
        when v_customer.phone_status in ('invalid', 'not_mobile')
            then 'The number is known to take no texts (' || v_customer.phone_status || ')'
        when (smsretry.forgotten(v_row)).since is not null
            then 'The database was restored from a backup: it is looked for before it goes out'
    end;
    if dry_run or skip is not null then
        return;
    end if;
    -- The attempt keeps the SID of the undelivered message.
    skip := 'Its send log cannot be told that it waits: ' || smsretry.tell_waiting(v_log.id, null, at);
    if skip is not null then
        return;
    end if;
    v_row.max_attempts := least(greatest(v_row.max_attempts, v_row.attempt_count + more_attempts), 1000);
    v_row.expires_at := null;
    v_row.rate_limit_count := 0;
    v_row.recover_count := 0;
    v_row.account_refusal_count := 0;
    v_row.reconcile_count := 0;
    v_row.reason := null;
    v_row.why_code := 'operator';
    v_row.why := 'Requeued by ' || who || ': ' || because;
    perform smsretry.save_row(v_row, at, due => at);
    perform smsretry.note_event(v_row.id, 'requeued', who, because);
end
$$;
