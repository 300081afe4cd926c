-- Make the text of a scheduled send, its send log and its row in the queue, or say why there can be
-- none. The send log has the send's own id, so there is one text at most. Raises if one of the
-- three does not become what it should: the caller keeps the row locked, and undoes all of it.
--   life: how long the text is of use from its time on, if it does not say so itself; null: its
--     claim says so
--   result: queued, cancelled or failed
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends,
    at timestamptz,
    life interval,
    out result text,
    out why text,
    out retry_id uuid,
    out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_log public.send_logs;
    v_status text;
begin
    select *
    into v_log
    from public.send_logs l
    where l.id = send.id;
    why_code := case
        when not exists (
            select from public.customers c
            where c.id = send.customer_id
              and c.business_id = send.business_id
        )
            then 'no_customer'
        when coalesce(btrim(send.body, E' \t\n\r'), '') = '' then 'no_body'
        when coalesce(
            send.not_after,
            smsretry.on_calendar(send.scheduled_for) + life
        ) <= queue_scheduled.at
            then 'expired'
        when v_log.id is not null
          and (v_log.business_id, v_log.customer_id, v_log.subject::text)
            is distinct from (send.business_id, send.customer_id, send.body)
            then 'id_taken'
    end;
    if why_code is null and v_log.id is null then
        insert into public.send_logs (
            id,
            business_id,
            customer_id,
            channel,
            subject,
            created_at,
            updated_at
        )
        values (
            send.id,
            send.business_id,
            send.customer_id,
            'sms',
            send.body,
            queue_scheduled.at,
            queue_scheduled.at
        );
        -- It is this text's, even if a trigger changed its words.
        select *
        into v_log
        from public.send_logs l
        where l.id = send.id;
        if v_log.id is null then
            raise exception 'its send log was not kept; a trigger on send_logs swallows it, or gives it another id'
                using errcode = 'SR409';
        elsif smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
            raise exception 'its send log says from the start that the text was sent; send_logs.status needs another default'
                using errcode = 'SR409';
        end if;
    end if;
    if why_code is null then
        result := 'queued';
        select q.retry_id
        into retry_id
        from public.queue_sms_retry(
            send_log_id => send.id,
            scheduled_for => send.scheduled_for,
            expires_in => send.not_after - smsretry.clock(), -- queue_sms_retry adds the clock again
            message_class => send.message_class
        ) q;
    else
        result := case why_code when 'expired' then 'cancelled' else 'failed' end;
        why := case why_code
            when 'no_customer' then 'Customer not found'
            when 'no_body' then 'Text is empty: scheduled_sends.body holds none'
            when 'id_taken'
                then 'Its id is that of another send log: schedule the text anew'
            else 'Expired before it could be sent'
                || case
                    when send.held_since is not null then '. ' || send.why
                    when send.not_after is not null then ''
                    else ': it was due on '
                        || to_char(
                            send.scheduled_for at time zone 'UTC',
                            'YYYY-MM-DD'
                        ) || ' (UTC)'
                end
                || case
                    when exists (
                        select from smsretry.restores r
                        where send.scheduled_for between r.since and r.restored_at
                    )
                        then '. It may have gone out before the database was restored: look in the provider''s log'
                    else ''
                end
        end;
    end if;
    update public.scheduled_sends s
    set
        status = queue_scheduled.result,
        why = left(queue_scheduled.why, smsretry.longest_reason()),
        why_code = queue_scheduled.why_code,
        held_since = null,
        look_at = null,
        send_log_id = case
            when queue_scheduled.why_code is null then s.id
            else s.send_log_id
        end
    where s.id = send.id
    returning s.status
    into v_status;
    if coalesce(v_status = 'scheduled', true) then -- it would be queued again and again
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that',
            result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- a deferred check would undo the others, too
end
$$;
