-- Record the outcome of a begun send, and where its row goes: attempt, row and send log in one
-- transaction. A repeated call changes nothing.
--   outcome, next_status: accepted and completed; rejected or not_sent, and pending or failed;
--     in_doubt and pending
--   due_in: when a pending row is due
--   counted: whether the send costs an attempt
--   held: whether it waits for something that a person can mend, which why says
--   refused_for: what that is, if one text of its sender tries it for all (smsretry.tried_by)
--   applied: false: the claim was lost
create or replace function public.finish_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    outcome text,
    next_status text,
    why text default null,
    error_code integer default null,
    twilio_sid text default null,
    due_in interval default null,
    reason text default null,
    counted boolean default true,
    held boolean default false,
    why_code text default null,
    refused_for text default null
)
returns table (
    applied boolean,
    status text,
    scheduled_for timestamptz,
    attempt_count integer
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_doubt constant boolean := outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
begin
    if (
        (outcome, next_status) in (
            ('accepted', 'completed'),
            ('rejected', 'pending'),
            ('rejected', 'failed'),
            ('not_sent', 'pending'),
            ('not_sent', 'failed'),
            ('in_doubt', 'pending')
        )
    ) is not true
        or next_status = 'pending' and due_in is null
        or next_status <> 'completed'
            and (why is null or twilio_sid is not null)
    then
        raise exception 'A send whose outcome is % cannot leave its row % (pending needs due_in; what did not go out why, and no SID)',
            outcome,
            next_status
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    applied := coalesce(
        v_row.begun_at is not null
        and v_row.attempt_id = attempt_id,
        false
    );

    if applied then
        select *
        into v_attempt
        from public.sms_send_attempts a
        where a.id = attempt_id;
        v_row.attempt_count := greatest( -- passes over null
            v_row.attempt_count,
            case when counted then v_attempt.attempt_number end
        );
        v_row.reason := coalesce(reason, v_row.reason);
        if outcome = 'accepted' then
            perform smsretry.accept_attempt(
                v_row,
                attempt_id,
                twilio_sid,
                v_settled_by,
                v_now
            );
            if v_attempt.refused_for is not null then
                perform smsretry.try_release('{destination_refused}');
            end if;
        else
            update public.sms_send_attempts a
            set
                finished_at = v_now,
                outcome = finish_sms_attempt.outcome,
                error_code = finish_sms_attempt.error_code,
                settled_by = v_settled_by,
                refused_for = finish_sms_attempt.refused_for,
                sent_to = case when v_doubt then a.sent_to end,
                sent_body = case when v_doubt then a.sent_body end
            where a.id = attempt_id;
            if not v_doubt then
                -- What did not go out took nothing of its sender's day, which is given back while
                -- that day lasts.
                update smsretry.senders s
                set day_segments = greatest(s.day_segments - v_attempt.segments, 0)
                where s.account = v_attempt.sent_account
                  and s.sent_by = v_attempt.sent_by
                  and s.day_ends_at = smsretry.carriers_midnight(
                      v_attempt.begun_at
                  );
            end if;
            v_row.last_error := why;
            v_row.why_code := why_code;
            v_row.error_code := error_code;
            v_row.why := case when held then why end;
            v_row.held_since := case when held then v_now end;
            v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
            v_row.in_doubt_since := case when v_doubt then v_now end;
            if next_status = 'failed' then
                perform smsretry.save_row(
                    v_row,
                    v_now,
                    ended => 'failed',
                    why => why,
                    why_code => why_code,
                    code => error_code
                );
            else
                perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
            end if;
        end if;
    else
        -- Applied before: the answer to the same call was lost, or the provider's callback was
        -- faster.
        applied := exists (
            select from public.sms_send_attempts a
            where a.id = attempt_id
              and a.retry_id = finish_sms_attempt.retry_id
              and a.claim_no = finish_sms_attempt.claim_no
              and (
                  a.settled_by = 'callback'
                  or a.outcome = finish_sms_attempt.outcome
                      and a.settled_by is not distinct from v_settled_by
              )
        );
    end if;
    select q.status, q.scheduled_for, q.attempt_count
    into status, scheduled_for, attempt_count
    from public.sms_retry_queue q
    where q.id = retry_id;
    return next;
end
$$;
