"""Of what a person orders."""

from typing import Final

from tests.proofs.breaks.one_line import Break

DESK: Final = {
    "a requeue asks the log first": Break(
        "public.requeue_failed_sms", "where l.id = v_row.send_log_id for update", "where l.id = v_row.send_log_id"
    ),
    "a requeue reads the row under its lock": Break(
        "public.requeue_failed_sms",
        "select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;",
    ),
    "a dry requeue changes nothing": Break(
        "public.requeue_failed_sms", "continue when dry_run or v_skip is not null;", "continue when v_skip is not null;"
    ),
    "what must not be requeued is left alone": Break(
        "public.requeue_failed_sms", "continue when dry_run or v_skip is not null;", "continue when dry_run;"
    ),
    "a requeue asks who and why": Break("public.requeue_failed_sms", "if not dry_run then", "if false then"),
    "a requeued text has attempts again": Break(
        "public.requeue_failed_sms",
        "greatest(v_row.max_attempts, v_row.attempt_count + more_attempts)",
        "v_row.max_attempts",
    ),
    "a requeued text lives anew": Break("public.requeue_failed_sms", "v_row.expires_at := null;"),
    "what changed meanwhile is not requeued": Break(
        "smsretry.not_requeued", "when retry.status <> all (states) then 'It has changed meanwhile'"
    ),
    "what was sent is not requeued": Break(
        "smsretry.not_requeued", "when smsretry.is_sent(log.provider_message_id, log.status::text)\n", "when false\n"
    ),
    "what was not delivered is requeued": Break(
        "smsretry.not_requeued", "and not smsretry.is_undelivered(log.id, log.provider_message_id)"
    ),
    "what a newer row has is not requeued": Break(
        "smsretry.not_requeued", "(q.created_at, q.id) > (retry.created_at, retry.id)", "false"
    ),
    "what another row has waiting is not requeued": Break(
        "smsretry.not_requeued", "q.id <> retry.id and q.status in ('pending', 'processing')", "false"
    ),
    "what may have gone out is not requeued": Break(
        "smsretry.not_requeued", "when smsretry.is_unsettled(retry.id)", "when false"
    ),
    "what a worker has is not cancelled": Break(
        "public.cancel_sms_retries", "when v_row.status = 'processing' then", "when false then"
    ),
    "what is in doubt is not cancelled": Break(
        "public.cancel_sms_retries", "when v_row.in_doubt_since is not null then", "when false then"
    ),
    "what has ended meanwhile is not cancelled": Break(
        "public.cancel_sms_retries", "when v_row.status not in ('pending', 'processing') then", "when false then"
    ),
    "a cancellation reads the row under its lock": Break(
        "public.cancel_sms_retries",
        "select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;",
    ),
    "a dry cancellation changes nothing": Break(
        "public.cancel_sms_retries", "continue when dry_run or v_skip is not null;", "continue when v_skip is not null;"
    ),
    "a plan that is one no longer is not cancelled": Break(
        "smsretry.cancel_scheduled",
        "where s.id = v_send.id and s.status = 'scheduled';\n                v_found",
        "where s.id = v_send.id;\n                v_found",
        spare="the trigger on scheduled_sends cancels the text that it has become, or refuses if that is too late",
    ),
    "a dry cancellation changes no plan": Break(
        "smsretry.cancel_scheduled", "if not cancel_scheduled.dry_run then", "if true then"
    ),
    "an order needs a filter": Break(
        "smsretry.chosen",
        "chosen.since, chosen.until, chosen.why_code) = 0 then",
        "chosen.since, chosen.until, chosen.why_code) < 0 then",
    ),
    "an order keeps to its business": Break("smsretry.chosen", "q.business_id = chosen.business_id", "true"),
    "an order keeps to its customer": Break("smsretry.chosen", "q.customer_id = chosen.customer_id", "true"),
    "an order keeps to its texts": Break("smsretry.chosen", "q.id = any (chosen.retry_ids)", "true"),
    "an order of plans keeps to its business": Break(
        "smsretry.cancel_scheduled", "s.business_id = cancel_scheduled.business_id", "true"
    ),
    "what a worker has is not looked at again": Break(
        "smsretry.not_looked_at", "when retry.status = 'processing' then 'A worker has it at this moment'"
    ),
    "what has ended is not looked at again": Break(
        "smsretry.not_looked_at", "when retry.status in ('failed', 'cancelled') then", "when false then"
    ),
    "a doubt keeps its own times": Break(
        "smsretry.not_looked_at",
        "when retry.in_doubt_since is not null then 'It is in doubt: evidence is looked for at its own times'",
    ),
    "what waits for an hour waits for it": Break(
        "smsretry.not_looked_at",
        "else 'It waits for its time, and not for somebody: a look now would change nothing'",
        "else null",
    ),
    "a doubt stays held when it is looked at again": Break(
        "public.look_again_sms", "if v_row.in_doubt_since is null then -- a doubt", "if true then -- a doubt"
    ),
    "what is needed as evidence is not pruned": Break("smsretry.is_unsettled", "d.attempt_id is not null", "false"),
    "history is kept for a week": Break(
        "public.prune_sms_history", "keep_days between 7 and 36500", "keep_days between 0 and 36500"
    ),
    "a STOP's record is kept for 90 days": Break(
        "public.prune_sms_history", "least(v_before, smsretry.clock() - interval '90 days')", "v_before"
    ),
    "a date that may still lift something is kept": Break(
        "public.prune_sms_history", "and coalesce(smsretry.suppressed_since(s.number_key), 'infinity') >= s.at"
    ),
    "a lock keeps no history from being pruned": Break(
        "public.prune_sms_history", "for update skip locked", "for update"
    ),
}
