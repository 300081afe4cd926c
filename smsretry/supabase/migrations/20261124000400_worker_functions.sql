-- What a worker does with a row: claim, begin, finish, defer, end; and recovery of what a dead worker left.
-- Each is one transaction. Each write about a row is fenced: it names the claim number its worker holds, and a
-- worker that lost its claim changes nothing.

-- A row with all that decides about it. security_invoker: row level security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, q.last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.message_class,
       (select a.begun_at from public.sms_send_attempts a where a.id = q.attempt_id) as attempt_begun_at,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       l.id is not null as send_log_found, l.subject as body, l.status as send_log_status,
       l.provider_message_id ->> 'twilio_sid' as known_sid,
       c.id is not null as customer_found, c.phone, c.timezone, c.sms_consent_status,
       b.timezone as business_timezone, b.sms_hours as business_hours
from public.sms_retry_queue q
left join public.send_logs l on l.id = q.send_log_id
left join public.customers c on c.id = q.customer_id
left join public.businesses b on b.id = q.business_id;

-- Take up to limit_count due rows (clamped to 500: PostgREST truncates answers at 1000), in turns: each
-- business's first due row, then each one's second. claimed_at is the database's clock. Rows in doubt are not taken:
-- whoever calls this sends what it gets.
create or replace function public.claim_due_sms_retries(limit_count integer default 50)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = ''
-- A generic plan does not know the limit, expects thousands of candidates, and would read the whole queue to join them.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    v_ids uuid[];
begin
    with recursive business (id) as (
        -- One index probe a business, instead of reading every due row of the busiest one.
        (select q.business_id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null
         order by q.business_id limit 1)
        union all
        select (select q.business_id from public.sms_retry_queue q
                where q.status = 'pending' and q.in_doubt_since is null and q.business_id > b.id
                order by q.business_id limit 1)
        from business b where b.id is not null
    ),
    candidate as materialized (
        -- Twice the limit, so that rows another claimer holds locked can be passed over.
        select d.id, d.scheduled_for,
               row_number() over (partition by b.id order by d.scheduled_for, d.id) as turn
        from business b
        cross join lateral (
            select q.id, q.scheduled_for from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null
              and q.business_id = b.id and q.scheduled_for <= v_now
            order by q.scheduled_for, q.id
            limit 2 * v_limit
        ) d
        where b.id is not null
    ),
    -- A materialized CTE, because `update … where id in (select … limit n for update skip locked)` may run
    -- its subquery once a row on a table without statistics, and then claims far more than n.
    due as materialized (
        select q.id
        from candidate c
        join public.sms_retry_queue q on q.id = c.id
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now
        order by c.turn, c.scheduled_for, c.id
        limit v_limit
        for update of q skip locked
    ),
    claimed as (
        update public.sms_retry_queue q
        set status = 'processing', claim_no = q.claim_no + 1, claimed_at = v_now,
            begun_at = null, attempt_id = null, updated_at = v_now
        from due d
        where q.id = d.id
        returning q.id
    )
    select array_agg(c.id) into v_ids from claimed c;

    return query
    select r.* from smsretry.claimed_retry r where r.id = any (v_ids) order by r.scheduled_for, r.id;
end
$$;

-- Claim one pending row by its id, due or not: for the caller who has just queued it and sends it at once.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = v_now,
        begun_at = null, attempt_id = null, updated_at = v_now
    where q.id = claim_sms_retry.retry_id and q.status = 'pending' and q.in_doubt_since is null;
    if found then
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
    end if;
end
$$;

-- Take up to limit_count rows in doubt whose next look has come, to look for evidence of what became of their attempt.
create or replace function public.claim_doubtful_sms_retries(limit_count integer default 50)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids uuid[];
begin
    with due as materialized (
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is not null and q.scheduled_for <= v_now
        order by q.scheduled_for, q.id
        limit least(greatest(coalesce(limit_count, 50), 0), 500)
        for update skip locked
    ),
    claimed as (
        update public.sms_retry_queue q
        set status = 'processing', claim_no = q.claim_no + 1, claimed_at = v_now, begun_at = null, updated_at = v_now
        from due d
        where q.id = d.id
        returning q.id
    )
    select array_agg(c.id) into v_ids from claimed c;

    return query
    select r.* from smsretry.claimed_retry r where r.id = any (v_ids) order by r.scheduled_for, r.id;
end
$$;

-- When one more text may go to a number, by a cap on texts in 24 hours; null: now. Counted is what may have reached
-- the phone from this business: sends accepted, in doubt or under way, and what the application sent itself.
create or replace function smsretry.capped_until(business_id uuid, phone text, cap integer, at timestamptz)
returns timestamptz language sql set search_path = '' as $$
    with person as materialized (
        select c.id from public.customers c
        where c.phone = capped_until.phone and c.business_id = capped_until.business_id
    ),
    reached (at) as (
        select coalesce(a.finished_at, a.begun_at)
        from person p
        join public.sms_retry_queue q on q.customer_id = p.id
        join public.sms_send_attempts a on a.retry_id = q.id
        where coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where l.channel = 'sms' and smsretry.is_sent(l.provider_message_id)
          and not exists (select 1 from public.sms_retry_queue q
                          join public.sms_send_attempts a on a.retry_id = q.id
                          where q.send_log_id = l.id and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt'))
    )
    -- The text that must be a day old before there is room for one more: the cap-th from the end.
    select r.at + interval '24 hours' from reached r
    where r.at > capped_until.at - interval '24 hours'
    order by r.at desc
    offset greatest(capped_until.cap, 1) - 1 limit 1
$$;

-- Just before the request leaves: may it, still? The attempt's row is written in the same transaction that
-- reads consent and counts the texts of the day. May be repeated with the same attempt_id.
--   verdict: go | lost (another worker has the row) | changed (phone is the customer's number no longer) | closed
--   (send_before has come: decide again) | capped (the number has had daily_cap texts in 24 hours: not before free_at)
--   | ended (the row is finished, reason says why)
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    daily_cap integer default null,
    phone text default null
)
returns table (verdict text, reason text, decided_at timestamptz, free_at timestamptz)
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_customer public.customers;
    v_sent boolean;
    v_refusal text;
    v_free_at timestamptz;
begin
    if begin_sms_attempt.claim_no is null or begin_sms_attempt.attempt_id is null or begin_sms_attempt.send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked' using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q where q.id = begin_sms_attempt.retry_id for update;
    v_now := smsretry.clock(); -- after the lock: waiting for it took time
    if not found or v_row.status <> 'processing' or v_row.claim_no <> begin_sms_attempt.claim_no
        or v_row.in_doubt_since is not null
        or v_row.begun_at is not null and v_row.attempt_id <> begin_sms_attempt.attempt_id then
        return query select 'lost', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_row.begun_at is not null then -- the answer to the same call was lost on its way
        return query select 'go', null::text, v_now, null::timestamptz;
        return;
    end if;

    -- `for share`: an opt-out either is seen here or waits until this send is begun. None slips between.
    select * into v_customer from public.customers c where c.id = v_row.customer_id for share;
    if v_customer.phone is not null then
        -- One at a time to a number, capped or not, or two texts would each count without the other.
        perform pg_advisory_xact_lock(hashtextextended(v_row.business_id::text || v_customer.phone, 0));
    end if;
    if begin_sms_attempt.daily_cap is not null then
        v_free_at := smsretry.capped_until(v_row.business_id, v_customer.phone, begin_sms_attempt.daily_cap, v_now);
    end if;
    v_now := smsretry.clock();
    select smsretry.is_sent(l.provider_message_id) into v_sent from public.send_logs l where l.id = v_row.send_log_id;
    v_refusal := case
        when v_sent then 'Already sent'
        when v_customer.sms_consent_status = 'opted_out' then 'Customer opted out'
        when v_customer.sms_consent_status is distinct from 'opted_in'
            then 'Customer opted out (consent is ' || coalesce(v_customer.sms_consent_status, 'missing') || ')'
        when v_row.expires_at <= v_now then 'Expired before it could be sent'
    end;
    if v_refusal is not null then
        perform smsretry.close_row(v_row.id, 'cancelled', v_refusal, null, v_now);
        return query select 'ended', v_refusal, v_now, null::timestamptz;
        return;
    end if;
    if v_now >= begin_sms_attempt.send_before then
        return query select 'closed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_customer.phone is distinct from coalesce(begin_sms_attempt.phone, v_customer.phone) then
        return query select 'changed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_free_at > v_now then
        return query select 'capped', null::text, v_now, v_free_at;
        return;
    end if;

    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule)
    values (begin_sms_attempt.attempt_id, v_row.id,
            case when begin_sms_attempt.first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no, v_now, v_customer.sms_consent_status, v_customer.sms_consent_at,
            v_customer.sms_consent_source, begin_sms_attempt.quiet_hours_rule);
    update public.sms_retry_queue q
    set begun_at = v_now, attempt_id = begin_sms_attempt.attempt_id, last_attempted_at = v_now, why = null, updated_at = v_now
    where q.id = v_row.id;
    return query select 'go', null::text, v_now, null::timestamptz;
end
$$;

-- What became of a begun send, and where its row goes: attempt, row and send log in one transaction.
-- May be repeated: the second call finds the attempt settled and changes nothing.
--   outcome → next_status: accepted → completed; rejected, not_sent → pending (after retry_in) or failed;
--   in_doubt → pending, marked, and out of reach of the claim
-- What Twilio says of the number it was sent to (`phone`) is kept: opted_out ends the consent of everybody at the business
-- who has it, phone_status tells the application that the number takes no texts.
create or replace function public.finish_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    outcome text,
    next_status text,
    error text default null,
    error_code integer default null,
    twilio_sid text default null,
    retry_in interval default null,
    reason text default null,
    counted boolean default true,
    phone text default null,
    opted_out boolean default false,
    phone_status text default null
)
returns table (applied boolean, status text, scheduled_for timestamptz, attempt_count integer)
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_count integer;
begin
    if ((finish_sms_attempt.outcome, finish_sms_attempt.next_status) in (
        ('accepted', 'completed'), ('rejected', 'pending'), ('rejected', 'failed'),
        ('not_sent', 'pending'), ('not_sent', 'failed'), ('in_doubt', 'pending'))) is not true then
        raise exception 'A send that ended % cannot leave its row %', finish_sms_attempt.outcome, finish_sms_attempt.next_status
            using errcode = 'SR422';
    end if;
    if finish_sms_attempt.next_status = 'pending' and finish_sms_attempt.retry_in is null then
        raise exception 'retry_in is missing: a row that goes back to pending needs a time' using errcode = 'SR422';
    end if;
    if finish_sms_attempt.next_status <> 'completed' and finish_sms_attempt.error is null then
        raise exception 'error is missing: a text that did not go out needs a reason' using errcode = 'SR422';
    end if;

    select * into v_row from public.sms_retry_queue q where q.id = finish_sms_attempt.retry_id for update;
    select * into v_attempt from public.sms_send_attempts a
    where a.id = finish_sms_attempt.attempt_id and a.retry_id = finish_sms_attempt.retry_id;
    v_now := smsretry.clock();

    if v_row.begun_at is not null and v_row.claim_no = finish_sms_attempt.claim_no
        and v_row.attempt_id = finish_sms_attempt.attempt_id then
        v_count := case when finish_sms_attempt.counted
                        then greatest(v_row.attempt_count, v_attempt.attempt_number) else v_row.attempt_count end;
        update public.sms_send_attempts a
        set finished_at = v_now, outcome = finish_sms_attempt.outcome, error_code = finish_sms_attempt.error_code,
            twilio_sid = finish_sms_attempt.twilio_sid,
            settled_by = case when finish_sms_attempt.outcome <> 'in_doubt' then 'response' end
        where a.id = v_attempt.id;

        update public.sms_retry_queue q
        set status = finish_sms_attempt.next_status,
            attempt_count = v_count,
            scheduled_for = coalesce(v_now + finish_sms_attempt.retry_in, q.scheduled_for),
            reason = coalesce(finish_sms_attempt.reason, q.reason),
            rate_limit_count = q.rate_limit_count + (finish_sms_attempt.reason is not distinct from 'rate_limit')::integer,
            last_error = finish_sms_attempt.error,
            error_code = finish_sms_attempt.error_code,
            claimed_at = null, begun_at = null,
            attempt_id = case when finish_sms_attempt.outcome = 'in_doubt' then q.attempt_id end,
            in_doubt_since = case when finish_sms_attempt.outcome = 'in_doubt' then v_now end,
            updated_at = v_now
        where q.id = v_row.id;

        if finish_sms_attempt.next_status = 'completed' then
            perform smsretry.complete_row(v_row.id, finish_sms_attempt.twilio_sid, v_now);
        elsif finish_sms_attempt.next_status = 'failed' then
            perform smsretry.close_row(v_row.id, 'failed', finish_sms_attempt.error, finish_sms_attempt.error_code, v_now);
        end if;
        if finish_sms_attempt.opted_out or finish_sms_attempt.phone_status is not null then
            begin
                if finish_sms_attempt.opted_out then
                    perform smsretry.set_consent(
                        v_row.business_id, v_row.customer_id, finish_sms_attempt.phone, 'opted_out',
                        'twilio_' || finish_sms_attempt.error_code, v_now);
                end if;
                update public.customers c set phone_status = finish_sms_attempt.phone_status
                where c.business_id = v_row.business_id and c.phone = finish_sms_attempt.phone
                  and finish_sms_attempt.phone_status is not null;
            exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- a trouble of the moment: the call is repeated
            when others then
                -- The columns, checks and triggers are the application's. If they refuse the mark, the outcome counts
                -- all the same, and Twilio will refuse the next text as it did this one.
                raise warning 'The customer of row % could not be marked after Twilio''s %: %',
                    v_row.id, finish_sms_attempt.error_code, sqlstate;
            end;
        end if;
    elsif v_attempt.claim_no is distinct from finish_sms_attempt.claim_no
        or not (v_attempt.settled_by is not distinct from 'callback' -- Twilio's report was faster than its answer
                or v_attempt.outcome is not distinct from finish_sms_attempt.outcome
                   and v_attempt.settled_by is not distinct from
                       (case when finish_sms_attempt.outcome <> 'in_doubt' then 'response' end)) then
        return query select false, v_row.status, v_row.scheduled_for, v_row.attempt_count;
        return;
    end if;

    return query
    select true, q.status, q.scheduled_for, q.attempt_count from public.sms_retry_queue q where q.id = finish_sms_attempt.retry_id;
end
$$;

-- What a look for evidence came to, for a row in doubt that the caller has claimed.
--   accepted: it was found (twilio_sid; null when only the send log tells)   look_again: not found, look_in from now
--   look_failed: the look itself failed, which is no evidence of anything    resend: the quarantine is over
--   hold: likewise, but a person is to decide
-- Answers applied, lost (the claim), sid_taken (another attempt has that name: look at the next message), or wait (a send
-- to the same number has no answer yet: a message found now may be that one's, and taking it would lose a text).
-- May be repeated.
create or replace function public.reconcile_sms_retry(
    retry_id uuid,
    claim_no bigint,
    verdict text,
    twilio_sid text default null,
    settled_by text default 'reconcile',
    look_in interval default null,
    error text default null
)
returns text language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if (reconcile_sms_retry.verdict in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')) is not true
        or reconcile_sms_retry.verdict like 'look%' and reconcile_sms_retry.look_in is null
        or reconcile_sms_retry.verdict = 'hold' and reconcile_sms_retry.error is null then
        raise exception 'verdict must be accepted, look_again or look_failed (with look_in), resend, or hold (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q where q.id = reconcile_sms_retry.retry_id for update;
    v_now := smsretry.clock();
    if not found or v_row.status <> 'processing' or v_row.claim_no is distinct from reconcile_sms_retry.claim_no
        or v_row.begun_at is not null or v_row.in_doubt_since is null then
        -- Applied already: the answer to the same call was lost on its way.
        return case when v_row.reconciled_claim_no = reconcile_sms_retry.claim_no then 'applied' else 'lost' end;
    end if;
    -- In this order: an answer that comes in between is then seen as a taken SID, and never missed by both.
    if reconcile_sms_retry.twilio_sid is not null and exists (
        select 1 from public.sms_retry_queue q
        join public.customers theirs on theirs.id = q.customer_id
        join public.customers ours on ours.id = v_row.customer_id and ours.phone = theirs.phone
        where q.status = 'processing' and q.begun_at is not null and q.id <> v_row.id) then
        return 'wait';
    end if;
    if exists (select 1 from public.sms_send_attempts a
               where a.twilio_sid = reconcile_sms_retry.twilio_sid and a.id <> v_row.attempt_id) then
        return 'sid_taken';
    end if;

    case reconcile_sms_retry.verdict
        when 'accepted' then
            update public.sms_send_attempts a
            set outcome = 'accepted', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by,
                twilio_sid = reconcile_sms_retry.twilio_sid, error_code = null
            where a.id = v_row.attempt_id;
            perform smsretry.complete_row(v_row.id, reconcile_sms_retry.twilio_sid, v_now);
        when 'hold' then
            perform smsretry.close_row(v_row.id, 'failed', reconcile_sms_retry.error, null, v_now);
        when 'resend' then
            update public.sms_send_attempts a
            set outcome = 'not_sent', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by
            where a.id = v_row.attempt_id;
            update public.sms_retry_queue q
            set status = 'pending', scheduled_for = v_now, claimed_at = null, attempt_id = null,
                in_doubt_since = null, reconcile_count = 0, updated_at = v_now
            where q.id = v_row.id;
        else
            update public.sms_retry_queue q
            set status = 'pending', scheduled_for = v_now + reconcile_sms_retry.look_in, claimed_at = null,
                reconcile_count = q.reconcile_count + (reconcile_sms_retry.verdict = 'look_again')::integer,
                updated_at = v_now
            where q.id = v_row.id;
    end case;
    update public.sms_retry_queue q set reconciled_claim_no = reconcile_sms_retry.claim_no where q.id = v_row.id;
    return 'applied';
exception when unique_violation then -- two looks found the same message at the same moment
    return 'sid_taken';
end
$$;

-- For the application's webhook: Twilio called the status callback URL that carried this attempt's id, so it has the
-- message. May be called any number of times, in any order, before or after the sender's own answer.
-- Answers settled (the row is completed), recorded (the row had moved on), already_settled, or unknown_attempt.
create or replace function public.settle_sms_attempt(attempt_id uuid, twilio_sid text, settled_by text default 'callback')
returns text language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
begin
    if (settle_sms_attempt.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be a message SID (SM or MM and 32 hexadecimal digits), settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    select q.* into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id)
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    v_now := smsretry.clock();
    if v_attempt.outcome = 'accepted' and v_attempt.twilio_sid is not null then
        return 'already_settled';
    end if;
    if exists (select 1 from public.sms_send_attempts a
               where a.twilio_sid = settle_sms_attempt.twilio_sid and a.id <> v_attempt.id) then
        raise exception 'SID % belongs to another attempt', settle_sms_attempt.twilio_sid using errcode = 'SR422';
    end if;
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = v_now, settled_by = settle_sms_attempt.settled_by,
        twilio_sid = settle_sms_attempt.twilio_sid, error_code = null
    where a.id = v_attempt.id;

    if v_row.status in ('pending', 'processing') and (v_row.begun_at is null or v_row.attempt_id = v_attempt.id) then
        perform smsretry.complete_row(v_row.id, settle_sms_attempt.twilio_sid, v_now);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = v_now,
        provider_message_id = jsonb_build_object('twilio_sid', settle_sms_attempt.twilio_sid)
    where l.id = v_row.send_log_id and not smsretry.is_sent(l.provider_message_id);
    return 'recorded';
end
$$;

-- The circuit breaker's memory between runs. why: what is wrong and what to do; null closes it.
create or replace function public.set_sms_circuit(why text)
returns boolean language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
begin
    if set_sms_circuit.why is null then
        delete from smsretry.circuit where only_one; -- Supabase refuses a delete without where
        return false;
    end if;
    insert into smsretry.circuit (opened_at, why) values (smsretry.clock(), set_sms_circuit.why)
    on conflict (only_one) do update set why = excluded.why;
    return true;
end
$$;

-- Stop marketing texts to a US state; why: the emergency. Null lifts the stop.
create or replace function public.set_sms_state_stop(state text, why text)
returns boolean language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
begin
    if (set_sms_state_stop.state ~ '^[A-Z]{2}$') is not true then
        raise exception 'state must be two capital letters, such as LA' using errcode = 'SR422';
    end if;
    if set_sms_state_stop.why is null then
        delete from smsretry.stopped_states s where s.state = set_sms_state_stop.state;
        return false;
    end if;
    insert into smsretry.stopped_states (state, stopped_at, why)
    values (set_sms_state_stop.state, smsretry.clock(), set_sms_state_stop.why)
    on conflict (state) do update set why = excluded.why;
    return true;
end
$$;

-- Back to pending for a reason that is no failure; costs no attempt. False: the claim was lost.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null
)
returns boolean language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    if defer_sms_retry.until is null then
        raise exception 'until is missing: a deferred row needs a time' using errcode = 'SR422';
    end if;
    update public.sms_retry_queue q
    set status = 'pending', scheduled_for = defer_sms_retry.until,
        reason = coalesce(defer_sms_retry.reason, q.reason), why = defer_sms_retry.why,
        claimed_at = null, updated_at = v_now
    where q.id = defer_sms_retry.retry_id and q.status = 'processing'
      and q.claim_no = defer_sms_retry.claim_no and q.begun_at is null;
    return found or exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = defer_sms_retry.retry_id and q.status = 'pending'
          and q.claim_no = defer_sms_retry.claim_no and q.scheduled_for = defer_sms_retry.until);
end
$$;

-- End a claimed row whose send never began: failed (we gave up) or cancelled (it is no longer wanted).
-- False: the claim was lost.
create or replace function public.end_sms_retry(
    retry_id uuid, claim_no bigint, final_status text, error text, error_code integer default null
)
returns boolean language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
begin
    if (end_sms_retry.final_status in ('failed', 'cancelled')) is not true or end_sms_retry.error is null then
        raise exception 'A row ends failed or cancelled, with a reason' using errcode = 'SR422';
    end if;
    perform 1 from public.sms_retry_queue q
    where q.id = end_sms_retry.retry_id and q.status = 'processing'
      and q.claim_no = end_sms_retry.claim_no and q.begun_at is null
    for update;
    if not found then
        return exists ( -- the answer to the same call was lost on its way
            select 1 from public.sms_retry_queue q
            where q.id = end_sms_retry.retry_id and q.status = end_sms_retry.final_status
              and q.claim_no = end_sms_retry.claim_no and q.last_error = end_sms_retry.error);
    end if;
    perform smsretry.close_row(
        end_sms_retry.retry_id, end_sms_retry.final_status, end_sms_retry.error, end_sms_retry.error_code, smsretry.clock());
    return true;
end
$$;

-- Take back the rows whose worker fell silent. Begun: the text may have gone out, so in doubt, and the attempt
-- counts. Not begun: pending again, free, at most five times. In doubt already: still so. Returns the rows as they are now.
create or replace function public.recover_stuck_sms_retries(stale_minutes integer default 10)
returns setof public.sms_retry_queue
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_recover_cap constant integer := 5;
    v_stale public.sms_retry_queue;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422', hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.status = 'processing'
          and greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
        order by q.id
        limit 500
        for update skip locked
    loop
        begin
            if v_stale.begun_at is not null then
                update public.sms_send_attempts a
                set finished_at = v_now, outcome = 'in_doubt'
                where a.id = v_stale.attempt_id and a.finished_at is null;
                update public.sms_retry_queue q
                set status = 'pending', in_doubt_since = v_now, claimed_at = null, begun_at = null,
                    scheduled_for = v_now + interval '1 minute', -- the first look for evidence
                    attempt_count = greatest(q.attempt_count, coalesce(
                        (select a.attempt_number from public.sms_send_attempts a where a.id = v_stale.attempt_id), 0)),
                    last_error = 'The worker died after the send began: it is unknown whether the text went out',
                    error_code = null, updated_at = v_now
                where q.id = v_stale.id;
            elsif v_stale.in_doubt_since is not null then
                -- Died while it looked for evidence. Not capped: to give such a row up would call a text failed that
                -- may have been read. The next look comes a minute later.
                update public.sms_retry_queue q
                set status = 'pending', scheduled_for = v_now + interval '1 minute', claimed_at = null, updated_at = v_now
                where q.id = v_stale.id;
            elsif v_stale.recover_count >= v_recover_cap then
                perform smsretry.close_row(
                    v_stale.id, 'failed', 'Gave up: ' || v_stale.recover_count + 1 || ' workers died while they held this row',
                    null, v_now);
            else
                update public.sms_retry_queue q
                set status = 'pending', recover_count = q.recover_count + 1, claimed_at = null, updated_at = v_now
                where q.id = v_stale.id;
            end if;
            return query select q.* from public.sms_retry_queue q where q.id = v_stale.id;
        exception when others then
            -- One bad row must not keep the others stuck; it is tried again by the next run.
            raise warning 'Row % could not be recovered: % (%)', v_stale.id, sqlerrm, sqlstate;
        end;
    end loop;
end
$$;
