-- Make the text of a scheduled send: its send log and its row in the queue, or say why there can be none. The caller holds
-- the row locked. The send log has the row's own id, so there is one text at most, whatever happens to the row later.
--   result: queued | cancelled | failed
-- life: how long it is of use from its time on, if it does not say so itself, also while nothing ran.
-- An error, and nothing is done, if the row stays as it was: without that it would be queued again and again.
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, life interval, out result text, out why text, out retry_id uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_status text;
begin
    -- An end that no calendar has (infinity, the year 9999) is none. A rule refuses it, and with it each change of the row.
    if send.not_after > '2100-01-01 00:00+00' then
        send.not_after := null;
    end if;
    why := case
        when not exists (select 1 from public.customers c where c.id = send.customer_id and c.business_id = send.business_id)
            then 'Customer not found'
        when coalesce(btrim(send.body, E' \t\n\r'), '') = '' then 'Text is empty: scheduled_sends.body holds none'
    end;
    if why is not null then
        result := 'failed';
    -- One that is due since minus infinity cannot have expired: it is held, and told.
    elsif coalesce(send.not_after, send.scheduled_for + life) <= queue_scheduled.at and isfinite(send.scheduled_for) then
        result := 'cancelled';
        why := 'Expired before it could be sent' || case
            when send.not_after is not null then ''
            when send.held_since is not null then '. ' || send.why
            else ': it was due on ' || to_char(send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD') || ' (UTC)' end;
        if exists (select 1 from smsretry.restores r where send.scheduled_for between r.since and r.restored_at) then
            why := why || '. It may have gone out before the database was restored: look in the provider''s log';
        end if;
    -- A send log that is made now is this text's, whatever a trigger of the application's made of its words.
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
        why := 'Its id is that of another send log: schedule the text anew';
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = left(queue_scheduled.why, 2000), held_since = null, look_at = null,
        not_after = send.not_after,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = send.id
    returning s.status into v_status;
    if coalesce(v_status = 'scheduled', true) then
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that', result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- what is only asked at the end would undo the others, too
end
$$;
