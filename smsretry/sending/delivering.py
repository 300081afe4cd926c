"""What becomes of accepted texts: ask how far each has come, decide, and act on it.

An application without a webhook learns of deliveries only here. One with a webhook learns here of callbacks that were
lost. Failures that a webhook recorded are handled here, too, so that the rules are in one place.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from smsretry.errors import QueueError, QueueUnreachable, SmsRetryError
from smsretry.retry.decision import Fail, Hold, LookAgain, Retry
from smsretry.retry.delivery import (
    FAILURES,
    AfterDelivery,
    Close,
    Denied,
    NotKept,
    OpenDelivery,
    Report,
    Word,
    after_delivery,
    is_silence,
)
from smsretry.sending.ports import DeliveryServices
from smsretry.sending.silence import Silence
from smsretry.sending.summary import DeliverySummary, FollowedUp

MOST: Final = 10_000
USUAL: Final = 2_000
"""Messages of one run. Ten are looked up at once, so a run takes some minutes at most."""
_AT_A_TIME: Final = 50
_SILENT: Final = (
    "The provider said nothing of the last {} messages it was asked about: the others are asked about later. "
    "If that goes on, run `smsretry doctor`: it says whether the provider takes the credentials"
)


def sync_deliveries(services: DeliveryServices, *, limit: int = USUAL) -> DeliverySummary:
    """Look up to `limit` messages whose delivery is open, business by business in turns.

    It begins with a few: if the provider does not answer, the others stay as they are. An account that does not answer
    ends the asking about its own messages alone. If the database cannot be asked, it raises nothing and returns what
    was done before.
    """
    followed, silence, size = list[FollowedUp](), Silence(services.reports.default.account), services.concurrency
    with ThreadPoolExecutor(services.concurrency) as pool:
        while len(followed) < limit:
            try:
                most = min(size, limit - len(followed))
                claimed = services.records.claim_deliveries(most, without=silence.without)
            except QueueError as error:
                return DeliverySummary(followed, stopped_because=str(error), silent_accounts=silence.accounts)
            if not claimed:
                break
            while claimed:
                batch, claimed = silence.next_of(claimed, _AT_A_TIME)
                looks = list(pool.map(partial(follow, services=services), batch))
                followed += looks
                silence.note(looks)
                if silence.is_everybodys:
                    return DeliverySummary(followed, _SILENT.format(silence.in_a_row), silence.accounts)
            size = services.concurrency if silence.in_a_row else limit
    nobody_answered = silence.accounts and not silence.answered
    return DeliverySummary(followed, _SILENT.format(silence.in_a_row) if nobody_answered else None, silence.accounts)


def follow(message: OpenDelivery, services: DeliveryServices) -> FollowedUp:
    """Look up one message, and act on it. A reported failure is looked up once more: the message may have arrived."""
    word = services.reports.what_became_of(message.sid, account=message.account)
    return replace(_follow(message, word, services), silent=is_silence(word), denied=isinstance(word, Denied))


def _follow(message: OpenDelivery, word: Word, services: DeliveryServices) -> FollowedUp:
    if isinstance(word, NotKept) and message.delivery_status in FAILURES:
        word = services.reports.reported(message.delivery_status, message.delivery_code)
    decision = after_delivery(message, word, profile=services.profile)
    report = word if isinstance(word, Report) else None
    try:
        answer = services.records.follow(message, report, decision)
    except QueueUnreachable as error:  # passing: it is looked up again
        return FollowedUp(message, "not asked", str(error))
    except SmsRetryError as error:
        return FollowedUp(message, "error", str(error))
    match answer:
        case "applied":
            return _followed(message, word, report, decision)
        case "lost" | "changed":
            return FollowedUp(message, "settled elsewhere")
        case _:
            assert_never(answer)


def _followed(message: OpenDelivery, word: Word, report: Report | None, decision: AfterDelivery) -> FollowedUp:
    code = report.refusal.code if report and report.refusal else None
    match decision:
        case Close(unknown=True):
            return FollowedUp(message, "unknown")
        case Close():
            return FollowedUp(message, "delivered" if report and report.has_arrived else "settled elsewhere")
        case LookAgain(why):
            return _to_look_again(message, word, why)
        case Hold(why):
            return FollowedUp(message, "held", why, code, blames_sender=True)
        case Retry(why):
            return FollowedUp(message, "retried", why, code)
        case Fail(why):
            return FollowedUp(message, "undelivered", why, code, report is not None and report.blames_the_sender)
        case _:
            assert_never(decision)


def _to_look_again(message: OpenDelivery, word: Word, why: str) -> FollowedUp:
    match word:
        case None | Denied():
            return FollowedUp(message, "not asked", why)
        case NotKept():
            return FollowedUp(message, "not at the provider", why)
        case Report(status):
            lost = status in FAILURES and message.settled
            return FollowedUp(message, "still undelivered" if lost else "on its way", why)
