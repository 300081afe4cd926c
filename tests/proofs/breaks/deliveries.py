"""Of deliveries, and of what is sent again."""

from typing import Final

from tests.proofs.breaks.one_line import Break

DELIVERY: Final = {
    "excused failures do not count": Break(
        "public.claim_sms_deliveries",
        "smsretry.is_lost(a.delivery_status) and not a.delivery_excused",
        "smsretry.is_lost(a.delivery_status)",
    ),
    "a look that lost its claim decides nothing": Break(
        "public.finish_sms_delivery", "v_attempt.delivery_looks = looks", "true"
    ),
    "a decision that no longer fits is not made": Break(
        "public.finish_sms_delivery",
        "if smsretry.is_outdated(v_attempt, v_row, v_fails, decision, delivery_status, v_now) then",
        "if false then",
    ),
    "a failure that nobody reported is not acted on": Break(
        "smsretry.is_outdated", "not smsretry.is_lost(attempt.delivery_status) or"
    ),
    "only a completed row is sent again": Break("smsretry.is_outdated", " or retry.status <> 'completed'"),
    "what may have arrived by another message is not sent again": Break(
        "smsretry.is_outdated", "or smsretry.may_have_arrived(retry.send_log_id, attempt.id)"
    ),
    "what waits already is not sent again": Break(
        "smsretry.is_outdated", "q.send_log_id = retry.send_log_id and q.status in ('pending', 'processing')", "false"
    ),
    "a message in doubt may have arrived": Break(
        "smsretry.may_have_arrived", "coalesce(a.outcome, 'in_doubt') = 'in_doubt'", "false"
    ),
    "a message under way may have arrived": Break(
        "smsretry.may_have_arrived", "coalesce(a.outcome, 'in_doubt') = 'in_doubt'", "a.outcome = 'in_doubt'"
    ),
    "an accepted message may have arrived": Break(
        "smsretry.may_have_arrived", "a.outcome = 'accepted' and not", "false and not"
    ),
    "a lost message has not arrived": Break(
        "smsretry.may_have_arrived", " and not smsretry.is_lost(a.delivery_status)"
    ),
    "other rows of the text are asked, too": Break(
        "smsretry.may_have_arrived",
        "q.send_log_id = may_have_arrived.send_log_id",
        "q.id = (select x.retry_id from public.sms_send_attempts x where x.id = may_have_arrived.but_for)",
    ),
    "an earlier report that comes late is no news": Break(
        "smsretry.record_delivery", "if (v_rank > v_known) is not true then", "if v_rank is null then"
    ),
    "a send in doubt is left to its evidence when another arrives": Break(
        "smsretry.record_delivery",
        "v_row.status = 'pending' and v_row.in_doubt_since is null",
        "v_row.status = 'pending'",
    ),
    "a newer row in doubt is left to its evidence": Break(
        "smsretry.record_delivery",
        "(q.status = 'pending' and q.in_doubt_since is null) is true",
        "(q.status = 'pending') is true",
    ),
    "a delivery outranks a failure": Break(
        "smsretry.delivery_rank",
        "when delivery_rank.status = 'delivered' then 7",
        "when delivery_rank.status = 'delivered' then 6",
    ),
    "a text is sent again only if its log can be told": Break(
        "smsretry.send_again", "if v_trouble is not null then", "if false then"
    ),
    "a failed delivery costs an attempt": Break(
        "smsretry.send_again", "greatest(retry.attempt_count, attempt.attempt_number)", "0"
    ),
}
