-- Record the result of a look for evidence, for a claimed row in doubt. May be repeated. A look
-- that found nothing ends an earlier hold.
--   decision:
--     accepted: the message was found (twilio_sid; null if only the send log says so)
--     look_again: it was not found; look again in due_in
--     look_failed: the look itself failed, for why; look again in due_in
--     resend: it was not found for long enough: send the text again
--     hold: a person must decide about why; look again in due_in. Past its expiry, the row fails
--       with that
--   ambiguous: with hold, the messages that may be the text
--   life: how long the text is of use from now on, if nothing has said so; null: the next look says
--     so
-- It returns
--   applied: the row is as decided
--   ended: the row failed, because its life is over
--   claim_lost: another worker has the row
--   sid_taken: another text has that SID, or all ambiguous ones: look at the next message
--   wait: a send to the same number has no answer yet, or began after the claim: the message may be
--     that one's
create or replace function public.reconcile_sms_retry(
    retry_id uuid,
    claim_no bigint,
    decision text,
    twilio_sid text default null,
    settled_by text default 'reconcile',
    due_in interval default null,
    why text default null,
    ambiguous text[] default null,
    life interval default null,
    why_code text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_found constant text[] := array_remove(ambiguous || twilio_sid, null);
    v_unowned text[];
begin
    if (
        decision in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')
    ) is not true
        or decision in ('look_again', 'look_failed', 'hold')
            and due_in is null
        or decision = 'hold' and why is null
    then
        raise exception 'decision must be accepted, look_again or look_failed (with due_in), resend, or hold (with why and due_in)'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is null
        or v_row.begun_at is not null
        or v_row.in_doubt_since is null
    then
        return coalesce(
            (
                -- the answer to the same call was lost on its way
                select case q.status when 'failed' then 'ended' else 'applied' end
                from public.sms_retry_queue q
                where q.id = retry_id and q.reconciled_claim_no = claim_no
            ),
            'claim_lost'
        );
    end if;
    -- Another send to the number has no answer yet, or began between the claim and now, so that the
    -- look did not know it. (One dated later began before a clock was set back.) This comes before
    -- the next check, where an answer that comes between the two shows as a taken SID.
    if v_found <> '{}'
        and exists (
            select from public.sms_send_attempts ours
            join public.sms_send_attempts theirs
                on theirs.sent_to = ours.sent_to and theirs.id <> ours.id
            join public.sms_retry_queue q on q.id = theirs.retry_id
            where ours.id = v_row.attempt_id
              and (
                  q.status = 'processing'
                  and q.begun_at is not null
                  and q.attempt_id = theirs.id
                  or theirs.begun_at > v_row.claimed_at
                      and theirs.begun_at <= v_now
              )
        ) then
        return 'wait';
    end if;
    v_unowned := (
        select array_agg(m.sid order by m.place)
        from unnest(v_found) with ordinality as m (sid, place)
        where not smsretry.belongs_to_another(m.sid, v_row.attempt_id, v_row.send_log_id)
    );
    if v_found <> '{}' and v_unowned is null then
        return 'sid_taken';
    end if;

    v_row.reconciled_claim_no := claim_no;
    v_row.recover_count := 0;
    if decision = 'look_again'
        and (v_row.held_since is not null or v_row.why_code in ('list_unavailable', 'ambiguous')) then
        v_row.why := null;
    end if;
    v_row.why_code := why_code;
    v_row.expires_at := coalesce(v_row.expires_at, v_now + life);
    if decision = 'accepted' then
        perform smsretry.accept_attempt(
            v_row,
            v_row.attempt_id,
            twilio_sid,
            settled_by,
            v_now
        );
    elsif decision = 'resend'
        or exists (
            -- a person has said so of an older row of the text, while this one was queued
            select from public.sms_send_attempts a
            where a.id = v_row.attempt_id and a.outcome = 'not_sent'
        ) then
        perform smsretry.not_sent(v_row, v_row.attempt_id, settled_by, v_now);
    else
        if decision = 'hold' then
            v_row.why := left(why, 1800)
                || coalesce(
                    ': ' || array_to_string(v_unowned[:3], ', ')
                        || case
                            when cardinality(v_unowned) > 3
                                then ' and ' || cardinality(v_unowned) - 3 || ' more'
                            else ''
                        end,
                    ''
                );
            v_row.held_since := coalesce(v_row.held_since, v_now);
            if v_row.expires_at <= v_now then
                perform smsretry.save_row(
                    v_row,
                    v_now,
                    ended => 'failed',
                    why => v_row.why,
                    why_code => why_code
                );
                return 'ended';
            end if;
        elsif decision = 'look_again' then
            v_row.reconcile_count := v_row.reconcile_count + 1;
            v_row.held_since := null;
        elsif v_row.held_since is null then
            v_row.why := coalesce(left(why, 1800), v_row.why);
        end if;
        perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
    end if;
    return 'applied';
exception
    when unique_violation then -- two looks found the same message at the same moment
        return 'sid_taken';
end
$$;
