-- Record what the provider said of a message, and what follows. May be repeated.
--   delivery_status, error_code: what the provider reports
--   decision:
--     ask_again: nothing final yet; ask again in ask_in
--     close: nothing follows: it was delivered, or another message of the text counts, or (with
--       delivery_status unknown) the provider reported nothing final for long enough
--     send_again: it did not arrive: the row is queued again, due in due_in, with every check
--       made anew
--     give_up: it did not arrive: the row fails with why
--   ask_in: also with send_again and give_up, because an undelivered message may still arrive
--   counted: whether a message that is sent again was an attempt and a failed delivery; not if the
--     trouble is its sender's
--   held: whether that trouble is something that a person can mend
-- It returns
--   applied: it is recorded
--   claim_lost: another run or a callback settled it
--   changed: the decision no longer fits, or was applied before: the provider is asked again
create or replace function public.finish_sms_delivery(
    attempt_id uuid,
    asks integer,
    decision text,
    delivery_status text default null,
    error_code integer default null,
    ask_in interval default null,
    due_in interval default null,
    why text default null,
    why_code text default null,
    counted boolean default true,
    held boolean default false
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as smsretry.fenced
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_fails constant boolean := decision in ('send_again', 'give_up');
    v_trouble text;
begin
    if (
        decision in ('ask_again', 'close', 'send_again', 'give_up')
    ) is not true
        or decision = 'ask_again' and ask_in is null
        or decision = 'send_again' and due_in is null
        or v_fails and why is null
    then
        raise exception 'decision must be ask_again (with ask_in), close, send_again (with due_in and why) or give_up (with why)'
            using errcode = 'SR422';
    end if;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = (
        select a.retry_id
        from public.sms_send_attempts a
        where a.id = attempt_id
    )
    for update;
    v_now := smsretry.clock();
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = attempt_id
    for update;
    if (v_attempt.delivery_asks = asks) is not true then
        return 'claim_lost';
    elsif v_attempt.delivery_ask_at is null then
        -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id,
        delivery_status,
        error_code,
        v_now
    );
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = v_attempt.id;
    if v_attempt.delivery_ask_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    -- It acts on a failure, and the text may have arrived or waits again; or it saw none, and a
    -- callback has reported one since.
    if (
        case
            when v_fails
                then not smsretry.is_lost(v_attempt.delivery_status)
                    or v_row.status <> 'completed'
                    or smsretry.may_have_arrived(v_row.send_log_id, v_attempt.id)
                    or exists (
                        select from public.sms_retry_queue q
                        where q.send_log_id = v_row.send_log_id
                          and q.status in ('pending', 'processing')
                    )
            else smsretry.is_lost(v_attempt.delivery_status)
                and not smsretry.is_lost(delivery_status)
                and v_attempt.delivery_ask_at <= v_now
        end
    ) then
        return 'changed';
    end if;
    update public.sms_send_attempts a
    set
        delivery_ask_at = v_now + ask_in,
        delivery_excused = a.delivery_excused
            or decision = 'send_again' and not counted
    where a.id = v_attempt.id;
    if decision = 'send_again' then
        -- First, because a log that still says sent would end the text unsent.
        v_trouble := smsretry.update_log(
            v_row.send_log_id,
            '{null,failed}',
            null,
            why,
            v_now
        );
        if v_trouble is not null then
            raise exception 'Send log % cannot be told that its text waits: %',
                v_row.send_log_id,
                v_trouble
                using errcode = 'SR409',
                      hint = 'Look at the rules and triggers of send_logs. It is tried again when the lease of this look is over.';
        end if;
        v_row.attempt_count := case
            when counted
                then greatest(v_row.attempt_count, v_attempt.attempt_number)
            else greatest(v_attempt.attempt_number - 1, 0)
        end;
        v_row.last_error := why;
        v_row.error_code := v_attempt.delivery_code;
        v_row.reason := 'twilio_error';
        v_row.why := case when not counted then why end;
        v_row.held_since := case when held then v_now end;
        v_row.why_code := why_code;
        v_row.recover_count := 0;
        v_row.reconcile_count := 0;
        perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
    elsif decision = 'give_up' then
        perform smsretry.save_row(
            v_row,
            v_now,
            ended => 'failed',
            why => why,
            why_code => why_code,
            code => v_attempt.delivery_code
        );
        perform smsretry.update_log(
            v_row.send_log_id,
            '{undelivered,sent}',
            v_attempt.twilio_sid,
            why,
            v_now
        );
    end if;
    return 'applied';
end
$$;
