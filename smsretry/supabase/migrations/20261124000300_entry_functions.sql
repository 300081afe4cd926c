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
        set status = close_row.final_status, last_error = close_row.why, error_code = close_row.code, why = null,
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

-- Consent, or its end, of everybody at a business who has this number, and of one customer by id whatever their number
-- is now. An opt-out cancels their waiting texts; what is in doubt or under way meets it at its own begin. A repeated
-- opt-out keeps the first one's record. Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_waiting uuid;
begin
    -- Locked in one order, so that two opt-outs of the same people wait and do not deadlock.
    select array_agg(locked.id) into v_ids from (
        select c.id from public.customers c
        where (c.phone = set_consent.phone or c.id = set_consent.customer_id)
          and (c.business_id = set_consent.business_id or set_consent.business_id is null)
        order by c.id for update) locked;
    customers := coalesce(cardinality(v_ids), 0);
    update public.customers c
    set sms_consent_status = set_consent.consent, sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
    where c.id = any (v_ids)
      and (set_consent.consent <> 'opted_out' or c.sms_consent_status is distinct from 'opted_out');

    cancelled := 0;
    if set_consent.consent = 'opted_out' then
        for v_waiting in
            select q.id from public.sms_retry_queue q
            where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', null, set_consent.at);
            cancelled := cancelled + 1;
        end loop;
    end if;
end
$$;

-- For people: a customer says stop, or yes, by telephone or letter. Without a business an opt-out is from all of them;
-- consent is given to one.
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null
)
returns table (customers integer, cancelled integer)
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
begin
    if (record_sms_consent.consent in ('opted_in', 'opted_out')) is not true
        or (record_sms_consent.phone ~ '^[+][1-9][0-9]{6,14}$') is not true
        or coalesce(btrim(record_sms_consent.source), '') = '' then
        raise exception 'phone must be E.164, consent opted_in or opted_out, and source must say where it is known from'
            using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_in' and record_sms_consent.business_id is null then
        raise exception 'business_id is missing: consent is given to one business' using errcode = 'SR422';
    end if;
    select s.customers, s.cancelled into customers, cancelled from smsretry.set_consent(
        record_sms_consent.business_id, null, record_sms_consent.phone, record_sms_consent.consent,
        record_sms_consent.source, smsretry.clock()) s;
    if customers = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Numbers are stored as E.164. There is nobody whose consent could be recorded.';
    end if;
    return next;
end
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
    expires_in interval default interval '48 hours',
    message_class text default 'marketing'
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
    if queue_sms_retry.message_class not in ('marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional' using errcode = 'SR422';
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
            scheduled_for, reason, last_error, expires_at, message_class, created_at, updated_at)
        values (
            v_log.business_id, v_log.id, v_log.customer_id, 'pending', queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts, coalesce(queue_sms_retry.scheduled_for, v_now + coalesce(queue_sms_retry.retry_in, interval '1 minute')),
            queue_sms_retry.reason, queue_sms_retry.error,
            v_now + coalesce(queue_sms_retry.expires_in, interval '48 hours'),
            coalesce(queue_sms_retry.message_class, 'marketing'), v_now, v_now)
        on conflict (send_log_id) where status in ('pending', 'processing') do nothing
        returning id, 'queued', sms_retry_queue.scheduled_for;
        exit when found;
    end loop;
end
$$;
