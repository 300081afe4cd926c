-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row, or (why says so) it is now in doubt about an earlier send
--     | changed  number, zone, hours, customer, words, class, stopped states, send log or sender are no longer what the decision
--       was made from: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | spent    the sender has used its day, which turns over at reached_at
--     | held     the worker and the mark of the database disagree; it waits until reached_at
--     | ended    the row is finished; why and why_code say the reason
-- sender_id: of smsretry.senders; null: the environment's. sent_account and sent_by are what the request will name.
-- decided_at: the database's clock. phone and body are kept until the outcome is known. expires_at: when the text
-- is of no more use, if nothing has said so before; otherwise life: how long it is of use from now on.
-- send_to: whom the worker texts (all, listed, nobody; null: all); listed: whether this text is for one of those. address: at which it
-- reaches the database (smsretry.mark).
create or replace function public.begin_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, send_before timestamptz, quiet_hours_rule text,
    first_send boolean default false, cap integer default null, cap_since timestamptz default null,
    phone text default null, body text default null, sent_by text default null, decided_by text default null,
    life interval default null, run_id uuid default null, expires_at timestamptz default null,
    sender_id uuid default null, sent_account text default null, segments integer default null,
    send_to text default null, listed boolean default null, address text default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the customer or the send log locked, this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if claim_no is null or attempt_id is null or send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if send_to not in ('all', 'listed', 'nobody') then
        raise exception 'send_to must be all, listed or nobody' using errcode = 'SR422';
    end if;
    if cap is not null and cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    v_row := smsretry.fenced(retry_id, claim_no);
    decided_at := smsretry.clock();
    if v_row.id is null or v_row.in_doubt_since is not null or v_row.begun_at is not null and v_row.attempt_id <> attempt_id then
        answer := 'lost';
    elsif v_row.begun_at is not null then
        answer := 'go'; -- the answer to the same call was lost on its way
    else
        select a.answer, a.why, a.why_code, a.decided_at, case when a.answer in ('capped', 'spent') then a.reached_at end
        into answer, why, why_code, decided_at, reached_at
        from smsretry.admit_send(v_row, send_before, phone, decided_by, cap, cap_since, expires_at, life, sender_id, segments) a;
        if answer = 'go' then
            select w.answer, w.why, w.why_code, w.reached_at into answer, why, why_code, reached_at
            from smsretry.withhold_send(
                v_row, send_to, listed, address, coalesce(expires_at, decided_at + life), decided_at) w;
        end if;
        if answer = 'go' then
            perform smsretry.write_attempt(
                v_row, attempt_id, case when first_send then 0 else v_row.attempt_count + 1 end, decided_at,
                quiet_hours_rule, body, sent_by, run_id, sent_account, segments);
            v_row.begun_at := decided_at;
            v_row.attempt_id := attempt_id;
            v_row.last_attempted_at := decided_at;
            v_row.why := null;
            v_row.why_code := null;
            v_row.held_since := null;
            v_row.recover_count := 0;
            v_row.claimed_by_application := false;
            v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
            perform smsretry.save_row(v_row, decided_at);
        end if;
    end if;
    return next;
end
$$;
