"""Of claims, the fence and begin."""

from typing import Final

from tests.proofs.breaks.one_line import Break

SENDING: Final = {
    "an application claims no text in doubt by its id": Break(
        "public.claim_sms_retry", " and q.in_doubt_since is null"
    ),
    "an application claims by its id only what is pending": Break(
        "public.claim_sms_retry", "q.status = 'pending' and ", "q.status in ('pending', 'processing') and "
    ),
    "each claim has a number of its own": Break(
        "smsretry.take_row", "claim_no = q.claim_no + 1", "claim_no = q.claim_no"
    ),
    "a claim begins anew": Break(
        "smsretry.take_row", "begun_at = null,", spare="the constraint sms_retry_queue_begun: what waits has not begun"
    ),
    "a claim keeps the attempt that a text is in doubt about": Break(
        "smsretry.take_row", "case when q.in_doubt_since is not null then q.attempt_id end", "null"
    ),
    "a claim of the application's is known as one": Break(
        "smsretry.take_row", "claimed_by_application = take_row.by_application", "claimed_by_application = false"
    ),
    "the application's processor gets no next try of a text that was sent": Break(
        "smsretry.take_row", "if found then", "if false then"
    ),
    "after a restore an application claims nothing that may have gone out": Break(
        "smsretry.take_row", "and smsretry.put_in_doubt(v_row, take_row.at) is not null then", "and false then"
    ),
    "a claim takes no text that somebody claims at this moment": Break(
        "smsretry.claim_in_turn",
        "from public.sms_retry_queue q where q.id = v_id for update skip locked",
        "from public.sms_retry_queue q where q.id = v_id",
    ),
    "a claim waits for nobody": Break(
        "smsretry.claim_in_turn",
        "from public.sms_retry_queue q where q.id = v_id for update skip locked",
        "from public.sms_retry_queue q where q.id = v_id for update",
    ),
    "a claim looks again under the lock whether a text is pending": Break(
        "smsretry.claim_in_turn", "select q.status = 'pending' and q.scheduled_for", "select q.scheduled_for"
    ),
    "a claim looks again under the lock whether a text is due": Break(
        "smsretry.claim_in_turn", " and q.scheduled_for <= claim_in_turn.at"
    ),
    "a claim looks again under the lock whether a text is suspect": Break(
        "smsretry.claim_in_turn", " and q.recover_count < smsretry.suspect_after()"
    ),
    "a claim looks again under the lock whether a text is in doubt": Break(
        "smsretry.claim_in_turn",
        "and (q.in_doubt_since is not null) = (kind = 'doubtful'), q.business_id",
        ", q.business_id",
    ),
    "a claim by sender takes no text that somebody claims at this moment": Break(
        "smsretry.claim_by_sender", "where q.id = v_text.id for update skip locked", "where q.id = v_text.id"
    ),
    "a claim by sender looks again under the lock": Break(
        "smsretry.claim_by_sender",
        "select q.status = 'pending' and q.scheduled_for <= at and q.recover_count < "
        "smsretry.suspect_after() and q.in_doubt_since is null",
        "select true",
    ),
    "a text that is not due is not claimed": Break(
        "smsretry.texts_in_turn",
        "(b.id, 'marketing', texts_in_turn.at)",
        "(b.id, 'marketing', 'infinity')",
        spare="it is asked again under the lock",
    ),
    "the last hour of a window lets no text go before it is due": Break(
        "smsretry.texts_in_turn",
        "q.window_closes_at is not null and q.scheduled_for <= texts_in_turn.at",
        "q.window_closes_at is not null",
        spare="it is asked again under the lock",
    ),
    "one suspect at a time": Break("public.claim_suspect_sms_retry", "exit when found or", "exit when"),
    "a suspect waits until it is due": Break("public.claim_suspect_sms_retry", " and q.scheduled_for <= v_now"),
    "two workers do not claim one suspect": Break("public.claim_suspect_sms_retry", "for update skip locked"),
    "a worker that lost its claim changes nothing": Break("smsretry.fenced", " and q.claim_no = fenced.claim_no"),
    "a row that is not claimed is nobody's": Break("smsretry.fenced", "q.status = 'processing' and "),
    "the fence holds the row": Break("smsretry.fenced", "for update"),
    "two texts to one number do not begin at once": Break(
        "public.begin_sms_attempt",
        "perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;",
    ),
    "a row in doubt does not begin": Break("public.begin_sms_attempt", "v_row.in_doubt_since is not null or "),
    "what another attempt began does not begin again": Break(
        "public.begin_sms_attempt", " or v_row.begun_at is not null and v_row.attempt_id <> attempt_id"
    ),
    "a begin may be repeated": Break(
        "public.begin_sms_attempt", "elsif v_row.begun_at is not null then", "elsif false then"
    ),
    "a begin writes that it began": Break("public.begin_sms_attempt", "v_row.begun_at := decided_at;"),
    "what is withheld is asked last": Break(
        "public.begin_sms_attempt",
        "select w.answer, w.why, w.why_code, w.reached_at into answer",
        "select 'go', w.why, w.why_code, w.reached_at into answer",
    ),
    "a text gets its end at its first begin": Break(
        "public.begin_sms_attempt", "v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);"
    ),
    "the end that a text has outranks the worker's": Break(
        "public.begin_sms_attempt",
        "v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life)",
        "v_row.expires_at := coalesce(expires_at, v_row.expires_at, decided_at + life)",
    ),
    "a begin ends what deaths were counted": Break("public.begin_sms_attempt", "v_row.recover_count := 0;"),
    "a customer's consent is locked while a send begins": Break(
        "smsretry.admit_send",
        "where c.id = retry.customer_id and c.business_id = retry.business_id for share",
        "where c.id = retry.customer_id and c.business_id = retry.business_id",
    ),
    "the customer is the business's own": Break("smsretry.admit_send", " and c.business_id = retry.business_id"),
    "without a number from the worker begin locks the customer's": Break(
        "smsretry.admit_send", "if phone is null then", "if false then"
    ),
    "the send log is locked while a send begins": Break(
        "smsretry.admit_send",
        "and l.business_id = retry.business_id for share",
        "and l.business_id = retry.business_id",
    ),
    "the send log is the business's own": Break("smsretry.admit_send", " and l.business_id = retry.business_id"),
    "the clock is read again after the last lock": Break(
        "smsretry.admit_send",
        "    select * into v_log from public.send_logs l\n    where l.id = retry.send_log_id and "
        "l.business_id = retry.business_id for share;\n    decided_at := smsretry.clock();",
        "    decided_at := smsretry.clock();\n    select * into v_log from public.send_logs l\n    where "
        "l.id = retry.send_log_id and l.business_id = retry.business_id for share;",
    ),
    "what was deleted does not begin": Break("smsretry.admit_send", "v_customer.id is null or v_log.id is null or "),
    "what is no SMS does not begin": Break("smsretry.admit_send", " or v_log.channel::text <> 'sms'"),
    "what was sent does not begin": Break(
        "smsretry.admit_send", "smsretry.is_sent(v_log.provider_message_id, v_log.status::text)", "false"
    ),
    "begin reads consent": Break(
        "smsretry.admit_send", "v_customer.sms_consent_status::text, v_key", "'opted_in', v_key"
    ),
    "begin reads what a number said": Break(
        "smsretry.admit_send", "sms_consent_status::text, v_key", "sms_consent_status::text, null"
    ),
    "what has expired does not begin": Break("smsretry.admit_send", "retry.expires_at <= decided_at", "false"),
    "a text ends at its moment": Break(
        "smsretry.admit_send",
        "retry.expires_at <= decided_at",
        "retry.expires_at < decided_at",
        spare="it is about one microsecond",
    ),
    "begin asks what other sends of the text came to": Break(
        "smsretry.admit_send", "why := smsretry.put_in_doubt(retry, decided_at);", "why := null;"
    ),
    "nothing begins when the window has closed": Break("smsretry.admit_send", "decided_at >= send_before", "false"),
    "the window is closed at its closing": Break(
        "smsretry.admit_send",
        "decided_at >= send_before",
        "decided_at > send_before",
        spare="it is about one microsecond",
    ),
    "a number that has changed is decided about anew": Break(
        "smsretry.admit_send",
        "v_customer.phone is distinct from coalesce(phone, v_customer.phone)",
        "false",
        spare="decided_by holds the number, too",
    ),
    "hours that have changed are decided about anew": Break("smsretry.admit_send", "<> decided_by", "is null"),
    "a sender that has changed is decided about anew": Break(
        "smsretry.admit_send", "v_sender.id is distinct from sender_id", "false"
    ),
    "a sender that is paused sends nothing": Break("smsretry.admit_send", " or v_sender.paused_at is not null"),
    "a sender's day is kept to": Break("smsretry.admit_send", "when v_spent_until is not null then 'spent'"),
    "a number's cap is kept to": Break("smsretry.admit_send", "when reached_at is not null then 'capped'"),
    "only who opted in is texted": Break("smsretry.refusal", "refusal.consent is distinct from 'opted_in'", "false"),
    "an opt-out outlives the customer's row": Break(
        "smsretry.refusal",
        "exists (select 1 from smsretry.suppressions s where s.number_key = refusal.number_key)",
        "false",
    ),
    "an opt-out that could not be written holds": Break(
        "smsretry.refusal", "u.number_key = refusal.number_key and u.consent = 'opted_out'", "false"
    ),
    "an opt-in that could not be written ends nothing": Break("smsretry.refusal", " and u.consent = 'opted_out'"),
    "sends in doubt count towards the cap": Break(
        "smsretry.cap_reached_at",
        "and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')\n        union all",
        "and coalesce(a.outcome, 'in_doubt') in ('accepted')\n        union all",
    ),
    "what the application sent counts towards the cap": Break(
        "smsretry.cap_reached_at",
        "l.channel = 'sms' and smsretry.is_sent(l.provider_message_id, l.status::text)",
        "false",
    ),
    "a text counts once towards the cap": Break(
        "smsretry.cap_reached_at", "where q.send_log_id = l.id and", "where false and"
    ),
    "the cap is reached by its last text": Break(
        "smsretry.cap_reached_at", "greatest(cap_reached_at.cap, 1) - 1", "greatest(cap_reached_at.cap, 1)"
    ),
    "a staging copy texts nobody": Break("smsretry.withhold_send", "coalesce(send_to, 'all') <> 'all'", "false"),
    "only who is listed is texted": Break("smsretry.withhold_send", "and coalesce(listed, false)"),
    "a copy of production texts nobody": Break("smsretry.withhold_send", "if why is not null then", "if false then"),
}
