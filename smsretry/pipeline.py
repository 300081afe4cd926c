"""The one way through: claim → `policy.before_send` → begin → send → `policy.after_send` → finish.

Nothing here retries a send and nothing here knows Prefect. Each function takes its queue and sender.
"""

import re
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, assert_never
from uuid import UUID, uuid4

from smsretry import policy
from smsretry.backoff import next_retry_delay
from smsretry.decision import (
    AfterLook,
    Complete,
    Defer,
    Doubt,
    End,
    GiveUp,
    Hold,
    LookAgain,
    Resend,
    Retry,
    Send,
    Settle,
)
from smsretry.errors import InputError, QueueError, UnforeseenError
from smsretry.evidence import earliest_creation
from smsretry.gate import Gate
from smsretry.models import Claim, Fate, InDoubtPolicy, ItemResult, OutcomeName, Queued, Reason, Sighting, Text
from smsretry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.ports import RetryQueue, Sender

SEND_WITHIN_SECONDS: Final = 15.0
"""A request leaves within this time of asking to begin, or not at all. With the timeouts of Twilio's adapter it stays
below the shortest lease (one minute), so that nobody else takes the row while its request is under way."""
CONCURRENCY: Final = 10
"""Rows of one run processed at once, and so requests to Twilio under way."""

_UNANSWERED: Final = "A send to the same number has no answer yet: what was found may be that one's"
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


def process_sms_retry_item(
    claim: Claim,
    *,
    queue: RetryQueue,
    sender: Sender,
    gate: Gate | None = None,
    in_doubt: InDoubtPolicy = "resend",
    first_send: bool = False,
) -> ItemResult:
    """See one claimed row to its next state. A row in doubt is not sent: evidence of it is looked for.

    Args:
        gate: the run's; none lets everything through.
        in_doubt: what becomes of a text for which no evidence is found.
        first_send: it is the text's very first send, and not one of its retries.

    Raises:
        QueueError: the database could not be asked. The row keeps its state until recovery takes it back.
        UnforeseenError: a bug; the row is failed with the message, if its send had not begun.
    """
    gate = gate or Gate()
    try:
        if claim.in_doubt_since is not None:
            return _reconcile(claim, queue=queue, sender=sender, in_doubt=in_doubt)
        if gate.shut_because:
            held = queue.defer(claim, until=claim.scheduled_for, reason=None)
            return _result(claim, held, "GivenBack", gate.shut_because)
        return _process(claim, queue, sender, gate, at=claim.claimed_at, first_send=first_send)
    except QueueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost other rows theirs
        message = _describe(error, claim)
    # Outside the handler: an exception raised inside would carry the original, which may quote the customer.
    if claim.in_doubt_since is None:
        queue.end(claim, status="failed", error=message)  # changes nothing if the send has begun
    raise UnforeseenError(f"Row {claim.id}: {message}")


def _process(
    claim: Claim, queue: RetryQueue, sender: Sender, gate: Gate, *, at: datetime, first_send: bool
) -> ItemResult:
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

    attempt_id, asked = uuid4(), _stopwatch()
    begun = queue.begin(claim, attempt_id, send_before=decision.send_before, rule=decision.rule, first_send=first_send)
    match begun.verdict:
        case "go":
            text = Text(
                attempt_id=attempt_id,
                to=claim.phone or "",
                body=claim.body or "",
                valid_for=decision.valid_until - begun.decided_at,
            )
            if _stopwatch() - asked > SEND_WITHIN_SECONDS:
                outcome: Outcome = NotSent("This process was stopped for too long to be sure of its claim")
            else:
                outcome = _send(claim, text, sender)
                gate.observe(outcome)
            return _finish(claim, attempt_id, outcome, queue=queue, first_send=first_send)
        case "closed":  # it took so long that the window closed: decide again, by the clock that said so
            return _process(claim, queue, sender, gate, at=begun.decided_at, first_send=first_send)
        case "ended":
            return _result(claim, True, "Cancelled", begun.reason or "")
        case "lost":
            return _result(claim, False, "Lost", _LOST)
        case _:
            assert_never(begun.verdict)


def _send(claim: Claim, text: Text, sender: Sender) -> Outcome:
    try:
        return sender.send(text)
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
            done = finish(next_status="pending", error=why, retry_in=next_retry_delay(0))
            if done.status == "completed":  # Twilio's report came before its answer was given up
                return _result(claim, done.applied, "Sent", "Reported by Twilio to the status callback")
            return _result(claim, done.applied, "InDoubt", why, next_at=done.scheduled_for)
        case _:
            assert_never(decision)


def _reconcile(claim: Claim, *, queue: RetryQueue, sender: Sender, in_doubt: InDoubtPolicy) -> ItemResult:
    """Look for evidence of what became of a text in doubt: in the database first, then in Twilio's list."""
    decision: AfterLook | None = policy.known_evidence(claim)
    sightings: list[Sighting] | None = None
    if decision is None:
        since = earliest_creation(claim.attempt_begun_at or claim.claimed_at)
        sightings = sender.look_up(claim.phone or "", since=since)
    taken, trouble = frozenset[str](), "Twilio's list could not be had"
    while True:
        decision = decision or policy.after_look(claim, sightings, at=claim.claimed_at, in_doubt=in_doubt, taken=taken)
        match decision:
            case Settle(sid, by):
                answer = queue.reconcile(claim, verdict="accepted", sid=sid, settled_by=by)
                if answer == "sid_taken":
                    # A message of another attempt. In the text's own send log it still says that the text went out.
                    decision, taken = Settle(None, by) if by == "callback" else None, taken | {sid or ""}
                    continue
                if answer == "wait":
                    decision, trouble = LookAgain(next_retry_delay(claim.reconcile_count), failed=True), _UNANSWERED
                    continue
                result = _result(claim, True, "Sent", f"Found at Twilio as {sid}" if sid else "Marked as sent")
            case LookAgain(after, failed):
                answer = queue.reconcile(claim, verdict="look_failed" if failed else "look_again", look_in=after)
                why = trouble if failed else "No evidence yet"
                result = _result(claim, True, "InDoubt", why, next_at=claim.claimed_at + after)
            case Resend():
                answer = queue.reconcile(claim, verdict="resend")
                result = _result(claim, True, "RetryScheduled", "It did not go out", next_at=claim.claimed_at)
            case Hold(why):
                answer = queue.reconcile(claim, verdict="hold", error=why)
                result = _result(claim, True, "Failed", why)
            case _:
                assert_never(decision)
        return result if answer == "applied" else _result(claim, False, "Lost", _LOST)


def _stopwatch() -> float:
    """Seconds by a clock that goes on while the process or the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


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


def claim_all(queue: RetryQueue, gate: Gate, *, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
    claims = [*queue.claim_due(limit), *queue.claim_doubtful(limit)]
    if any(claim.circuit_open for claim in claims):
        gate.probe()
    return claims


def report_circuit(queue: RetryQueue, gate: Gate, claims: Sequence[Claim]) -> None:
    """Remember for the next run that sending does not work, or that it works again."""
    if gate.circuit:
        queue.set_circuit(gate.circuit)
    elif gate.healthy and any(claim.circuit_open for claim in claims):
        queue.set_circuit(None)


def process_due(
    queue: RetryQueue, sender: Sender, gate: Gate, *, limit: int, in_doubt: InDoubtPolicy = "resend"
) -> Iterator[ItemResult | ItemError]:
    """Claim up to `limit` due rows and process them, without Prefect."""
    claims = claim_all(queue, gate, limit=limit)

    def process(claim: Claim) -> ItemResult | ItemError:
        try:
            return process_sms_retry_item(claim, queue=queue, sender=sender, gate=gate, in_doubt=in_doubt)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemError(claim.id, error)

    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        yield from pool.map(process, claims)
    report_circuit(queue, gate, claims)
