-- Make the text of a scheduled send, its send log and its row in the queue, or say why there can be none. The send log has
-- the send's own id, so there is one text at most. The caller holds the row locked.
--   result: queued | cancelled | failed
-- life: how long it is of use from its time on, if it does not say so itself; null: its claim says so. Raises if its row
-- stays as it was: otherwise it would be queued again and again.
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, life interval, out result text, out why text, out retry_id uuid,
    out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_status text;
begin
    -- Infinity and the like are no end. The constraint refuses them, and with them each change of the row.
    if send.not_after > upper(smsretry.century()) then
        send.not_after := null;
    end if;
    why_code := case
        when not exists (select 1 from public.customers c where c.id = send.customer_id and c.business_id = send.business_id)
            then 'no_customer'
        when coalesce(btrim(send.body, E' \t\n\r'), '') = '' then 'no_body'
        -- A send planned for -infinity is held until somebody mends it.
        when coalesce(send.not_after, case when isfinite(send.scheduled_for) then send.scheduled_for + life end)
            <= queue_scheduled.at then 'expired'
    end;
    if why_code in ('no_customer', 'no_body') then
        result := 'failed';
        why := case why_code when 'no_customer' then 'Customer not found'
                             else 'Text is empty: scheduled_sends.body holds none' end;
    elsif why_code = 'expired' then
        result := 'cancelled';
        why := 'Expired before it could be sent' || case
            when send.not_after is not null then ''
            when send.held_since is not null then '. ' || send.why
            else ': it was due on ' || to_char(send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD') || ' (UTC)' end;
        if exists (select 1 from smsretry.restores r where send.scheduled_for between r.since and r.restored_at) then
            why := why || '. It may have gone out before the database was restored: look in the provider''s log';
        end if;
    -- A send log that is made now is this text's, even if a trigger changed its words.
    elsif smsretry.make_send_log(send.id, send.business_id, send.customer_id, send.body, queue_scheduled.at)
        or exists (select 1 from public.send_logs l
                   where l.id = send.id and l.business_id = send.business_id
                     and l.customer_id = send.customer_id and l.subject = send.body) then
        result := 'queued';
        select q.retry_id into retry_id
        from public.queue_sms_retry(
            send_log_id => send.id, scheduled_for => send.scheduled_for,
            expires_in => send.not_after - smsretry.clock(), -- queue_sms_retry adds it to that
            message_class => send.message_class) q;
    else
        result := 'failed';
        why_code := 'id_taken';
        why := 'Its id is that of another send log: schedule the text anew';
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = left(queue_scheduled.why, smsretry.longest_reason()),
        why_code = queue_scheduled.why_code, held_since = null, look_at = null,
        not_after = send.not_after,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = send.id
    returning s.status into v_status;
    if coalesce(v_status = 'scheduled', true) then
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that', result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- a deferred check would undo the others, too
end
$$;
