"""The one way through: claim → `before_send` → begin → send → `after_send` → finish.

Nothing here retries a send and nothing here knows Prefect. Each function takes its queue and sender.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID, uuid4

from smsretry.errors import QueueBusy, QueueError, UnforeseenError
from smsretry.privacy import describe_unforeseen
from smsretry.retry import before
from smsretry.retry.after import after_send
from smsretry.retry.answers import Begun
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
    PutOff,
    Retry,
    Send,
)
from smsretry.retry.delivery import before_sending_again
from smsretry.retry.models import Claim, ItemResult, Text
from smsretry.retry.outcome import InDoubt, NotSent, Outcome
from smsretry.retry.profile import DEFAULT, SEND_WITHIN_SECONDS, Profile
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import RetryQueue, Sender
from smsretry.sending.reconciling import reconcile

_BUSY: Final = "Its sender's time is given away for the next seconds: it goes when there is time for it"
_LOCKED: Final = "Another transaction holds its customer, its send log or what is known of consent locked"
_TOO_LATE: Final = (
    "It took {:.0f} s to learn that it may go, and by then another worker may have it: the database was slow, or this "
    "process was stopped meanwhile"
)
_SLOW: Final = (
    "The provider was slow to say what became of an earlier message of this text"
)
_CHANGED: Final = (
    "What the decision was made from has changed: the next run decides anew"
)


def process_sms_retry_item(
    claim: Claim,
    *,
    queue: RetryQueue,
    sender: Sender,
    flow_control: FlowControl | None = None,
    profile: Profile = DEFAULT,
    first_send: bool = False,
    run_id: UUID | None = None,
) -> ItemResult:
    """Bring one claimed row to its next state. A row in doubt is not sent: evidence of it is looked for.

    Args:
        flow_control: the run's flow control. Without one, everything is let through.
        profile: the owner's decisions.
        first_send: whether it is the text's very first send, and not one of its retries.
        run_id: the run that this is part of, if it was begun by `start_run`. If the database does not know it (any
            more), it is taken for one that was restored from a backup.

    Raises:
        QueueError: the database could not be asked. The row keeps its state until recovery takes it back.
        UnforeseenError: a bug, or trouble of this machine. Its row is failed, or held, if its send had not begun.
    """
    flow_control = flow_control or FlowControl()
    try:
        if claim.in_doubt_since is not None:
            return reconcile(claim, queue=queue, sender=sender, profile=profile)
        claim = before.with_expiry(claim, at=claim.claimed_at, profile=profile)
        return _Item(
            claim, queue, sender, flow_control, profile, first_send, run_id
        ).process(claim.claimed_at)
    except QueueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost other rows theirs
        private = (
            claim.body,
            claim.phone,
            claim.sent_body,
            claim.sent_to,
            *claim.other_bodies,
        )
        message = describe_unforeseen(error, private=private)
        is_machines = isinstance(
            error, OSError | ImportError | MemoryError
        )  # which somebody can mend
    # Outside the handler: an exception raised inside would carry the original, which may quote the customer.
    if claim.in_doubt_since is None:
        decision = (Hold if is_machines else Fail)(message, "unforeseen")
        queue.put_off(claim, decision)  # changes nothing if the send has begun
    raise UnforeseenError(f"Row {claim.id}: {message}")


@dataclass(frozen=True, slots=True)
class _Item:
    """One claimed row on its way, with what it needs."""

    claim: Claim
    queue: RetryQueue
    sender: Sender
    flow_control: FlowControl
    profile: Profile
    first_send: bool
    run_id: UUID | None

    def process(self, at: datetime) -> ItemResult:
        """Decide by the clock at `at`, and act on it."""
        decision = before.before_send(self.claim, at=at, profile=self.profile)
        if not isinstance(decision, Send):
            return self._put_off(decision)
        # A text to somebody who is not listed needs nothing of the provider: begin says what becomes of it.
        if self._is_listed and (obstacle := self._obstacle()):
            return self._put_off(obstacle)
        asked_at, attempt_id = _stopwatch(), uuid4()
        try:
            answer = self._check_lost_messages(asked_at) or self._ask(
                attempt_id, decision
            )
        except Exception:
            self.flow_control.withdraw(self.claim)
            raise
        if isinstance(answer, Begun) and answer.answer == "go":
            self.flow_control.wait_for_turn(self.claim, answer)
            return self._go(
                attempt_id, decision.valid_until - answer.decided_at, asked_at
            )
        self.flow_control.withdraw(self.claim)
        return (
            self._not_begun(answer, decision.cap)
            if isinstance(answer, Begun)
            else self._put_off(answer)
        )

    def _obstacle(self) -> PutOff | None:
        """Why this worker, or its run, does not let it go."""
        if detail := self.sender.cannot_send_for(self.claim.sender.account or ""):
            # The application may have no credentials, and leave them to the workers.
            return (GiveBack if self.first_send else Hold)(detail, "no_credentials")
        return self.flow_control.admit(self.claim)

    @property
    def _is_listed(self) -> bool:
        """Whether this installation texts its customer."""
        return self.sender.audience.includes(self.claim.phone)

    @property
    def _claim_lost(self) -> ItemResult:
        return ItemResult.claim_lost(self.claim)

    def _ask(self, attempt_id: UUID, decision: Send) -> Begun | PutOff:
        """May the request leave?"""
        began, lead, first_send = (
            time.monotonic(),
            self.flow_control.lead,
            self.first_send,
        )
        try:
            begun = self.queue.begin(
                self.claim,
                attempt_id,
                decision,
                first_send=first_send,
                run_id=self.run_id,
                lead=lead,
            )
        except QueueBusy:
            return before.troubled(self.claim, _LOCKED, "locked")
        except QueueError as error:
            self.flow_control.database_failed(self.claim, str(error))
            return before.troubled(
                self.claim, str(error)
            )  # changes nothing if the send was begun after all
        self.flow_control.database_answered(self.claim, time.monotonic() - began)
        return begun

    def _check_lost_messages(self, asked_at: float) -> PutOff | None:
        """Ask the provider once more about messages of this text that did not arrive: they may have arrived by now."""
        lost_messages = self.claim.lost_messages if self._is_listed else ()
        reports = {
            message.sid: self.sender.what_became_of(
                message.sid, account=message.account
            )
            for message in lost_messages
        }
        if settled := before_sending_again(self.claim, reports):
            return settled
        too_slow = lost_messages and _stopwatch() - asked_at > SEND_WITHIN_SECONDS
        return before.troubled(self.claim, _SLOW, "unreachable") if too_slow else None

    def _not_begun(self, begun: Begun, cap: Cap | None) -> ItemResult:
        claim, profile, until = (
            self.claim,
            self.profile,
            begun.reached_at or begun.decided_at,
        )
        match begun.answer:
            case "closed":  # it took so long that the window closed: decide again, by the clock that said so
                return self.process(begun.decided_at)
            case "capped":
                free_at, detail = (
                    until + before.CAP_WINDOW,
                    cap.description if cap else "",
                )
                return self._put_off(
                    before.wait(claim, free_at, detail, "daily_cap", profile=profile)
                )
            case "busy":
                return self._put_off(Defer(_BUSY, "sender_rate", until=until))
            case "spent":
                return self._put_off(
                    before.wait(
                        claim, until, before.SPENT, "day_spent", profile=profile
                    )
                )
            case "changed":
                return self._put_off(GiveBack(_CHANGED, "data_changed"))
            case "ended":
                return Cancel(begun.why or "", begun.why_code).result(claim)
            case "held":
                return self._put_off(Hold(begun.why or "", begun.why_code))
            case "lost" if (
                begun.why
            ):  # in doubt about an earlier send, and looked for at once
                return LookAgain(begun.why, begun.why_code, due_in=timedelta(0)).result(
                    claim, due_at=until
                )
            case "go" | "lost":
                return self._claim_lost
            case _:
                assert_never(begun.answer)

    def _put_off(self, decision: PutOff) -> ItemResult:
        return (
            decision.result(self.claim)
            if self.queue.put_off(self.claim, decision)
            else self._claim_lost
        )

    def _go(
        self, attempt_id: UUID, valid_for: timedelta, asked_at: float
    ) -> ItemResult:
        with self.flow_control.at_provider():
            # What allowed the send must still be so when the request leaves.
            took = _stopwatch() - asked_at
            is_late = took > SEND_WITHIN_SECONDS
            outcome = None if is_late else self._send(attempt_id, valid_for)
        if outcome:
            decision = after_send(self.claim, outcome, first_send=self.first_send)
            return self._finish(attempt_id, outcome, decision)
        self.flow_control.withdraw(self.claim)
        detail = _TOO_LATE.format(took)
        again = Retry(
            detail, "database_trouble", due_in=before.TROUBLE_DELAY, reason=None
        )
        return self._finish(attempt_id, NotSent(detail), again)

    def _send(self, attempt_id: UUID, valid_for: timedelta) -> Outcome:
        claim = self.claim
        text = Text(
            attempt_id=attempt_id,
            sender=claim.sender,
            to=claim.phone or "",
            body=claim.body or "",
            valid_for=valid_for,
        )
        try:
            outcome = self.sender.send(text)
        except Exception as error:  # noqa: BLE001 - the request may have left: whatever it was, we do not know
            outcome = InDoubt(
                describe_unforeseen(error, private=(claim.body, claim.phone))
            )
        if slower := self.flow_control.observe(claim, outcome):
            with suppress(QueueError):  # then the other machines find out by themselves
                self.queue.slow_down(claim.sender, slower)
        return outcome

    def _finish(
        self, attempt_id: UUID, outcome: Outcome, decision: AfterSend
    ) -> ItemResult:
        finished = self.queue.finish(self.claim, attempt_id, outcome, decision)
        if not finished.applied:
            return self._claim_lost
        if finished.status == "completed" and isinstance(
            decision, LookAgain
        ):  # a report was faster than giving up
            return Complete(
                "Reported to the status callback", sid=None, by="callback"
            ).result(self.claim)
        return decision.result(
            self.claim,
            due_at=finished.scheduled_for if finished.status == "pending" else None,
        )


def _stopwatch() -> float:
    """Seconds by a clock that goes on while the process or the machine is suspended."""
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )
