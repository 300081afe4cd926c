"""Of deliveries and of what is sent again."""

from typing import Final

from tests.proofs.breaks.one_line import Break

DELIVERY: Final = {
    # looks
    "a look is claimed for a while": Break("public.claim_sms_deliveries", "set delivery_look_at = v_now + claim_sms_deliveries.lease,", "set"),
    "each look has a number of its own": Break("public.claim_sms_deliveries", "delivery_looks = a.delivery_looks + 1", "delivery_looks = a.delivery_looks"),
    "the callback may come first": Break("public.claim_sms_deliveries", "v_now, v_now - v_first_look", "v_now, v_now"),
    "accounts that are left out stay as they are": Break("public.claim_sms_deliveries", "coalesce(a.sent_account, '') = any (claim_sms_deliveries.without)", "false"),
    "a worker of 1.0 looks only in its own account": Break("public.claim_sms_deliveries", "if every_account is not true then", "if false then"),
    "excused failures do not count": Break("public.claim_sms_deliveries", "smsretry.is_lost(a.delivery_status) and not a.delivery_excused", "smsretry.is_lost(a.delivery_status)"),
    "a text that waits again needs no decision": Break("public.claim_sms_deliveries", "o.send_log_id = q.send_log_id and o.status in ('pending', 'processing')", "false"),
    "a log with another message needs no decision": Break("public.claim_sms_deliveries", "smsretry.found_sid(l.provider_message_id) is distinct from t.twilio_sid", "false"),
    "a row that has not ended with the message needs no decision": Break("public.claim_sms_deliveries", "q.status <> 'completed' or l.id is null", "l.id is null"),
    "two looks do not take one message": Break(
        "smsretry.claim_in_turn", "from public.sms_send_attempts a where a.id = v_id for update skip locked", "from public.sms_send_attempts a where a.id = v_id"
    ),
    "a message whose look has been put off is passed over": Break("smsretry.claim_in_turn", "a.delivery_look_at <= claim_in_turn.at", "true"),
    # what a look found
    "a look that lost its claim decides nothing": Break("public.finish_sms_delivery", "v_attempt.delivery_looks = looks", "true"),
    "a look's row is locked": Break(
        "public.finish_sms_delivery", "where a.id = attempt_id)\n    for update;", "where a.id = attempt_id);"
    ),
    "a look at a delivery may be repeated": Break("public.finish_sms_delivery", "return 'applied';\n    end if;\n    perform smsretry.record", "null;\n    end if;\n    perform smsretry.record"),
    "a delivery meanwhile ends the matter": Break("public.finish_sms_delivery", "return case when v_fails then 'changed' else 'applied' end;", "null;"),
    "a decision that no longer fits is not made": Break(
        "public.finish_sms_delivery", "if smsretry.is_outdated(v_attempt, v_row, v_fails, decision, delivery_status, v_now) then", "if false then"
    ),
    "a number that has changed is not marked": Break("public.finish_sms_delivery", "and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key"),
    "a customer that has moved away is not marked": Break("public.finish_sms_delivery", " and c.business_id = v_row.business_id"),
    "the log learns that a text was given up": Break(
        "public.finish_sms_delivery", "perform smsretry.tell_delivery(v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, error, v_now);"
    ),
    "a failure that was taken back is not acted on": Break("smsretry.is_outdated", "not smsretry.is_lost(attempt.delivery_status) or"),
    "only a completed row is sent again": Break("smsretry.is_outdated", " or retry.status <> 'completed'"),
    "what may have arrived by another message is not sent again": Break("smsretry.is_outdated", "or smsretry.may_have_arrived(retry.send_log_id, attempt.id)"),
    "what waits already is not sent again": Break(
        "smsretry.is_outdated", "q.send_log_id = retry.send_log_id and q.status in ('pending', 'processing')", "false"
    ),
    "a failure reported meanwhile is looked at": Break("smsretry.is_outdated", "attempt.delivery_look_at <= is_outdated.at and not", "false and not"),
    "a message in doubt may have arrived": Break("smsretry.may_have_arrived", "coalesce(a.outcome, 'in_doubt') = 'in_doubt'", "false"),
    "a message under way may have arrived": Break("smsretry.may_have_arrived", "coalesce(a.outcome, 'in_doubt') = 'in_doubt'", "a.outcome = 'in_doubt'"),
    "an accepted message may have arrived": Break("smsretry.may_have_arrived", "a.outcome = 'accepted' and not", "false and not"),
    "a lost message has not arrived": Break("smsretry.may_have_arrived", " and not smsretry.is_lost(a.delivery_status)"),
    "other rows of the text are asked, too": Break("smsretry.may_have_arrived", "q.send_log_id = may_have_arrived.send_log_id", "q.id = (select x.retry_id from public.sms_send_attempts x where x.id = may_have_arrived.but_for)"),
    # reports
    "an earlier report that comes late is no news": Break("smsretry.record_delivery", "if (v_rank > v_known) is not true then", "if v_rank is null then"),
    "the same report twice is no news": Break("smsretry.record_delivery", "(v_rank > v_known)", "(v_rank >= v_known)"),
    "reports of one message wait for each other": Break("smsretry.record_delivery", "where a.id = attempt_id for update;", "where a.id = attempt_id;"),
    "the report that says why may come second": Break("smsretry.record_delivery", "if v_lost and v_rank = v_known and v_attempt.delivery_code is null then", "if false then"),
    "a failure is due first": Break("smsretry.record_delivery", "when v_lost then at - k_before_all", "when v_lost then at + k_before_all"),
    "what has arrived is looked at no more": Break("smsretry.record_delivery", "when not v_arrived and status <> 'unknown'", "when status <> 'unknown'"),
    "what stays unknown is looked at no more": Break("smsretry.record_delivery", "when not v_arrived and status <> 'unknown'", "when not v_arrived"),
    "another message's failure is not the log's": Break("smsretry.record_delivery", "if v_lost and v_attempt.twilio_sid = (", "if v_lost and v_attempt.twilio_sid is distinct from ('' || "),
    "a text that arrived after all is not sent again": Break(
        "smsretry.record_delivery", " or v_row.status = 'pending' and v_row.in_doubt_since is null then", " then"
    ),
    "a send in doubt is left to its evidence when another arrives": Break(
        "smsretry.record_delivery", "v_row.status = 'pending' and v_row.in_doubt_since is null", "v_row.status = 'pending'"
    ),
    "a text that was given up is delivered after all": Break("smsretry.record_delivery", "v_row.status in ('failed', 'cancelled') or", "false or"),
    "a newer row of the text ends, too": Break("smsretry.record_delivery", "q.id <> v_row.id\n", "false\n"),
    "a newer row in doubt is left to its evidence": Break("smsretry.record_delivery", "(q.status = 'pending' and q.in_doubt_since is null) is true", "(q.status = 'pending') is true"),
    "a delivery outranks a failure": Break("smsretry.delivery_rank", "when delivery_rank.status = 'delivered' then 7", "when delivery_rank.status = 'delivered' then 6"),
    "a failure outranks unknown": Break("smsretry.delivery_rank", "('undelivered', 'failed', 'canceled') then 6", "('undelivered', 'failed', 'canceled') then 5"),
    "a canceled message is lost": Break("smsretry.is_lost", ", 'canceled'"),
    "a message that was read has arrived": Break("smsretry.has_arrived", ", 'read'"),
    # sent again
    "a text is sent again only if its log can be told": Break("smsretry.send_again", "if v_trouble is not null then", "if false then"),
    "a log that goes on saying sent is noticed": Break("smsretry.tell_waiting", "smsretry.is_sent(l.provider_message_id, l.status::text)", "false"),
    "a locked log is asked again": Break("smsretry.tell_waiting", "raise; -- passing", "null; -- passing"),
    "a failed delivery costs an attempt": Break("smsretry.send_again", "greatest(retry.attempt_count, attempt.attempt_number)", "0"),
    "what was the sender's fault costs none": Break("smsretry.send_again", "if counted then", "if true then"),
    "what was the sender's fault is excused": Break("smsretry.send_again", "set delivery_excused = true", "set delivery_excused = false"),
    "a text that is sent again is looked for from the beginning": Break("smsretry.send_again", "retry.reconcile_count := 0;"),
    "the application's rules undo no delivery": Break("smsretry.tell_delivery", "when others then", "when no_data_found then"),
    "a delivered log keeps its message": Break(
        "smsretry.complete_row", "\n      and not (l.status::text = 'delivered' and smsretry.found_sid(l.provider_message_id) is not null)"
    ),
}  # fmt: skip
