"""What becomes of accepted texts: ask how far each has come, decide, and act on it.

An application without a webhook learns of deliveries only here. One with a webhook learns here of callbacks that were
lost. Failures that a webhook recorded are handled here, too, so that the rules are in one place.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, assert_never

from smsretry.errors import QueueError, QueueUnreachable, SmsRetryError
from smsretry.retry.decision import Fail, Hold, Retry
from smsretry.retry.delivery import (
    FAILURES,
    AfterDelivery,
    AskAgain,
    Close,
    DeliveryReport,
    OpenDelivery,
    after_delivery,
)
from smsretry.sending.ports import Services
from smsretry.sending.summary import CameTo, DeliverySummary, FollowedUp

MOST: Final = 10_000
USUAL: Final = 2_000
"""Messages of one run, which takes some minutes at most."""
AT_ONCE: Final = 10
"""Messages that are claimed and looked up at once."""
ENOUGH: Final = 5
"""Looks in a row without an answer that end the asking: about an account, because its credentials may be wrong; about
everybody, if the provider cannot be reached."""
_SILENT: Final = (
    "The provider said nothing of the last {} messages it was asked about: the others are asked about later. "
    "If that goes on, run `smsretry doctor`: it says whether the provider takes the credentials"
)


def sync_deliveries(services: Services, *, limit: int = USUAL) -> DeliverySummary:
    """Look up to `limit` messages whose delivery is open, business by business in turns.

    An account of which the provider says nothing is left out of the rest of the run. If it says nothing of any, the run
    ends. If the database cannot be asked, it raises nothing and returns what was done before.
    """
    at_once, main = (
        min(services.concurrency, AT_ONCE),
        services.provider.default.account or "",
    )
    followed, silent = list[FollowedUp](), Counter[str]()
    in_a_row = unanswered = 0
    nobody_answers = is_answered = False
    why_stopped: str | None = None
    with ThreadPoolExecutor(at_once) as pool:
        while len(followed) < limit and not nobody_answers:
            without = _without(silent)
            if main in without:
                without = (*without, "")  # those that name no account
            try:
                claimed = services.queue.claim_deliveries(
                    min(at_once, limit - len(followed)), without=without
                )
            except QueueError as error:
                why_stopped = str(error)
                break
            if not claimed:
                break
            for look in pool.map(partial(follow, services=services), claimed):
                followed.append(look)
                account = look.message.account or main
                if look.report.says_nothing:
                    silent[account] += 1
                    in_a_row += 1
                    unanswered += (
                        look.report.status == "unanswered"
                    )  # a denial says nothing of other accounts
                else:
                    del silent[account]
                    in_a_row = unanswered = 0
                    is_answered = True
            nobody_answers = unanswered >= ENOUGH and (
                not is_answered or len(silent) > 1
            )
    if nobody_answers or (_without(silent) and not is_answered):
        why_stopped = why_stopped or _SILENT.format(in_a_row)
    return DeliverySummary(followed, why_stopped, _without(silent))


def _without(silent: Counter[str]) -> tuple[str, ...]:
    """Accounts that are asked about no more."""
    return tuple(
        sorted(account for account, looks in silent.items() if looks >= ENOUGH)
    )


def follow(message: OpenDelivery, services: Services) -> FollowedUp:
    """Look up one message, and act on it. A reported failure is looked up once more: the message may have arrived."""
    report = services.provider.fetch_report(message.sid, account=message.account)
    latest_report = report
    if report.status == "not kept" and message.delivery_status in FAILURES:
        latest_report = services.provider.read_report(
            message.delivery_status, message.delivery_code
        )
    decision = after_delivery(message, latest_report, profile=services.profile)
    why = "" if isinstance(decision, Close) else decision.why
    try:
        answer = services.queue.follow(message, latest_report, decision)
        came_to = (
            _came_to(message, latest_report, decision)
            if answer == "applied"
            else "settled elsewhere"
        )
    except QueueUnreachable as error:  # passing: it is looked up again
        came_to, why = "not asked", str(error)
    except SmsRetryError as error:
        came_to, why = "error", str(error)
    return FollowedUp(message, came_to, why, latest_report)


def _came_to(
    message: OpenDelivery, report: DeliveryReport, decision: AfterDelivery
) -> CameTo:
    match decision:
        case Close(unknown=True):
            return "unknown"
        case Close():
            return "delivered" if report.has_arrived else "settled elsewhere"
        case AskAgain() if report.says_nothing:
            return "not asked"
        case AskAgain() if report.status == "not kept":
            return "not at the provider"
        case AskAgain():
            return (
                "still undelivered"
                if report.has_failed and message.moved_on
                else "on its way"
            )
        case Hold():
            return "held"
        case Retry():
            return "retried"
        case Fail():
            return "undelivered"
        case _:
            assert_never(decision)
