"""The two ports, with a meter on each: every call goes through as it is, and what it came to is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from smsretry.adapters.telemetry.instruments import Instruments
from smsretry.errors import QueueError
from smsretry.ports import RetryQueue, Sender
from smsretry.retry import result
from smsretry.retry.decision import AfterLook, AfterSend, Arrived, Defer, PutOff, Retry, Send
from smsretry.retry.delivery import Word
from smsretry.retry.models import (
    Begun,
    Claim,
    Finished,
    InterruptedRun,
    ItemResult,
    Lease,
    Look,
    Queued,
    Recovered,
    Scheduled,
    ScheduledSend,
    Text,
)
from smsretry.retry.outcome import Outcome
from smsretry.words import MessageClass, Reason, Reconciled


class MeasuredSender:
    """`ports.Sender`. How long the provider takes, and what it answers."""

    def __init__(self, sender: Sender, instruments: Instruments) -> None:
        self._sender, self._instruments = sender, instruments

    def send(self, text: Text) -> Outcome:
        started, outcome = monotonic(), None
        try:
            outcome = self._sender.send(text)
        finally:
            self._instruments.answered(outcome, monotonic() - started)
        return outcome

    @property
    def sent_by(self) -> str:
        return self._sender.sent_by

    def look_up(self, phone: str, *, sent_by: str | None, since: datetime, at: datetime) -> Look | None:
        return self._sender.look_up(phone, sent_by=sent_by, since=since, at=at)

    def what_became_of(self, sid: str) -> Word:
        return self._sender.what_became_of(sid)


class MeasuredQueue:
    """`ports.RetryQueue`. What became of texts and runs, and how late sends began."""

    def __init__(self, queue: RetryQueue, instruments: Instruments) -> None:
        self._queue, self._instruments = queue, instruments
        self._run_is_open = False
        self.run_has_ended = False
        """Whether the database has just taken the end of a run."""

    def close(self) -> None:
        """A run that was not finished raised an error."""
        if self._run_is_open:
            self._instruments.run("failed")

    def start_run(self, run_id: UUID, stale_minutes: int) -> list[InterruptedRun]:
        self._run_is_open = True
        interrupted = self._queue.start_run(run_id, stale_minutes)
        self._instruments.run("interrupted", len(interrupted))
        return interrupted

    def finish_run(self, run_id: UUID, told: str, *, needs_somebody: bool) -> None:
        self._queue.finish_run(run_id, told, needs_somebody=needs_somebody)
        self._run_is_open, self.run_has_ended = False, True
        self._instruments.run("needs_somebody" if needs_somebody else "done")

    def recover(self, stale_minutes: int) -> list[Recovered]:
        recovered = self._queue.recover(stale_minutes)
        self._instruments.recovered(len(recovered))
        return recovered

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        decision: Send,
        *,
        sent_by: str,
        first_send: bool,
        run_id: UUID | None = None,
    ) -> Begun:
        begun = self._queue.begin(claim, attempt_id, decision, sent_by=sent_by, first_send=first_send, run_id=run_id)
        match begun.answer:
            case "go":
                self._instruments.begun(claim, (begun.decided_at - claim.scheduled_for).total_seconds())
            case "ended":
                self._count(claim, result.ended(claim, begun.why))
            case "lost":
                self._count(claim, result.not_begun(claim, begun.why, at=begun.decided_at))
            case "changed" | "closed" | "capped":
                pass  # another decision follows
        return begun

    def finish(self, claim: Claim, attempt_id: UUID, outcome: Outcome, decision: AfterSend) -> Finished:
        with self._error_of(claim):
            done = self._queue.finish(claim, attempt_id, outcome, decision)
        self._count(claim, result.sent(claim, decision, done), decision)
        return done

    def put_off(self, claim: Claim, decision: PutOff) -> bool:
        with self._error_of(claim):
            held = self._queue.put_off(claim, decision)
        self._count(claim, result.put_off(claim, decision, held=held), decision)
        return held

    def arrived(self, claim: Claim, decision: Arrived) -> bool:
        with self._error_of(claim):
            held = self._queue.arrived(claim, decision)
        self._count(claim, result.arrived(claim, decision, held=held))
        return held

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        with self._error_of(claim):
            answer = self._queue.reconcile(claim, decision)
        if answer == "applied":
            self._count(claim, result.looked(claim, decision))
        elif answer == "lost":
            self._count(claim, result.lost(claim))
        return answer  # after any other, another decision follows

    def _count(self, claim: Claim, came_to: ItemResult, decision: object = None) -> None:
        reason = decision.reason if isinstance(decision, Defer | Retry) and came_to.fate != "Lost" else None
        self._instruments.text(claim, came_to.fate, reason)

    @contextmanager
    def _error_of(self, claim: Claim) -> Iterator[None]:
        try:
            yield
        except QueueError:
            self._instruments.text(claim, "Error")
            raise

    # What follows is not measured.

    def schedule(
        self,
        business_id: UUID,
        customer_id: UUID,
        body: str,
        scheduled_for: datetime,
        *,
        not_after: datetime | None,
        message_class: MessageClass,
        created_by: UUID | None,
        scheduled_id: UUID,
    ) -> Scheduled:
        return self._queue.schedule(
            business_id,
            customer_id,
            body,
            scheduled_for,
            not_after=not_after,
            message_class=message_class,
            created_by=created_by,
            scheduled_id=scheduled_id,
        )

    def queue_scheduled(self, limit: int, ahead: timedelta) -> list[ScheduledSend]:
        return self._queue.queue_scheduled(limit, ahead)

    def lease(self, sender: str, segments: int, per_second: float, lead: float) -> Lease:
        return self._queue.lease(sender, segments, per_second, lead)

    def next_due(self) -> float | None:
        return self._queue.next_due()

    def claim_due(self, limit: int) -> list[Claim]:
        return self._queue.claim_due(limit)

    def claim_doubtful(self, limit: int) -> list[Claim]:
        return self._queue.claim_doubtful(limit)

    def claim_suspect(self) -> list[Claim]:
        return self._queue.claim_suspect()

    def claim_one(self, retry_id: UUID) -> Claim | ItemResult | None:
        return self._queue.claim_one(retry_id)

    def queue(
        self,
        send_log_id: UUID,
        *,
        reason: Reason | None,
        attempt_count: int,
        scheduled_for: datetime | None,
        retry_in: timedelta,
        error: str | None,
        message_class: MessageClass = "marketing",
    ) -> Queued:
        return self._queue.queue(
            send_log_id,
            reason=reason,
            attempt_count=attempt_count,
            scheduled_for=scheduled_for,
            retry_in=retry_in,
            error=error,
            message_class=message_class,
        )

    def set_circuit(self, why: str | None) -> None:
        self._queue.set_circuit(why)
