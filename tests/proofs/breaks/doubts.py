"""Of texts in doubt, evidence, and a restored backup."""

from typing import Final

from tests.proofs.breaks.one_line import Break

DOUBT: Final = {
    "a look asks whether its claim still holds": Break(
        "public.reconcile_sms_retry",
        "v_row.id is null or v_row.begun_at is not null or v_row.in_doubt_since is null",
        "v_row.in_doubt_since is null and v_row.id is not null",
    ),
    "a message that may be another send's is waited for": Break(
        "public.reconcile_sms_retry", "and smsretry.may_be_unanswered(v_row, v_now)", "and false"
    ),
    "an ambiguous message is waited for, too": Break(
        "public.reconcile_sms_retry", " or ambiguous is not null) and", ") and"
    ),
    "a message belongs to one text": Break(
        "public.reconcile_sms_retry", "smsretry.is_anothers(twilio_sid, v_row.attempt_id, v_row.send_log_id) or"
    ),
    "messages of others are not ambiguous": Break(
        "public.reconcile_sms_retry", "where not smsretry.is_anothers(m.sid, v_row.attempt_id, v_row.send_log_id)"
    ),
    "two looks that find one message do not fail": Break(
        "public.reconcile_sms_retry", "exception when unique_violation", "exception when no_data_found"
    ),
    "a person's word about the older row holds": Break(
        "public.reconcile_sms_retry", "and a.outcome = 'not_sent'", "and false"
    ),
    "a held doubt ends when it expires": Break(
        "public.reconcile_sms_retry", "if v_row.expires_at <= v_now then", "if false then"
    ),
    "a look that found nothing counts": Break(
        "public.reconcile_sms_retry", "v_row.reconcile_count := v_row.reconcile_count + 1;"
    ),
    "a look that failed does not count": Break(
        "public.reconcile_sms_retry",
        "if decision = 'look_again' then",
        "if decision in ('look_again', 'look_failed') then",
    ),
    "a doubt gets an end at its look": Break(
        "public.reconcile_sms_retry", "v_row.expires_at := coalesce(v_row.expires_at, v_now + life);"
    ),
    "a send without an answer may be what was found": Break(
        "smsretry.may_be_unanswered",
        "q.status = 'processing' and q.begun_at is not null and q.attempt_id = theirs.id",
        "false",
    ),
    "a send that began during the look may be what was found": Break(
        "smsretry.may_be_unanswered",
        "theirs.begun_at > may_be_unanswered.retry.claimed_at and theirs.begun_at <= may_be_unanswered.at",
        "false",
    ),
    "another attempt's message is another's": Break("smsretry.is_anothers", "a.twilio_sid = is_anothers.sid", "false"),
    "another log's message is another's": Break(
        "smsretry.is_anothers", "l.provider_message_id ->> 'twilio_sid' = is_anothers.sid", "false"
    ),
    "what is sent again is in doubt no more": Break("smsretry.resend", "retry.in_doubt_since := null;"),
    "the next doubt is looked at from the beginning": Break("smsretry.resend", "retry.reconcile_count := 0;"),
    "a death costs no attempt if nothing went out": Break(
        "smsretry.resend", "if v_attempt.worker_died then", "if false then"
    ),
    "a text whose earlier send may have gone out does not go": Break(
        "smsretry.put_in_doubt", "if v_earlier.attempt_id is not null then", "if false then"
    ),
    "a text that a backup may have forgotten does not go": Break(
        "smsretry.put_in_doubt", "if v_forgotten.since is not null then", "if false then"
    ),
    "a new row of a text in doubt is in doubt": Break(
        "smsretry.before_insert", "if v_doubt.attempt_id is not null then", "if false then"
    ),
    "an unknown outcome is a doubt": Break(
        "smsretry.earlier_doubt", "coalesce(a.outcome, 'in_doubt') = 'in_doubt'", "a.outcome = 'in_doubt'"
    ),
    "a doubt is the business's own": Break("smsretry.earlier_doubt", " and q.business_id = earlier_doubt.business_id"),
    "a text younger than the restore is not forgotten": Break(
        "smsretry.forgotten", "retry.created_at < r.restored_at", "true"
    ),
    "a text whose plan is older may be forgotten": Break(
        "smsretry.forgotten", "s.id = retry.send_log_id and s.created_at < r.restored_at", "false"
    ),
    "only a later look clears a forgotten send": Break("smsretry.forgotten", " and a.finished_at >= r.restored_at"),
    "a message that was found clears nothing": Break(
        "smsretry.forgotten", "a.outcome = 'not_sent' and a.settled_by", "a.settled_by"
    ),
    "no worker from before a restore writes": Break("smsretry.doubt", "retry.claim_no := retry.claim_no + 1000000;"),
    "a person's word waits for the worker's look": Break(
        "public.resolve_sms_doubt",
        "v_row.status = 'pending' and v_row.in_doubt_since is not null then",
        "v_row.in_doubt_since is not null then",
    ),
}
