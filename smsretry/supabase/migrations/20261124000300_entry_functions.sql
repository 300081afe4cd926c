-- How a text enters the queue, and how it leaves it. Names of parameters are the API (PostgREST calls by name).

-- Return types of functions that an older installation already has differ from ours, and a function's
-- return type cannot be replaced.
do $$
declare
    old regprocedure;
begin
    for old in
        select p.oid::regprocedure
        from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'public' and p.proname in ('claim_due_sms_retries', 'recover_stuck_sms_retries', 'queue_sms_retry')
    loop
        execute format('drop function %s', old);
    end loop;
end
$$;

create or replace function smsretry.is_sent(provider_message_id jsonb)
returns boolean language sql immutable set search_path = '' as $$
    select coalesce(provider_message_id ? 'twilio_sid', false)
$$;

-- End a row for good, and tell its send log. Never takes back what a send log already knows to be sent.
create or replace function smsretry.close_row(row_id uuid, final_status text, why text, code integer, at timestamptz)
returns void language sql set search_path = '' as $$
    with closed as (
        update public.sms_retry_queue q
        set status = close_row.final_status, last_error = close_row.why, error_code = close_row.code,
            claimed_at = null, begun_at = null, attempt_id = null, in_doubt_since = null, updated_at = close_row.at
        where q.id = close_row.row_id
        returning q.send_log_id
    )
    update public.send_logs l
    set status = 'failed', error_message = close_row.why, updated_at = close_row.at
    from closed c
    where l.id = c.send_log_id and not smsretry.is_sent(l.provider_message_id);
$$;

-- A text that Twilio accepted.
create or replace function smsretry.complete_row(row_id uuid, sid text, at timestamptz)
returns void language sql set search_path = '' as $$
    with completed as (
        update public.sms_retry_queue q
        set status = 'completed', last_error = null, error_code = null,
            claimed_at = null, begun_at = null, attempt_id = null, in_doubt_since = null, updated_at = complete_row.at
        where q.id = complete_row.row_id
        returning q.send_log_id
    )
    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    from completed c
    where l.id = c.send_log_id;
$$;

-- Queue a retry for a send log, or return the live row it already has.
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed)
-- scheduled_for wins over retry_in; with neither, the first step of the backoff: one minute.
create or replace function public.queue_sms_retry(
    send_log_id uuid,
    reason text default null,
    attempt_count integer default 0,
    scheduled_for timestamptz default null,
    error text default null,
    retry_in interval default interval '1 minute',
    max_attempts integer default 3,
    expires_in interval default interval '48 hours'
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_log public.send_logs;
begin
    select * into v_log from public.send_logs l where l.id = queue_sms_retry.send_log_id for update;
    if not found then
        raise exception 'There is no send log %', queue_sms_retry.send_log_id
            using errcode = 'SR404', hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    if v_log.channel <> 'sms' then
        raise exception 'Send log % is of channel %, not sms', v_log.id, v_log.channel using errcode = 'SR422';
    end if;
    if v_log.customer_id is null then
        raise exception 'Send log % names no customer', v_log.id
            using errcode = 'SR422', hint = 'Set send_logs.customer_id: consent and phone number are read there.';
    end if;
    if exists (select 1 from public.customers c where c.id = v_log.customer_id and c.business_id <> v_log.business_id) then
        raise exception 'Send log % names a customer of another business', v_log.id using errcode = 'SR422';
    end if;
    if queue_sms_retry.attempt_count is null or queue_sms_retry.max_attempts is null then
        raise exception 'attempt_count and max_attempts must be numbers' using errcode = 'SR422';
    end if;
    if smsretry.is_sent(v_log.provider_message_id) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    loop -- again only when somebody else inserts the same text at this very moment
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id and q.status in ('pending', 'processing');
        exit when found;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts then
            update public.send_logs l
            set status = 'failed', updated_at = v_now, error_message = coalesce(
                queue_sms_retry.error, 'Gave up after ' || queue_sms_retry.attempt_count || ' attempts')
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            exit;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
            scheduled_for, reason, last_error, expires_at, created_at, updated_at)
        values (
            v_log.business_id, v_log.id, v_log.customer_id, 'pending', queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts, coalesce(queue_sms_retry.scheduled_for, v_now + coalesce(queue_sms_retry.retry_in, interval '1 minute')),
            queue_sms_retry.reason, queue_sms_retry.error,
            v_now + coalesce(queue_sms_retry.expires_in, interval '48 hours'), v_now, v_now)
        on conflict (send_log_id) where status in ('pending', 'processing') do nothing
        returning id, 'queued', sms_retry_queue.scheduled_for;
        exit when found;
    end loop;
end
$$;
