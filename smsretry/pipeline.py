"""The one way through: claim → `policy.before_send` → begin → send → `policy.after_send` → finish.

Nothing here retries a send and nothing here knows Prefect. Each function takes its queue and sender.
"""

import re
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, assert_never
from uuid import UUID, uuid4

from smsretry import policy
from smsretry.backoff import next_retry_delay
from smsretry.decision import Complete, Defer, Doubt, End, GiveUp, Retry, Send
from smsretry.errors import InputError, QueueError, UnforeseenError
from smsretry.models import Claim, Fate, ItemResult, OutcomeName, Queued, Reason, Text
from smsretry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.ports import RetryQueue, Sender

CONCURRENCY: Final = 10
"""Rows of one run processed at once, and so requests to Twilio under way."""

_LOST: Final = "The claim was lost: another worker has the row, nothing was changed"


def queue_sms_retry(
    send_log_id: UUID,
    reason: Reason | None,
    attempt_count: int = 0,
    scheduled_for: datetime | None = None,
    error: str | None = None,
    *,
    queue: RetryQueue,
) -> Queued:
    """Queue a retry for a text whose send failed for a moment or may not go out now.

    A text has one live row: queueing it again returns that one (`already_queued`). Past the last attempt its send
    log is marked failed (`attempts_exhausted`). `error` is stored: no phone numbers in it.

    Args:
        attempt_count: retries already made; decides the delay (1, 5, 15 minutes) when `scheduled_for` is not given.

    Raises:
        InputError: there is no such send log, or it is no text to a customer.
        QueueError: the database could not be asked.
    """
    return queue.queue(
        send_log_id,
        reason=reason,
        attempt_count=attempt_count,
        scheduled_for=scheduled_for,
        retry_in=next_retry_delay(attempt_count),
        error=error,
    )


def send_sms(send_log_id: UUID, *, queue: RetryQueue, sender: Sender) -> ItemResult:
    """Send a text for the first time, with the checks of every retry, and see it through if it does not go out now.

    The text gets its queue row before anything is sent, so a crash in the middle loses and doubles nothing. In quiet
    hours it waits for the opening; after a passing failure it is retried in 1, 5 and 15 minutes; this first send
    does not count as one of the retries.

    Raises:
        InputError: there is no such send log, it is no text to a customer, or it is already sent.
        QueueError: the database could not be asked.
    """
    queued = queue_sms_retry(send_log_id, None, queue=queue)
    if queued.retry_id is None:
        raise InputError(f"Send log {send_log_id} was already sent: insert a new send log for a new text")
    claim = queue.claim_one(queued.retry_id) if queued.result == "queued" else None
    if claim is None:
        return ItemResult(
            retry_id=queued.retry_id, fate="Deferred", detail="Already in the queue", next_at=queued.due_at
        )
    return process_sms_retry_item(claim, queue=queue, sender=sender, first_send=True)


def process_sms_retry_item(claim: Claim, *, queue: RetryQueue, sender: Sender, first_send: bool = False) -> ItemResult:
    """See one claimed row to its next state.

    Raises:
        QueueError: the database could not be asked. The row keeps its state until recovery takes it back.
        UnforeseenError: a bug; the row is failed with the message, if its send had not begun.
    """
    try:
        return _process(claim, queue=queue, sender=sender, first_send=first_send, at=claim.claimed_at)
    except QueueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost other rows theirs
        message = _describe(error, claim)
    # Outside the handler: an exception raised inside would carry the original, which may quote the customer.
    queue.end(claim, status="failed", error=message)  # changes nothing if the send has begun
    raise UnforeseenError(f"Row {claim.id}: {message}")


def _process(claim: Claim, *, queue: RetryQueue, sender: Sender, first_send: bool, at: datetime) -> ItemResult:
    decision = policy.before_send(claim, at=at)
    match decision:
        case Send():
            pass
        case Defer(until, reason, why):
            held = queue.defer(claim, until=until, reason=reason)
            return _result(claim, held, "Deferred", why, next_at=until)
        case End(status, why):
            held = queue.end(claim, status=status, error=why)
            return _result(claim, held, "Failed" if status == "failed" else "Cancelled", why)
        case _:
            assert_never(decision)

    attempt_id = uuid4()
    begun = queue.begin(claim, attempt_id, send_before=decision.send_before, rule=decision.rule, first_send=first_send)
    match begun.verdict:
        case "go":
            outcome = _send(claim, attempt_id, sender)
            return _finish(claim, attempt_id, outcome, queue=queue, first_send=first_send)
        case "closed":  # it took so long that the window closed: decide again, by the clock that said so
            return _process(claim, queue=queue, sender=sender, first_send=first_send, at=begun.decided_at)
        case "ended":
            return _result(claim, True, "Cancelled", begun.reason or "")
        case "lost":
            return _result(claim, False, "Lost", _LOST)
        case _:
            assert_never(begun.verdict)


def _send(claim: Claim, attempt_id: UUID, sender: Sender) -> Outcome:
    try:
        return sender.send(Text(attempt_id=attempt_id, to=claim.phone or "", body=claim.body or ""))
    except Exception as error:  # noqa: BLE001 - the request may have left: whatever it was, we do not know
        return InDoubt(_describe(error, claim))


def _finish(claim: Claim, attempt_id: UUID, outcome: Outcome, *, queue: RetryQueue, first_send: bool) -> ItemResult:
    decision = policy.after_send(claim, outcome, first_send=first_send)
    finish = partial(queue.finish, claim, attempt_id, outcome=_NAMES[type(outcome)])
    match decision:
        case Complete(sid):
            done = finish(next_status="completed", sid=sid)
            return _result(claim, done.applied, "Sent", f"Accepted by Twilio as {sid}")
        case Retry(delay, reason, why, code, counted):
            done = finish(next_status="pending", error=why, code=code, retry_in=delay, reason=reason, counted=counted)
            return _result(claim, done.applied, "RetryScheduled", why, code, done.scheduled_for)
        case GiveUp(why, code):
            done = finish(next_status="failed", error=why, code=code)
            return _result(claim, done.applied, "Failed", why, code)
        case Doubt(why):
            done = finish(next_status="pending", error=why, retry_in=timedelta(0))
            return _result(claim, done.applied, "InDoubt", why)
        case _:
            assert_never(decision)


_NAMES: Final[dict[type[Outcome], OutcomeName]] = {
    Accepted: "accepted",
    Rejected: "rejected",
    NotSent: "not_sent",
    InDoubt: "in_doubt",
}


def _result(
    claim: Claim, held: bool, fate: Fate, detail: str, code: int | None = None, next_at: datetime | None = None
) -> ItemResult:
    if not held:
        return ItemResult(retry_id=claim.id, fate="Lost", detail=_LOST)
    return ItemResult(retry_id=claim.id, fate=fate, detail=detail, code=code, next_at=next_at)


def _describe(error: Exception, claim: Claim) -> str:
    """Kind, place and message of an unforeseen error; no message that may quote the customer."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"Unforeseen {type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - it is somebody else's code
        return place
    if any(_quotes(message, private) for private in (claim.body, claim.phone) if private):
        return f"{place} (its message is withheld: it quotes the customer)"
    numberless = re.sub(r"\+?\d[\d\s().-]{6,}\d", "…", message)  # nor anybody else's number
    return f"{place}: {numberless}"[:500]


def _quotes(message: str, private: str, *, run: int = 6) -> bool:
    """Whether six letters or digits in a row are the same, whatever was escaped, cut or put between them."""
    said, kept = (re.sub(r"[\W_]", "", text).lower() for text in (message, private))
    run = min(run, len(kept))
    return run > 0 and any(kept[start : start + run] in said for start in range(len(kept) - run + 1))


@dataclass(frozen=True, slots=True)
class ItemError:
    """A row whose processing raised; the other rows went on."""

    retry_id: UUID
    error: Exception


def process_due(queue: RetryQueue, sender: Sender, *, limit: int) -> Iterator[ItemResult | ItemError]:
    """Claim up to `limit` due rows and process them, without Prefect."""
    claims = queue.claim_due(limit)

    def process(claim: Claim) -> ItemResult | ItemError:
        try:
            return process_sms_retry_item(claim, queue=queue, sender=sender)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemError(claim.id, error)

    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        yield from pool.map(process, claims)
