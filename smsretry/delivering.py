"""What becomes of accepted texts: ask how far each has come, decide, and act on it.

An application without a webhook learns of deliveries by this alone, and one with a webhook of the callbacks that were
lost. Failures that a webhook recorded are decided about here, too, so that one place has the rules.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import assert_never

from smsretry.desk.deliveries import CameTo, DeliverySummary, FollowedUp
from smsretry.errors import QueueUnreachable, SmsRetryError
from smsretry.ports import DeliveryServices
from smsretry.retry.decision import GiveUp, LookAgain, Retry
from smsretry.retry.delivery import FAILURES, FINAL, Close, OpenDelivery, Unknown, after_delivery, blames_the_sender


def sync_deliveries(services: DeliveryServices, *, limit: int) -> DeliverySummary:
    """Look after up to `limit` messages whose delivery is open, longest waiting first."""
    with ThreadPoolExecutor(services.concurrency) as pool:
        return DeliverySummary(
            [one for batch in _claims(services, limit) for one in pool.map(lambda m: follow(m, services), batch)]
        )


def _claims(services: DeliveryServices, limit: int) -> Iterator[list[OpenDelivery]]:
    while limit > 0 and (claimed := services.records.claim_deliveries(limit)):
        yield claimed
        limit -= len(claimed)


def follow(message: OpenDelivery, services: DeliveryServices) -> FollowedUp:
    """See one message to what follows. A failure that was reported is asked about once more: it may have arrived."""
    report = services.reports.report_of(message.twilio_sid)
    decision = after_delivery(message, report, profile=services.profile)
    try:
        answer = services.records.follow(message, report, decision)
    except QueueUnreachable as error:  # passing: it is looked after again
        return FollowedUp(message, "not asked", str(error))
    except SmsRetryError as error:
        return FollowedUp(message, "error", str(error))
    if answer != "applied":
        return FollowedUp(message, "settled elsewhere")
    code = report.refusal.code if report and report.refusal else None
    blamed = isinstance(decision, GiveUp) and report is not None and blames_the_sender(report)
    match decision:
        case Close():
            came_to: CameTo = "delivered" if report and report.status in FINAL else "settled elsewhere"
            return FollowedUp(message, came_to)
        case LookAgain(_, failed, why):
            lost = report is not None and report.status in FAILURES and message.settled
            return FollowedUp(message, "not asked" if failed else "still undelivered" if lost else "on its way", why)
        case Unknown():
            return FollowedUp(message, "unknown")
        case Retry(_, _, why, _, _, _):
            return FollowedUp(message, "retried", why, code)
        case GiveUp(why, _, _, _):
            return FollowedUp(message, "undelivered", why, code, blamed)
        case _:
            assert_never(decision)
