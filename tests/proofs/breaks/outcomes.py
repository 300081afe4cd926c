"""Of finish and recovery."""

from typing import Final

from tests.proofs.breaks.one_line import Break

OUTCOMES: Final = {
    "finish asks whose attempt it is": Break("public.finish_sms_attempt", " and v_row.attempt_id = attempt_id"),
    "finish asks whether it began": Break("public.finish_sms_attempt", "v_row.begun_at is not null and "),
    "a refusal locks the number before the row": Break(
        "public.finish_sms_attempt",
        "if opted_out then\n        perform smsretry.lock_number",
        "if false then\n        perform smsretry.lock_number",
        spare="PostgreSQL ends a deadlock, and the call is repeated: it costs a second, and no text",
    ),
    "a finish may be repeated": Break(
        "public.finish_sms_attempt", "applied := exists (", "applied := false and exists ("
    ),
    "a repeated finish is the same one": Break(
        "public.finish_sms_attempt", "a.outcome = finish_sms_attempt.outcome and a.settled_by", "a.settled_by"
    ),
    "an unknown outcome leaves the row in doubt": Break(
        "public.finish_sms_attempt", "v_row.in_doubt_since := case when v_doubt then v_now end;"
    ),
    "a row in doubt keeps its attempt": Break(
        "public.finish_sms_attempt",
        "v_row.attempt_id := case when v_doubt then v_row.attempt_id end;",
        "v_row.attempt_id := null;",
    ),
    "what was sent is kept while it is in doubt": Break(
        "public.finish_sms_attempt", "sent_body = case when v_doubt then a.sent_body end", "sent_body = null"
    ),
    "a refusal marks the number": Break(
        "public.finish_sms_attempt", "if opted_out or phone_status is not null then", "if phone_status is not null then"
    ),
    "an accepted message is looked after": Break(
        "public.finish_sms_attempt", "case when finish_sms_attempt.twilio_sid is not null then v_now end", "null"
    ),
    "a failed send counts": Break(
        "public.finish_sms_attempt",
        "greatest(v_row.attempt_count, case when counted then v_number end)",
        "v_row.attempt_count",
    ),
    "what does not count costs no attempt": Break(
        "public.finish_sms_attempt", "case when counted then v_number end", "v_number"
    ),
    "what began is not deferred": Break("public.defer_sms_retry", " and v_row.begun_at is null"),
    "what began is not held": Break("public.hold_sms_retry", " and v_row.begun_at is null"),
    "what began is not ended": Break("public.end_sms_retry", " and v_row.begun_at is null"),
    "a sent log stays sent when its row ends": Break(
        "smsretry.close_row", "and not smsretry.is_sent(l.provider_message_id, l.status::text)"
    ),
    "an ended row keeps no doubt": Break("smsretry.save_row", "retry.in_doubt_since := null;"),
    "a send that began is in doubt when its worker dies": Break(
        "smsretry.recover_row", "if retry.begun_at is not null then", "if false then"
    ),
    "an application's claim counts as a send": Break(
        "smsretry.recover_row", "if retry.claimed_by_application and", "if false and"
    ),
    "only a silent worker loses its claim": Break(
        "public.recover_stuck_sms_retries", "<= v_now - make_interval(mins => stale_minutes)", "<= v_now"
    ),
    "a lease counts from the begin": Break(
        "public.recover_stuck_sms_retries", "(greatest(q.claimed_at, q.begun_at) <= v_now", "(q.claimed_at <= v_now"
    ),
    "a claim from the future ends": Break(
        "public.recover_stuck_sms_retries",
        "or greatest(q.claimed_at, q.begun_at) > v_now + make_interval(mins => stale_minutes)",
    ),
    "recovery takes no row that its worker writes at this moment": Break(
        "public.recover_stuck_sms_retries", "for update skip locked"
    ),
    "a recovered doubt gets an end": Break(
        "smsretry.recover_row",
        "retry.expires_at := coalesce(retry.expires_at, least(retry.claimed_at, recover_row.at) + life);",
    ),
    "a death after the begin costs an attempt": Break(
        "smsretry.recover_row",
        "(select a.attempt_number from public.sms_send_attempts a where a.id = retry.attempt_id)",
        "retry.attempt_count",
    ),
}
