-- Decide, just before the request leaves, whether it may still go. The transaction that reads
-- consent and counts the number's texts also writes the attempt. Several begins, of any businesses,
-- share it, and one that fails is undone alone (group_sms_calls). May be repeated with the same
-- attempt_id. What happens to few texts (a mark, a refusal, a sender's limits) is asked of these alone.
-- Parameters that do not speak for themselves:
--   cap, cap_window: how many texts a number may get in how long; null: any number
--   life, expires_at: the text's end, unless the row has one: expires_at, or else its life from now
--   sent_account, sent_by: the sender that the request will name
--   segments, answer_seconds: smsretry.reserve_slot
--   send_to: whom the worker texts (all, listed, nobody; null: all)
--   listed: whether this text is for one of those
--   address: where the worker reaches the database (smsretry.mark)
-- It returns
--   answer:
--     go: it leaves at until, its slot of the sender; null: now
--     claim_lost: another worker has the row
--     data_changed: what the decision was made from is no longer so (fingerprint), or the text's send
--       log or customer is gone: decide again
--     run_unknown: the run is not on record, so the database may be another one than the run began
--       with: the next run looks
--     closed: send_before has come: decide again
--     daily_cap: the number has had cap texts within cap_window: there is room again at until, when
--       the cap-th last of them is that old (cap_reached_at)
--     sender_rate: the sender's slots are reserved until then
--     day_spent: the sender has reached its cap of a day: the next one begins at until, midnight
--       Pacific (reserve_slot)
--     held: smsretry.refusals names what can be mended, the worker and the mark disagree, or
--       another text tries at until what this one was refused for (smsretry.tried_by)
--     ended: the row is finished
--   why, why_code: the reason
--   decided_at: the database's time
--   until: see answer
--   refused_since: since when its sender is refused for what this text tries
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    cap integer default null,
    cap_window interval default null,
    fingerprint text default null,
    life interval default null,
    expires_at timestamptz default null,
    run_id uuid default null,
    sent_account text default null,
    sent_by text default null,
    segments integer default 1,
    answer_seconds double precision default 0,
    send_to text default null,
    listed boolean default null,
    address text default null
)
returns table (
    answer text,
    why text,
    decided_at timestamptz,
    until timestamptz,
    why_code text,
    refused_since timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_person record;
    v_claim smsretry.claimed_retry;
    v_asks record; -- what must be asked besides
    v_refused_for text; -- what it tries
begin
    if claim_no is null
        or attempt_id is null
        or send_before is null
        or cap is not null and cap_window is null
        or send_to not in ('all', 'listed', 'nobody')
    then
        raise exception 'claim_no, attempt_id and send_before must be given, cap_window with a cap, and send_to must be all, listed or nobody: without them nothing is checked'
            using errcode = 'SR422';
    end if;

    -- Is the row still this worker's?
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is null
        or v_row.in_doubt_since is not null
        or v_row.begun_at is not null
    then
        -- No; or the answer to the same call was lost on its way, and is given again.
        select
            case q.status when 'cancelled' then 'ended' else 'go' end,
            case when q.begun_at is null then q.last_error end,
            a.leaves_at,
            q.why_code
        into answer, why, until, why_code
        from public.sms_retry_queue q
        left join public.sms_send_attempts a on a.id = q.attempt_id
        where q.id = retry_id
          and q.claim_no = begin_sms_attempt.claim_no
          and (
              q.status = 'cancelled'
              or q.attempt_id = attempt_id
          );
        answer := coalesce(answer, 'claim_lost');
        decided_at := smsretry.clock();
        return next;
        return;
    end if;

    -- `for share`: what else writes these rows is seen here or waits until this send is begun, and
    -- what finish could not write is not sent. A STOP waits for nobody: it is kept elsewhere first.
    select
        c.phone,
        c.sms_consent_status::text as consent_status,
        c.sms_consent_at as consent_at,
        c.sms_consent_source::text as consent_source
    into v_person
    from public.customers c
    cross join public.send_logs l
    where c.id = v_row.customer_id
      and l.id = v_row.send_log_id
      and (c.business_id, l.business_id) = (v_row.business_id, v_row.business_id)
      and l.channel = 'sms'
    for share;
    if not found then
        answer := 'data_changed'; -- deleted: the next decision says so
        decided_at := smsretry.clock();
        return next;
        return;
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform pg_advisory_xact_lock(
        hashtextextended(v_row.business_id::text || coalesce(v_person.phone, ''), 0)
    );
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time
    select
        r.id,
        r.business_id,
        r.customer_id,
        r.phone,
        r.body,
        r.log_says_sent,
        r.sms_consent_status,
        r.message_class,
        r.expires_at,
        r.fingerprint
    into
        v_claim.id,
        v_claim.business_id,
        v_claim.customer_id,
        v_claim.phone,
        v_claim.body,
        v_claim.log_says_sent,
        v_claim.sms_consent_status,
        v_claim.message_class,
        v_claim.expires_at,
        v_claim.fingerprint
    from smsretry.claimed_retry r
    where r.id = v_row.id;
    select
        run_id is null
            or exists (select from smsretry.runs r where r.id = run_id) as run_is_known,
        exists (select from smsretry.mark) as is_marked,
        exists (
            select from smsretry.senders s
            where s.account = sent_account
              and s.sent_by = begin_sms_attempt.sent_by
              and (
                  s.segments_per_second is not null
                  or s.segments_per_day is not null
                  or s.paused_at is not null
                  or s.free_at >= decided_at
              )
        ) as is_limited
    into v_asks;

    <<checks>>
    begin
        -- May it go to its customer?
        select
            case when r.refused_held then 'held' else 'ended' end,
            r.refused,
            r.refused_code
        into answer, why, why_code
        from smsretry.refusals(array[v_claim], decided_at) r
        where r.refused is not null;
        exit checks when answer is not null;
        -- May it go now?
        if decided_at >= send_before then
            answer := 'closed';
        elsif v_claim.fingerprint <> fingerprint then
            answer := 'data_changed';
        elsif not v_asks.run_is_known then
            answer := 'run_unknown';
        elsif cap is not null then
            until := cap_window + smsretry.cap_reached_at(
                v_row.business_id,
                v_person.phone,
                cap,
                decided_at - cap_window
            );
            answer := case when until is not null then 'daily_cap' end;
        end if;
        exit checks when answer is not null;

        -- Does this worker text whoever is not listed? Asked late, so that a staging copy shows
        -- what would have gone out, and when. Without send_to it texts all; listed null is not
        -- listed.
        if (v_asks.is_marked or send_to <> 'all')
            and (send_to = 'listed' and listed) is not true
        then
            why := smsretry.mark_mismatch(send_to, address);
            if why is not null then
                answer := 'held';
                why_code := 'mark_mismatch';
            elsif send_to <> 'all' then
                answer := 'ended';
                why := 'Not sent: it would have gone out now, but SMSRETRY_SEND_TO does not list its number';
                why_code := 'not_listed';
            end if;
            exit checks when answer is not null;
        end if;

        -- Was it refused for what a person must mend, and does another text try that? A person's
        -- word lets each one try.
        if v_row.error_code is not null
            and v_row.why_code is distinct from 'operator'
        then
            select t.refused_since, t.refused_for, t.until
            into refused_since, v_refused_for, until
            from smsretry.tried_by(v_row.id, sent_account, sent_by, decided_at) t;
            if until is not null then
                answer := 'held';
                why := v_row.last_error;
                why_code := 'destination_refused';
                until := least(until, v_row.expires_at, expires_at);
                exit checks;
            end if;
        end if;

        -- When is its sender free?
        answer := 'go';
        if v_asks.is_limited then
            select t.answer, t.until
            into answer, until
            from smsretry.reserve_slot(
                sent_account,
                sent_by,
                segments,
                answer_seconds,
                decided_at
            ) t;
        end if;
    end checks;

    -- kept where the row is saved: if the text goes or ends
    v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
    if answer = 'ended' then
        perform smsretry.save_row(
            v_row,
            decided_at,
            ended => 'cancelled',
            why => why,
            why_code => why_code
        );
    elsif answer = 'go' then
        insert into public.sms_send_attempts (
            id,
            retry_id,
            attempt_number,
            claim_no,
            begun_at,
            consent_status,
            consent_at,
            consent_source,
            quiet_hours_rule,
            number_key,
            sent_to,
            sent_body,
            sent_by,
            run_id,
            sent_account,
            segments,
            business_id,
            leaves_at,
            refused_for
        )
        values (
            attempt_id,
            v_row.id,
            case when first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no,
            decided_at,
            left(v_person.consent_status, 40),
            v_person.consent_at,
            left(v_person.consent_source, 200),
            quiet_hours_rule,
            smsretry.number_key(v_row.business_id, v_person.phone),
            v_claim.phone,
            v_claim.body,
            sent_by,
            run_id,
            sent_account,
            segments,
            v_row.business_id,
            until,
            v_refused_for
        );
        if not found then
            raise exception 'its attempt was not kept: a rule or a trigger swallows it'
                using errcode = '23000';
        end if;
        v_row.attempt_id := attempt_id;
        v_row.why := null;
        v_row.why_code := null;
        v_row.held_since := null;
        v_row.recover_count := 0;
        v_row.begun_at := decided_at;
        v_row.last_attempted_at := decided_at;
        v_row.claimed_by_application := false;
        -- updated_at stays that of the claim, so that no index changes
        perform smsretry.save_row(v_row, v_row.updated_at);
    end if;
    return next;
end
$$;
