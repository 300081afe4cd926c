-- Record what the provider reports of a message; true if that is news. Reports may come late, twice
-- and in any order. A failure is due for a decision at once. A delivery ends the matter and takes
-- back a failure or a cancellation.
create or replace function smsretry.record_delivery(
    attempt_id uuid,
    status text,
    code integer,
    at timestamptz
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    -- a failure is due first: its text may still arrive in time
    k_before_all constant interval := '3 days';
    v_rank constant integer := smsretry.delivery_rank(status);
    v_lost constant boolean := smsretry.is_lost(status);
    v_arrived constant boolean := smsretry.delivery_of(status) = 'delivered';
    v_known_rank integer;
    v_attempt public.sms_send_attempts;
    v_row public.sms_retry_queue;
    v_other public.sms_retry_queue;
begin
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = attempt_id
    for update;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = v_attempt.retry_id;
    v_known_rank := coalesce(smsretry.delivery_rank(v_attempt.delivery_status), 0);
    if v_lost
        and v_rank = v_known_rank
        and v_attempt.delivery_code is null
    then -- the report that said why came second
        update public.sms_send_attempts a
        set delivery_code = code
        where a.id = v_attempt.id;
        return code is not null;
    end if;
    if (v_rank > v_known_rank) is not true then
        return false;
    end if;
    update public.sms_send_attempts a
    set
        delivery_status = status,
        delivery_at = at,
        delivery_code = case when v_lost then code end,
        delivery_ask_at = case
            when v_lost then at - k_before_all
            when not v_arrived and status <> 'unknown' then a.delivery_ask_at
        end
    where a.id = v_attempt.id;

    if v_lost
        and v_attempt.twilio_sid = (
            select smsretry.found_sid(l.provider_message_id)
            from public.send_logs l
            where l.id = v_row.send_log_id
        ) then
        perform smsretry.update_log(
            v_row.send_log_id,
            '{undelivered,sent}',
            v_attempt.twilio_sid,
            coalesce('Not delivered: code ' || code, 'Not delivered'),
            at
        );
    elsif v_arrived
        and smsretry.delivery_of(v_attempt.delivery_status) <> 'delivered'
    then
        -- It was to be sent again, given up or cancelled, or the text was queued anew. A send that
        -- is under way ends by itself.
        for v_other in
            select q.*
            from public.sms_retry_queue q
            where q.send_log_id = v_row.send_log_id
              and q.business_id = v_row.business_id
              -- is true: by its text alone; with old statistics an index of all that waits is
              -- walked
              and (
                  q.status = 'pending' and q.in_doubt_since is null
                  or q.id = v_row.id and q.status in ('failed', 'cancelled')
              ) is true
            for update
        loop
            perform smsretry.save_row(
                v_other,
                at,
                ended => 'completed',
                sid => v_attempt.twilio_sid, -- earlier reports of it stay
                why => case v_other.status
                    when 'failed'
                        then 'It was delivered after all. Before that it had failed: '
                    when 'cancelled'
                        then 'It was delivered after all. Before that it had been cancelled: '
                end || coalesce(v_other.last_error, 'no reason was kept')
            );
        end loop;
        perform smsretry.update_log(
            v_row.send_log_id,
            '{delivered,sent}',
            v_attempt.twilio_sid,
            null,
            at
        );
    end if;
    return true;
end
$$;
