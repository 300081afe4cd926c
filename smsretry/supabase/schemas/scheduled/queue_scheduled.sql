-- Make the text of a scheduled send: its send log and its row in the queue, or say why there can be none. The caller holds
-- the row locked. The send log has the row's own id, so there is one text at most, whatever happens to the row later.
--   result: queued | cancelled | failed
-- life: how long it is of use from its time on, if it does not say so itself, also while nothing ran.
-- An error, and nothing is done, if the row stays as it was: without that it would be queued again and again.
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, life interval, out result text, out why text, out retry_id uuid, out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_made boolean;
    v_status text;
begin
    -- An end that no calendar has (infinity, the year 9999) is none. A rule refuses it, and with it each change of the row.
    if send.not_after > '2100-01-01 00:00+00' then
        send.not_after := null;
    end if;
    result := 'failed';
    why_code := case
        when not exists (select 1 from public.customers c where c.id = queue_scheduled.send.customer_id
                         and c.business_id = queue_scheduled.send.business_id) then 'no_customer'
        when coalesce(btrim(queue_scheduled.send.body, E' \t\n\r'), '') = '' then 'no_body'
        when coalesce(queue_scheduled.send.not_after, queue_scheduled.send.scheduled_for + queue_scheduled.life)
            <= queue_scheduled.at then 'expired'
    end;
    why := case why_code
        when 'no_customer' then 'Customer not found'
        when 'no_body' then 'Text is empty: scheduled_sends.body holds none'
        when 'expired' then 'Expired before it could be sent' || case
            when queue_scheduled.send.not_after is not null then ''
            when queue_scheduled.send.held_since is not null then '. ' || queue_scheduled.send.why
            else ': it was due on ' || to_char(queue_scheduled.send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD') || ' (UTC)' end
    end;
    if why_code = 'expired' then
        result := 'cancelled';
        if exists (select 1 from smsretry.restores r
                   where queue_scheduled.send.scheduled_for between r.since and r.restored_at) then
            why := why || '. It may have gone out before the database was restored: look in the provider''s log';
        end if;
    end if;
    if why_code is null then
        -- One that is made now is this text's, whatever a trigger of the application's made of its words.
        v_made := smsretry.make_send_log(
            queue_scheduled.send.id, queue_scheduled.send.business_id, queue_scheduled.send.customer_id,
            queue_scheduled.send.body, queue_scheduled.at);
        if v_made or exists (
                select 1 from public.send_logs l
                where l.id = queue_scheduled.send.id and l.business_id = queue_scheduled.send.business_id
                  and l.customer_id = queue_scheduled.send.customer_id and l.subject = queue_scheduled.send.body) then
            select q.retry_id into retry_id
            from public.queue_sms_retry(
                send_log_id => queue_scheduled.send.id, scheduled_for => queue_scheduled.send.scheduled_for,
                expires_in => queue_scheduled.send.not_after - smsretry.clock(), -- queue_sms_retry adds it to that
                message_class => queue_scheduled.send.message_class) q;
            result := 'queued';
        else
            why_code := 'id_taken';
            why := 'Its id is that of another send log: schedule the text anew';
        end if;
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = left(queue_scheduled.why, 2000), why_code = queue_scheduled.why_code, held_since = null, look_at = null,
        not_after = queue_scheduled.send.not_after,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = queue_scheduled.send.id
    returning s.status into v_status;
    if coalesce(v_status = 'scheduled', true) then
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that', result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- what is only asked at the end would undo the others, too
end
$$;

revoke all on function smsretry.queue_scheduled from public, anon, authenticated;
grant execute on function smsretry.queue_scheduled to service_role;
