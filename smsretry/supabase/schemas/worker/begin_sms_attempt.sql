-- Decide, just before the request leaves, whether it may still go. The transaction that reads
-- consent and counts the number's texts also writes the attempt. Several begins, of any businesses,
-- share it, and one that fails is undone alone (group_sms_calls). May be repeated with the same
-- attempt_id.
-- In this order it
--   locks the row by its claim number, the number at its business, the customer and the send log
--   asks smsretry.refusals (sent, consent, expiry, stops, unread words), send_before, the
--     fingerprint, the cap, a restore, whom this worker texts, and the sender's slot
--   writes the attempt, with number and body until its outcome is known, and the row
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
--     in_doubt: its message may have left before a restore from a backup: it is looked for
--     data_changed: what the decision was made from is no longer so (fingerprint), or the text's send
--       log or customer is gone: decide again
--     unsure: nobody could tell its run which runs there had been, so a restore may be unnoticed:
--       the next run tries again
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
    v_phone text;
    v_customer public.customers;
    v_claim smsretry.claimed_retry;
    v_forgotten record;
    v_tried record;
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
            case
                when q.status = 'cancelled' then 'ended'
                when q.in_doubt_since is not null then 'in_doubt'
                else 'go'
            end,
            case when q.begun_at is null then coalesce(q.why, q.last_error) end,
            case when q.begun_at is null then q.scheduled_for else a.leaves_at end,
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

    -- One at a time to a number, or two texts would each be counted without the other.
    select c.phone
    into v_phone
    from public.customers c
    where c.id = v_row.customer_id;
    perform pg_advisory_xact_lock(
        hashtextextended(v_row.business_id::text || coalesce(v_phone, ''), 0)
    );
    -- `for share`: what else writes these rows is seen here or waits until this send is begun, and
    -- what finish could not write is not sent. A STOP waits for nobody: it is kept elsewhere first.
    select *
    into v_customer
    from public.customers c
    where c.id = v_row.customer_id
      and c.business_id = v_row.business_id
    for share;
    perform from public.send_logs l
    where l.id = v_row.send_log_id
      and l.business_id = v_row.business_id
    for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time
    select r.*
    into v_claim
    from smsretry.claimed_retry r
    where r.id = v_row.id;

    <<checks>>
    begin
        -- May it go to its customer?
        if v_customer.id is null
            or v_claim.channel is distinct from 'sms'
        then
            answer := 'data_changed'; -- deleted: the next decision says so
            exit checks;
        end if;
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
        elsif v_customer.phone is distinct from v_phone
            or v_claim.fingerprint <> fingerprint
        then
            answer := 'data_changed';
        elsif cap is not null then
            until := cap_window + smsretry.cap_reached_at(
                v_row.business_id,
                v_customer.phone,
                cap,
                decided_at - cap_window
            );
            answer := case when until is not null then 'daily_cap' end;
        end if;
        exit checks when answer is not null;

        -- Has a backup that was restored, perhaps under this run, forgotten its message?
        perform smsretry.notice_restore(run_id, decided_at, send_to);
        select f.since, f.until
        into v_forgotten
        from smsretry.forgotten f
        where f.retry_id = v_row.id;
        if found then
            answer := 'in_doubt';
            why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
            why_code := 'restored';
            sent_account := null; -- nobody knows what its sender was
            sent_by := null;
            segments := null;
            exit checks;
        end if;

        -- Or may it have, unnoticed?
        if exists (
            select from smsretry.runs r
            where r.id = run_id
              and r.sends_since > smsretry.known_since(v_row.send_log_id, v_row.created_at)
        ) then
            answer := 'unsure';
            exit checks;
        end if;

        -- Does this worker text whoever is not listed? Asked late, so that a staging copy shows
        -- what would have gone out, and when. Without send_to it texts all; listed null is not
        -- listed.
        if (send_to = 'listed' and listed) is not true then
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
            select *
            into v_tried
            from smsretry.tried_by(v_row.id, sent_account, sent_by, decided_at);
            refused_since := v_tried.refused_since;
            v_refused_for := v_tried.refused_for;
            if v_tried.until is not null then
                answer := 'held';
                why := v_row.last_error;
                why_code := 'destination_refused';
                until := least(v_tried.until, v_row.expires_at, expires_at);
                exit checks;
            end if;
        end if;

        -- When is its sender free?
        select t.answer, t.until
        into answer, until
        from smsretry.reserve_slot(
            sent_account,
            sent_by,
            segments,
            answer_seconds,
            decided_at
        ) t;
    end checks;

    -- kept where the row is saved: if the text goes, is in doubt or ends
    v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
    if answer = 'ended' then
        perform smsretry.save_row(
            v_row,
            decided_at,
            ended => 'cancelled',
            why => why,
            why_code => why_code
        );
    elsif answer in ('go', 'in_doubt') then
        insert into public.sms_send_attempts (
            id,
            retry_id,
            attempt_number,
            claim_no,
            begun_at,
            finished_at,
            outcome,
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
            -- a forgotten message may have left as soon as the backup was taken
            coalesce(v_forgotten.since, decided_at),
            case when answer = 'in_doubt' then decided_at end,
            case when answer = 'in_doubt' then 'in_doubt' end,
            left(v_customer.sms_consent_status::text, 40),
            v_customer.sms_consent_at,
            left(v_customer.sms_consent_source::text, 200),
            quiet_hours_rule,
            smsretry.number_key(v_row.business_id, v_customer.phone),
            left(v_customer.phone, 40),
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
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := null;
        v_row.recover_count := 0;
        if answer = 'go' then
            v_row.begun_at := decided_at;
            v_row.last_attempted_at := decided_at;
            v_row.claimed_by_application := false;
            -- updated_at stays that of the claim, so that no index changes
            perform smsretry.save_row(v_row, v_row.updated_at);
        else
            v_row.in_doubt_since := v_forgotten.until;
            v_row.reconcile_count := 0;
            perform smsretry.save_row(v_row, decided_at, due => decided_at);
        end if;
    end if;
    return next;
end
$$;
