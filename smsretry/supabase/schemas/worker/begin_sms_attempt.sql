-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row; or, where why says so, it is in doubt from now on about an earlier send,
--                one that a restored backup may have forgotten included
--     | changed  the customer's number, a zone or the business's hours are no longer what the decision was made from, or
--                the customer or the send log is gone: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | ended    the row is finished, and why says for what reason, why_code for programs
-- The cap's span is the caller's choice: a moment 24 hours ago, or the start of a calendar day. decided_at is the
-- database's clock. What is sent (phone, body, sent_by) is kept until it is known what became of it. expires_at: when the
-- text is of no more use, if nothing has said so before; without it, life: how long it is of use from this moment on.
-- run_id: the run that asks.
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    cap integer default null,
    cap_since timestamptz default null,
    phone text default null,
    body text default null,
    sent_by text default null,
    decided_by text default null,
    life interval default null,
    run_id uuid default null,
    expires_at timestamptz default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- Somebody else's long transaction may hold the customer or the send log locked. Then this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
    v_refusal record;
    v_reached_at timestamptz;
    v_why text;
begin
    perform smsretry.wait_shortly();
    if begin_sms_attempt.claim_no is null or begin_sms_attempt.attempt_id is null or begin_sms_attempt.send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if begin_sms_attempt.cap is not null and begin_sms_attempt.cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, capped or not, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, begin_sms_attempt.phone)
    from public.sms_retry_queue q where q.id = begin_sms_attempt.retry_id;
    v_row := smsretry.held(begin_sms_attempt.retry_id, begin_sms_attempt.claim_no);
    v_now := smsretry.clock(); -- after the locks: waiting for them took time
    if v_row.id is null or v_row.in_doubt_since is not null
        or v_row.begun_at is not null and v_row.attempt_id <> begin_sms_attempt.attempt_id then
        return query select 'lost', null::text, v_now, null::timestamptz, null::text;
        return;
    end if;
    if v_row.begun_at is not null then -- the answer to the same call was lost on its way
        return query select 'go', null::text, v_now, null::timestamptz, null::text;
        return;
    end if;

    -- `for share`: an opt-out either is seen here or waits until this send is begun. None slips between.
    select * into v_customer from public.customers c
    where c.id = v_row.customer_id and c.business_id = v_row.business_id for share;
    if begin_sms_attempt.phone is null then
        perform smsretry.lock_number(v_row.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(v_row.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = v_row.business_id;
    if begin_sms_attempt.cap is not null then
        v_reached_at := smsretry.cap_reached_at(
            v_row.business_id, v_customer.phone, begin_sms_attempt.cap, begin_sms_attempt.cap_since);
    end if;
    -- `for share` here, too: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = v_row.send_log_id and l.business_id = v_row.business_id for share;
    v_now := smsretry.clock(); -- after these locks, too
    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        return query select 'changed', null::text, v_now, null::timestamptz, null::text; -- deleted: the next decision says so
        return;
    end if;
    v_refusal := smsretry.refusal(
        smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key);
    if v_refusal.why is null and v_row.expires_at <= v_now then
        v_refusal.why := 'Expired before it could be sent';
        v_refusal.why_code := 'expired';
    end if;
    if v_refusal.why is not null then
        perform smsretry.close_row(v_row, 'cancelled', v_refusal.why, v_refusal.why_code, null, v_now);
        return query select 'ended', v_refusal.why, v_now, null::timestamptz, v_refusal.why_code;
        return;
    end if;
    v_row.expires_at := coalesce(v_row.expires_at, begin_sms_attempt.expires_at, v_now + begin_sms_attempt.life);
    v_why := smsretry.put_in_doubt(v_row, v_now);
    if v_why is not null then
        return query select 'lost', v_why, v_now, null::timestamptz, q.why_code
        from public.sms_retry_queue q where q.id = v_row.id;
        return;
    end if;
    if v_now >= begin_sms_attempt.send_before then
        return query select 'closed', null::text, v_now, null::timestamptz, null::text;
        return;
    end if;
    if v_customer.phone is distinct from coalesce(begin_sms_attempt.phone, v_customer.phone)
        or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours)
            <> begin_sms_attempt.decided_by then
        return query select 'changed', null::text, v_now, null::timestamptz, null::text;
        return;
    end if;
    if v_reached_at is not null then
        return query select 'capped', null::text, v_now, v_reached_at, null::text;
        return;
    end if;

    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id)
    values (begin_sms_attempt.attempt_id, v_row.id,
            case when begin_sms_attempt.first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no, v_now, left(v_customer.sms_consent_status::text, 40), v_customer.sms_consent_at,
            left(v_customer.sms_consent_source::text, 200), begin_sms_attempt.quiet_hours_rule,
            v_key, left(v_customer.phone, 40), coalesce(begin_sms_attempt.body, left(v_log.subject, 1601)), begin_sms_attempt.sent_by,
            begin_sms_attempt.run_id);
    v_row.begun_at := v_now;
    v_row.attempt_id := begin_sms_attempt.attempt_id;
    v_row.last_attempted_at := v_now;
    v_row.why := null;
    v_row.why_code := null;
    v_row.held_since := null;
    v_row.recover_count := 0;
    v_row.claimed_by_application := false;
    perform smsretry.save_row(v_row, v_now);
    return query select 'go', null::text, v_now, null::timestamptz, null::text;
end
$$;

revoke all on function public.begin_sms_attempt from public, anon, authenticated;
grant execute on function public.begin_sms_attempt to service_role;
