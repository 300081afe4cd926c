-- Queue a retry for a send log, or return the live row that it has. If an earlier row ended in
-- doubt, the new one is in doubt about that send (smsretry.enter_queue). The application may call
-- it with send_log_id alone. Parameter names are the API, here and in all of public.
--   reason: with quiet_hours the text is queued whatever attempt_count says, and has a send left,
--     because quiet hours cost no attempt
--   scheduled_for: when it is due; wins over due_in. Null for both: smsretry.retry_delay says
--   expires_in: a day of it has 24 hours; null: the text is of use for as long as the worker says
--   message_class: null: marketing
--   result: queued, already_queued, already_sent, or attempts_exhausted (the send log is then
--     failed)
create or replace function public.queue_sms_retry(
    send_log_id uuid,
    reason text default null,
    attempt_count integer default 0,
    scheduled_for timestamptz default null,
    error text default null,
    due_in interval default null,
    max_attempts integer default 3,
    expires_in interval default null,
    message_class text default null
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_due constant timestamptz := coalesce(
        queue_sms_retry.scheduled_for,
        v_now + coalesce(
            queue_sms_retry.due_in,
            smsretry.retry_delay(queue_sms_retry.attempt_count)
        )
    );
    v_expires constant timestamptz := v_now + make_interval(
        secs => extract(epoch from queue_sms_retry.expires_in)::double precision
    );
    v_error constant text := left(queue_sms_retry.error, smsretry.longest_reason());
    v_class constant text := coalesce(queue_sms_retry.message_class, 'marketing');
    v_log public.send_logs;
    v_problem text;
begin
    select *
    into v_log
    from public.send_logs l
    where l.id = queue_sms_retry.send_log_id
    for update;
    if v_log.id is null then
        raise exception 'There is no send log %', queue_sms_retry.send_log_id
            using errcode = 'SR404',
                  hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    v_problem := case
        when v_log.channel <> 'sms'
            then format(
                'Send log %s is of channel %s, not sms',
                v_log.id,
                v_log.channel
            )
        when v_log.customer_id is null
            then format(
                'Send log %s names no customer: set send_logs.customer_id, because consent and phone number are read there',
                v_log.id
            )
        when exists (
            select from public.customers c
            where c.id = v_log.customer_id
              and c.business_id <> v_log.business_id
        )
            then format(
                'Send log %s names a customer of another business',
                v_log.id
            )
        when (queue_sms_retry.attempt_count >= 0) is not true
          or queue_sms_retry.max_attempts is null
            then 'attempt_count and max_attempts must be numbers, 0 or more'
        when v_class not in ('marketing', 'transactional')
            then 'message_class must be marketing or transactional'
        when queue_sms_retry.reason not in (
            'quiet_hours',
            'twilio_error',
            'rate_limit'
        )
            then 'reason must be quiet_hours, twilio_error or rate_limit, or be left out'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    perform smsretry.supersede(
        v_log.id,
        v_log.business_id,
        queue_sms_retry.attempt_count
    );
    -- again only if somebody else inserts a row for the same text at this very moment
    for v_try in 1 .. 3 loop
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id
          and q.status in ('pending', 'processing');
        if found then
            return;
        end if;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts
            and queue_sms_retry.reason is distinct from 'quiet_hours'
        then
            update public.send_logs l
            set
                status = 'failed',
                updated_at = v_now,
                error_message = coalesce(
                    v_error,
                    'Gave up after ' || queue_sms_retry.attempt_count || ' attempts'
                )
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            return;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id,
            send_log_id,
            customer_id,
            status,
            attempt_count,
            max_attempts,
            scheduled_for,
            reason,
            last_error,
            expires_at,
            message_class,
            created_at,
            updated_at
        )
        values (
            v_log.business_id,
            v_log.id,
            v_log.customer_id,
            'pending',
            queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts,
            v_due,
            queue_sms_retry.reason,
            v_error,
            v_expires,
            v_class,
            v_now,
            v_now
        )
        on conflict
        do nothing
        returning
            id,
            'queued',
            sms_retry_queue.scheduled_for;
        if found then
            return;
        end if;
    end loop;
    raise exception 'The row for send log % was not kept', v_log.id
        using errcode = 'SR409',
              hint = 'A trigger on sms_retry_queue swallows inserts: look at the triggers that are not smsretry''s.';
end
$$;
