"""The one way through: claim → `before_send` → begin → send → `after_send` → finish.

Nothing here retries a send and nothing here knows Prefect. Each function takes its queue and provider.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID, uuid4

from smsretry.errors import QueueBusy, QueueError, UnforeseenError
from smsretry.privacy import describe_unforeseen
from smsretry.retry import before
from smsretry.retry.after import after_send
from smsretry.retry.answers import BeginAnswer
from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.decision import (
    AfterSend,
    Cancel,
    Cap,
    Complete,
    Defer,
    Fail,
    GiveBack,
    Hold,
    LookAgain,
    NoSend,
    Retry,
    Send,
)
from smsretry.retry.models import Claim, ItemResult, Text
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.retry.profile import DEFAULT, SEND_WITHIN_SECONDS, Profile
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Provider, RetryQueue
from smsretry.sending.reconciling import reconcile
from smsretry.vocabulary import WhyCode

_BUSY: Final = "Its sender's slots of the next seconds are reserved for other texts: it goes at the next free one"
_LOCKED: Final = "Another transaction holds its customer, its send log or what is known of consent locked"
_TOO_LATE: Final = (
    "It took {:.0f} s to learn that it may go, and by then another worker may have had it: the database was slow, or "
    "this process was stopped meanwhile"
)
_NO_PLACE: Final = (
    "Its sender's answers became slow: for {:.0f} s no place at the provider was free, and by then another worker may "
    "have had it"
)
_SLOW: Final = (
    "The provider was slow to say what became of an earlier message of this text"
)
_RUN_UNKNOWN: Final = "The database does not know this run, and may have been restored under it: the next run looks"
_CHANGED: Final = (
    "What the decision was made from has changed: the next run decides again"
)


def process_sms_retry_item(
    claim: Claim,
    *,
    queue: RetryQueue,
    provider: Provider,
    flow_control: FlowControl | None = None,
    profile: Profile = DEFAULT,
    first_send: bool = False,
    run_id: UUID | None = None,
) -> ItemResult:
    """Bring one claimed text to its next state. A text in doubt is not sent: evidence of it is looked for.

    Args:
        flow_control: the run's flow control. Without one, everything is let through.
        profile: the owner's decisions.
        first_send: whether it is the text's very first send, and not one of its retries.
        run_id: the run that this is part of, if it was begun by `start_run`. A run that the database does not know
            means that the database was restored from a backup.

    Raises:
        QueueError: the database could not be asked. The row keeps its state until recovery takes it back.
        UnforeseenError: a bug, or trouble of this machine. If the send had not begun, the row has failed after a bug,
            and is held after trouble of this machine.
    """
    flow_control = flow_control or FlowControl()
    try:
        if claim.in_doubt_since is not None:
            return reconcile(
                claim,
                queue=queue,
                provider=provider,
                profile=profile,
            )
        item = _Item(claim, queue, provider, flow_control, profile, first_send, run_id)
        return item.process(claim.claimed_at)
    except QueueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, other texts go on
        why = describe_unforeseen(error, private=claim.private)
        # Somebody can fix a full disk or a broken installation, and no text pays for that.
        is_fixable = isinstance(error, OSError | ImportError | MemoryError)
    # Outside the handler: an exception raised inside would carry the original, which may quote the customer.
    if claim.in_doubt_since is None:
        # It changes nothing if the send has begun.
        queue.act_on(claim, (Hold if is_fixable else Fail)(why, "unforeseen"))
    raise UnforeseenError(f"Row {claim.id}: {why}")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A send that was begun, and what follows from it."""

    id: UUID
    outcome: Outcome
    decision: AfterSend


@dataclass(slots=True)
class _Item:
    """One claimed text on its way, with what it needs."""

    claim: Claim
    queue: RetryQueue
    provider: Provider
    flow_control: FlowControl
    profile: Profile
    first_send: bool
    run_id: UUID | None

    def process(self, at: datetime) -> ItemResult:
        """Decide by the clock at `at`, and act on it."""
        profile = self.profile
        self.claim = before.with_expiry(self.claim, at=at, profile=profile)
        decision = before.before_send(self.claim, at=at, profile=profile)
        if not isinstance(decision, Send):
            return self._act_on(decision)
        # Its end is recorded once its place is free.
        match end := self._try(decision):
            case _Attempt():
                return self._finish(end)
            case BeginAnswer():
                return self._not_begun(end, decision.cap)
            case _:
                return self._act_on(end)

    def _try(self, decision: Send) -> NoSend | BeginAnswer | _Attempt:
        """Begin and send, in a place at the provider."""
        claim = self.claim
        # A text to somebody who is not listed needs nothing of the provider: begin says what becomes of it.
        if not self.provider.audience.includes(claim.phone):
            return self._begin(uuid4(), decision)
        if why := self.provider.credentials_problem(claim.sender.account or ""):
            # An application may have no credentials for it: the workers do.
            return (GiveBack if self.first_send else Hold)(why, "no_credentials")
        with self.flow_control.place(claim) as obstacle:
            return obstacle or self._attempt(decision)

    def _attempt(self, decision: Send) -> NoSend | BeginAnswer | _Attempt:
        claim, asked_at, attempt_id = self.claim, _stopwatch(), uuid4()
        if obstacle := self._check_lost_messages(asked_at):
            return obstacle
        answer = self._begin(attempt_id, decision)
        if not isinstance(answer, BeginAnswer) or answer.answer != "go":
            return answer
        text = Text(
            attempt_id=attempt_id,
            sender=claim.sender,
            to=claim.phone or "",
            body=claim.body or "",
            # By the database's clock, like the decision itself.
            valid_for=decision.valid_until - answer.decided_at,
            message_class=claim.message_class,
        )
        self.flow_control.wait_for_slot(claim, answer)
        with self.flow_control.at_provider(claim) as waited:
            # What allowed the send must still be so when the request leaves.
            took = _stopwatch() - asked_at
            outcome = self._send(text) if took <= SEND_WITHIN_SECONDS else None
        if outcome is None:
            return _too_late(attempt_id, took, waited)
        if pause_seconds := self.flow_control.observe(claim, outcome):
            with suppress(QueueError):  # then other machines find out by themselves
                self.queue.slow_down(claim.sender, pause_seconds)
        follows = after_send(
            claim,
            outcome,
            refused_for=answer.decided_at - (answer.refused_since or answer.decided_at),
            first_send=self.first_send,
            profile=self.profile,
        )
        return _Attempt(attempt_id, outcome, follows)

    def _check_lost_messages(self, asked_at: float) -> NoSend | None:
        """Ask the provider once more about messages of this text that did not arrive: they may have arrived by now."""
        if not self.claim.lost_messages:
            return None
        reports = {
            message.sid: self.provider.fetch_report(
                message.sid, account=message.account
            )
            for message in self.claim.lost_messages
        }
        if decision := before.before_sending_again(
            self.claim, reports, profile=self.profile
        ):
            return decision
        if _stopwatch() - asked_at > SEND_WITHIN_SECONDS:
            return before.troubled(self.claim, _SLOW, "unreachable")
        return None

    def _begin(self, attempt_id: UUID, decision: Send) -> BeginAnswer | NoSend:
        """May the request leave?"""
        began = time.monotonic()
        try:
            answer = self.queue.begin(
                self.claim,
                attempt_id,
                decision,
                first_send=self.first_send,
                run_id=self.run_id,
                answer_seconds=self.flow_control.answer_seconds,
            )
        except QueueBusy:
            return before.troubled(self.claim, _LOCKED, "locked")
        except QueueError as error:
            self.flow_control.database_failed(self.claim, str(error))
            # If it did begin, this changes nothing.
            return before.troubled(self.claim, str(error))
        self.flow_control.database_answered(self.claim, time.monotonic() - began)
        return answer

    def _not_begun(self, begun: BeginAnswer, cap: Cap | None) -> ItemResult:
        claim, until = self.claim, begun.until or begun.decided_at
        why = begun.why or ""
        decision: NoSend
        match begun.answer:
            case "closed":  # it took so long that the window closed: decide again, by the clock that said so
                return self.process(begun.decided_at)
            case "daily_cap" | "day_spent" as limit:
                if cap and limit == "daily_cap":
                    why = cap.description
                decision = before.wait_for_window(
                    claim, until, why or before.SPENT, limit, profile=self.profile
                )
            case "sender_rate":
                decision = Defer(_BUSY, "sender_rate", due_at=until)
            case "run_unknown":
                decision = before.troubled(claim, _RUN_UNKNOWN, "database_trouble")
            case "data_changed":
                decision = GiveBack(_CHANGED, "data_changed")
            case "held":
                due_in = until - begun.decided_at if begun.until else HELD_LOOK
                decision = Hold(why, begun.why_code, due_in=due_in)
            case "ended":
                return Cancel(why, begun.why_code).result(claim)
            case "go" | "claim_lost":  # `process` has acted on "go"
                return ItemResult.claim_lost(claim)
            case _:
                assert_never(begun.answer)
        return self._act_on(decision)

    def _act_on(self, decision: NoSend) -> ItemResult:
        if not self.queue.act_on(self.claim, decision):
            return ItemResult.claim_lost(self.claim)
        return decision.result(self.claim)

    def _send(self, text: Text) -> Outcome:
        try:
            return self.provider.send(text)
        except Exception as error:  # noqa: BLE001 - the request may have left: whatever it was, we do not know
            return InDoubt(describe_unforeseen(error, private=self.claim.private))

    def _finish(self, attempt: _Attempt) -> ItemResult:
        decision = attempt.decision
        finished = self.queue.finish(self.claim, attempt.id, attempt.outcome, decision)
        if not finished.applied:
            return ItemResult.claim_lost(self.claim)
        if finished.status == "completed" and isinstance(decision, LookAgain):
            # A status callback proved it before the doubt was recorded.
            proof = Complete(
                "Reported to the status callback",
                sid=None,
                by="callback",
            )
            return proof.result(self.claim)
        due_at = finished.scheduled_for if finished.status == "pending" else None
        return decision.result(self.claim, due_at=due_at)


def _too_late(attempt_id: UUID, took: float, waited: float) -> _Attempt:
    """An attempt whose request did not leave in time. It costs nothing.

    Args:
        waited: how many of the seconds that it took, for a place at the provider.
    """
    why = _TOO_LATE.format(took)
    why_code: WhyCode = "database_trouble"
    if waited > took / 2:
        why, why_code = _NO_PLACE.format(waited), "at_capacity"
    again = Retry(
        why,
        why_code,
        due_in=before.TROUBLE_DELAY,
        reason=None,
    )
    return _Attempt(attempt_id, NotSent(why), again)


def _stopwatch() -> float:
    """Seconds by a clock that goes on while the process or the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
