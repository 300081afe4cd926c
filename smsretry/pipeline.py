"""The one way through: claim → `policy.before_send` → begin → send → `policy.after_send` → finish.

Nothing here retries a send and nothing here knows Prefect. Each function takes its queue and sender.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID, uuid4

from smsretry.errors import InputError, QueueError, UnforeseenError
from smsretry.gate import Gate
from smsretry.ports import RetryQueue, Sender
from smsretry.privacy import describe_unforeseen
from smsretry.reconciling import LOST, reconcile
from smsretry.retry import policy
from smsretry.retry.backoff import next_retry_delay
from smsretry.retry.decision import Complete, Defer, Doubt, End, GiveBack, GiveUp, PutOff, Retry, Send
from smsretry.retry.models import Claim, ItemResult, Queued, Text
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.words import Fate, MessageClass, Reason

SEND_WITHIN_SECONDS: Final = 15.0
"""A request leaves within this time of asking to begin, or not at all. With the sender's timeouts it stays below the
shortest lease (one minute), so that nobody else takes the row while its request is under way."""

_CHANGED: Final = "The customer's number has changed: the next run decides for the new one"


def queue_sms_retry(
    send_log_id: UUID,
    reason: Reason | None,
    attempt_count: int = 0,
    scheduled_for: datetime | None = None,
    error: str | None = None,
    *,
    queue: RetryQueue,
    message_class: MessageClass = "marketing",
) -> Queued:
    """Queue a retry for a text whose send failed for a moment or may not go out now.

    A text has one live row: queueing it again returns that one (`already_queued`). Past the last attempt its send
    log is marked failed (`attempts_exhausted`). `error` is stored: no phone numbers in it.

    Args:
        attempt_count: retries already made; decides the delay (1, 5, 15 minutes) when `scheduled_for` is not given.
        message_class: `transactional` for what the customer asked for (a code, a receipt): no state's rule binds it.

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
        message_class=message_class,
    )


def send_sms(
    send_log_id: UUID,
    *,
    queue: RetryQueue,
    sender: Sender,
    profile: Profile = DEFAULT,
    message_class: MessageClass = "marketing",
) -> ItemResult:
    """Send a text for the first time, with the checks of every retry, and see it through if it does not go out now.

    The text gets its queue row before anything is sent, so a crash in the middle loses and doubles nothing. In quiet
    hours it waits for the opening; after a passing failure it is retried in 1, 5 and 15 minutes; this first send
    does not count as one of the retries.

    Raises:
        InputError: there is no such send log, it is no text to a customer, or it is already sent.
        QueueError: the database could not be asked.
    """
    queued = queue_sms_retry(send_log_id, None, queue=queue, message_class=message_class)
    if queued.retry_id is None:
        raise InputError(f"Send log {send_log_id} was already sent: insert a new send log for a new text")
    claim = queue.claim_one(queued.retry_id) if queued.result == "queued" else None
    if claim is None:
        return ItemResult(
            retry_id=queued.retry_id, fate="Deferred", detail="Already in the queue", next_at=queued.due_at
        )
    return process_sms_retry_item(claim, queue=queue, sender=sender, profile=profile, first_send=True)


def process_sms_retry_item(
    claim: Claim,
    *,
    queue: RetryQueue,
    sender: Sender,
    gate: Gate | None = None,
    profile: Profile = DEFAULT,
    first_send: bool = False,
) -> ItemResult:
    """See one claimed row to its next state. A row in doubt is not sent: we look for evidence of it.

    Args:
        gate: the run's gate. Without one, everything is let through.
        profile: the owner's decisions.
        first_send: whether it is the text's very first send, and not one of its retries.

    Raises:
        QueueError: the database could not be asked. The row keeps its state until recovery takes it back.
        UnforeseenError: a bug; the row is failed with the message, if its send had not begun.
    """
    gate = gate or Gate()
    try:
        if claim.in_doubt_since is not None:
            return reconcile(claim, queue=queue, sender=sender, profile=profile)
        return _Item(claim, queue, sender, gate, profile, first_send).process(claim.claimed_at)
    except QueueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost other rows theirs
        message = describe_unforeseen(error, private=(claim.body, claim.phone))
    # Outside the handler: an exception raised inside would carry the original, which may quote the customer.
    if claim.in_doubt_since is None:
        queue.put_off(claim, End("failed", message))  # changes nothing if the send has begun
    raise UnforeseenError(f"Row {claim.id}: {message}")


@dataclass(frozen=True, slots=True)
class _Item:
    """One claimed row on its way, with what it needs."""

    claim: Claim
    queue: RetryQueue
    sender: Sender
    gate: Gate
    profile: Profile
    first_send: bool

    def process(self, at: datetime) -> ItemResult:
        """Decide by the clock at `at`, and act on it."""
        decision = policy.before_send(self.claim, at=at, profile=self.profile)
        if not isinstance(decision, Send):
            return self._put_off(decision)
        if why := self.gate.admit():
            return self._put_off(GiveBack(why))
        return self._attempt(decision)

    def _put_off(self, decision: PutOff) -> ItemResult:
        held = self.queue.put_off(self.claim, decision)
        match decision:
            case Defer(until, _, why):
                return self._result(held, "Deferred", why, next_at=until)
            case GiveBack(why):
                return self._result(held, "GivenBack", why)
            case End(status, why):
                return self._result(held, "Failed" if status == "failed" else "Cancelled", why)
            case _:
                assert_never(decision)

    def _attempt(self, decision: Send) -> ItemResult:
        attempt_id, asked = uuid4(), _stopwatch()
        try:
            begun = self.queue.begin(self.claim, attempt_id, decision, first_send=self.first_send)
        except Exception:
            self.gate.withdraw()
            raise
        if begun.answer == "go" and _stopwatch() - asked <= SEND_WITHIN_SECONDS:
            return self._finish(attempt_id, self._send(attempt_id, decision.valid_until - begun.decided_at))
        self.gate.withdraw()
        match begun.answer:
            case "go":
                return self._finish(
                    attempt_id, NotSent("This process was stopped for too long to be sure of its claim")
                )
            case "closed":  # it took so long that the window closed: decide again, by the clock that said so
                return self.process(begun.decided_at)
            case "capped":
                reached_at = begun.reached_at or begun.decided_at
                return self._put_off(policy.after_cap(self.claim, reached_at=reached_at, profile=self.profile))
            case "changed":
                return self._put_off(GiveBack(_CHANGED))
            case "ended":
                return self._result(True, "Cancelled", begun.why or "")
            case "lost":
                return self._result(False, "Lost", LOST)
            case _:
                assert_never(begun.answer)

    def _send(self, attempt_id: UUID, valid_for: timedelta) -> Outcome:
        claim = self.claim
        text = Text(attempt_id=attempt_id, to=claim.phone or "", body=claim.body or "", valid_for=valid_for)
        try:
            outcome = self.sender.send(text)
        except Exception as error:  # noqa: BLE001 - the request may have left: whatever it was, we do not know
            outcome = InDoubt(describe_unforeseen(error, private=(claim.body, claim.phone)))
        self.gate.observe(outcome)
        return outcome

    def _finish(self, attempt_id: UUID, outcome: Outcome) -> ItemResult:
        decision = policy.after_send(self.claim, outcome, first_send=self.first_send)
        done = self.queue.finish(self.claim, attempt_id, outcome, decision)
        match decision:
            case Complete(sid):
                return self._result(done.applied, "Sent", f"Accepted as {sid}")
            case Retry(_, _, why, code):
                return self._result(done.applied, "RetryScheduled", why, code, done.scheduled_for)
            case GiveUp(why, code):
                return self._result(done.applied, "Failed", why, code)
            case Doubt() if done.status == "completed":  # the provider's report came before its answer was given up
                return self._result(done.applied, "Sent", "Reported to the status callback")
            case Doubt(why):
                return self._result(done.applied, "InDoubt", why, next_at=done.scheduled_for)
            case _:
                assert_never(decision)

    def _result(
        self, held: bool, fate: Fate, detail: str, code: int | None = None, next_at: datetime | None = None
    ) -> ItemResult:
        if not held:
            return ItemResult(retry_id=self.claim.id, fate="Lost", detail=LOST)
        return ItemResult(retry_id=self.claim.id, fate=fate, detail=detail, code=code, next_at=next_at)


def _stopwatch() -> float:
    """Seconds by a clock that goes on while the process or the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
