-- For a person: put texts that failed back into the queue, due at once. Every check is made again when they are claimed.
-- What is known is kept: message class, attempts so far, errors; each gets more_attempts further ones, and its life counts
-- anew. Its send log says what is true meanwhile: it waits. One whose send log cannot be told so is left alone.
-- Without dry_run => false nothing is changed. states: failed, or cancelled as well. row_limit: at most so many, the
-- newest first; call again for the rest.
--   matched: rows that fit · changed: requeued, or what would be · skipped: left alone, by why · warned: requeued though
create or replace function public.requeue_failed_sms(
    retry_ids uuid[] default null,
    business_id uuid default null,
    customer_id uuid default null,
    code integer default null,
    reason text default null,
    containing text default null,
    since timestamptz default null,
    until timestamptz default null,
    states text[] default '{failed}',
    dry_run boolean default true,
    who text default null,
    because text default null,
    more_attempts integer default 3,
    row_limit integer default 1000,
    why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_customer public.customers;
    v_skip text;
    v_warn text;
    v_told jsonb[] := '{}';
begin
    if (requeue_failed_sms.states <@ array['failed', 'cancelled'] and requeue_failed_sms.dry_run is not null
        and requeue_failed_sms.more_attempts between 1 and 100 and requeue_failed_sms.row_limit between 1 and 10000) is not true then
        raise exception 'states are failed or cancelled, more_attempts 1 to 100, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not requeue_failed_sms.dry_run then
        perform smsretry.check_told(requeue_failed_sms.who, requeue_failed_sms.because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            requeue_failed_sms.states, requeue_failed_sms.retry_ids, requeue_failed_sms.business_id,
            requeue_failed_sms.customer_id, requeue_failed_sms.code, requeue_failed_sms.reason,
            requeue_failed_sms.containing, requeue_failed_sms.since, requeue_failed_sms.until,
            requeue_failed_sms.why_code) c
        limit requeue_failed_sms.row_limit
    loop
        -- The send log first: whoever queues a text locks it, so that no second live row can appear meanwhile.
        select * into v_log from public.send_logs l where l.id = v_row.send_log_id for update;
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        select * into v_customer from public.customers c where c.id = v_row.customer_id;
        v_skip := case
            when v_row.status <> all (requeue_failed_sms.states) then 'It has changed meanwhile'
            when v_log.id is null then 'Its send log is gone'
            when v_customer.id is null then 'Its customer is gone'
            when smsretry.is_sent(v_log.provider_message_id, v_log.status::text)
                and not smsretry.is_undelivered(v_log.id, v_log.provider_message_id)
                then 'Its send log says that it was sent'
            when exists (select 1 from public.sms_retry_queue q
                         where q.send_log_id = v_row.send_log_id and q.id <> v_row.id
                           and (q.created_at, q.id) > (v_row.created_at, v_row.id))
                then 'A newer row is of the same text'
            when exists (select 1 from public.sms_retry_queue q
                         where q.send_log_id = v_row.send_log_id and q.id <> v_row.id and q.status in ('pending', 'processing'))
                then 'Another row of the same text waits'
            when smsretry.is_unsettled(v_row.id)
                then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
        end;
        v_warn := case
            when v_customer.sms_consent_status::text is distinct from 'opted_in'
                or smsretry.suppressed_since(smsretry.number_key(v_row.business_id, v_customer.phone)) is not null
                then 'The customer has not opted in: it will be cancelled'
            when v_customer.phone_status in ('invalid', 'not_mobile')
                then 'The number is known to take no texts (' || v_customer.phone_status || ')'
            when (smsretry.forgotten(v_row)).since is not null
                then 'The database was restored from a backup: it is looked for before it goes out'
        end;
        if v_skip is null and not requeue_failed_sms.dry_run then
            -- The SID of a message that did not arrive is kept with its attempt.
            v_skip := 'Its send log cannot be told that it waits: ' || smsretry.tell_waiting(v_log.id, null, v_now);
        end if;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked(v_customer.phone), 'message_class', v_row.message_class,
            'attempts', v_row.attempt_count, 'was', smsretry.numberless(v_row.last_error), 'skipped', v_skip, 'warned', v_warn);
        if requeue_failed_sms.dry_run or v_skip is not null then
            continue;
        end if;
        v_row.max_attempts := least(greatest(v_row.max_attempts, v_row.attempt_count + requeue_failed_sms.more_attempts), 1000);
        v_row.expires_at := null;
        v_row.rate_limit_count := 0;
        v_row.recover_count := 0;
        v_row.account_refusal_count := 0;
        v_row.reconcile_count := 0;
        v_row.reason := null;
        v_row.why_code := 'operator';
        v_row.why := 'Requeued by ' || requeue_failed_sms.who || ': ' || requeue_failed_sms.because;
        perform smsretry.put_back(v_row, v_now, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'requeued', requeue_failed_sms.who, requeue_failed_sms.because);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.requeue_failed_sms from public, anon, authenticated;
grant execute on function public.requeue_failed_sms to service_role;
