"""A queue and a sender that keep what they were told and answer as they were set up to."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from smsretry.retry.answers import Begun, Finished, InterruptedRun, Queued, Recovered, Scheduled, ScheduledSend
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    Arrived,
    Complete,
    Fail,
    Hold,
    LookAgain,
    PutOff,
    Retry,
    Send,
)
from smsretry.retry.delivery import AfterDelivery, OpenDelivery, Report, Word
from smsretry.retry.models import ENVIRONMENT, Claim, Look, SenderId, Sighting, Text
from smsretry.retry.outcome import Accepted, Outcome
from smsretry.retry.profile import EVERYBODY, Audience
from smsretry.sending.ports import Batch, Begin, Finish, QueueText, ScheduleText
from smsretry.vocabulary import DeliveryStatus, Followed, Reconciled, SendTo, StopKind
from tests.support.builders import NOON, SENDER, SID, begun

Told: TypeAlias = PutOff | Arrived | Send | AfterSend | AfterLook | str | None
"""A decision, or why something has stopped."""


@dataclass
class FakeQueue:
    """A queue that keeps the decisions it was told and answers as it was set up to."""

    claims: list[Claim] = field(default_factory=list)
    """The due ones."""
    suspects: list[Claim] = field(default_factory=list)
    """Those whose claims died more than once, handed out one after the other."""
    suspicions: int = 0
    """How often it was asked for one of them."""
    answers: list[Begun] = field(default_factory=list)
    """What `begin` answers, one after the other; go when there is none."""
    holds: bool = True
    """Whether claims still hold."""
    reported: bool = False
    """Whether the provider's report comes before a send is finished."""
    trouble: dict[str, Exception] = field(default_factory=dict)
    """What a call raises, by its name."""
    told: list[tuple[str, Told]] = field(default_factory=list)
    """The calls in order, each with its decision."""
    asked: list[int] = field(default_factory=list)
    """How many each claim asked for."""
    stops: set[tuple[StopKind, str]] = field(default_factory=set)
    """What has stopped."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What became of the sends that were finished."""
    recoveries: list[int] = field(default_factory=list)
    """The minutes of silence after which rows were to be taken back."""

    def _note(self, call: str, told: Told) -> None:
        self.told.append((call, told))
        if call in self.trouble:
            raise self.trouble[call]

    def start_run(
        self, run_id: UUID, stale_minutes: int, send_to: SendTo, *, default: SenderId = ENVIRONMENT
    ) -> list[InterruptedRun]:
        return []

    def finish_run(self, run_id: UUID, summary: str, *, needs_somebody: bool) -> None:
        pass

    def recover(self, stale_minutes: int) -> list[Recovered]:
        self.recoveries.append(stale_minutes)
        return []

    def claim_texts(
        self,
        limit: int,
        *,
        default: SenderId = ENVIRONMENT,
        without: Collection[str] = (),
        slow: Collection[UUID] = (),
    ) -> Batch:
        self.asked.append(limit)
        due = [claim for claim in self.claims if not _subjects(claim) & {*without}]
        if ("everybody", "") in self.stops:
            limit = min(limit, 1)
        taken = due[:limit]
        self.claims = [claim for claim in self.claims if claim not in taken]
        return Batch(taken, [*self.stops], self.next_in())

    def next_in(self) -> float | None:
        """Seconds until something else is due."""
        return 0 if self.claims else None

    def schedule(self, request: ScheduleText) -> Scheduled:
        return Scheduled(scheduled_id=request.scheduled_id, result="scheduled", due_at=request.scheduled_for)

    def queue_scheduled(self, limit: int, ahead: timedelta, *, without: Collection[UUID] = ()) -> list[ScheduledSend]:
        return []

    def claim_suspect(self, *, default: SenderId = ENVIRONMENT, slow: Collection[UUID] = ()) -> Batch:
        self.suspicions += 1
        if "claim_suspect" in self.trouble:
            raise self.trouble["claim_suspect"]
        return Batch([self.suspects.pop(0)] if self.suspects else [], [*self.stops])

    def claim_one(self, retry_id: UUID, *, default: SenderId = ENVIRONMENT) -> Claim | None:
        return next((claim for claim in self.claims if claim.id == retry_id), None)

    def queue(self, request: QueueText) -> Queued:
        return Queued(retry_id=UUID(int=1), result="queued", due_at=NOON)

    def begin(self, request: Begin) -> Begun:
        self._note("begin", request.decision)
        return self.answers.pop(0) if self.answers else begun()

    def finish(self, request: Finish) -> Finished:
        decision = request.decision
        self._note("finish", decision)
        self.outcomes.append(request.outcome)
        match decision:
            case Complete():
                status, due_at = "completed", None
            case Fail():
                status, due_at = "failed", None
            case Retry(delay=wait) | Hold(look_in=wait) | LookAgain(look_in=wait):
                status, due_at = "pending", NOON + wait
        return Finished(applied=self.holds, status="completed" if self.reported else status, scheduled_for=due_at)

    def put_off(self, claim: Claim, decision: PutOff) -> bool:
        self._note("put_off", decision)
        return self.holds

    def arrived(self, claim: Claim, decision: Arrived) -> bool:
        self._note("arrived", decision)
        return self.holds

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        self._note("reconcile", decision)
        return "applied" if self.holds else "lost"

    def claim_deliveries(self, limit: int, *, without: Collection[str] = ()) -> list[OpenDelivery]:
        return []

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        return "applied"

    def set_stop(self, kind: StopKind, subject: str, why: str | None) -> None:
        self._note("set_stop", why)
        self.stops = {stop for stop in self.stops if stop != (kind, subject)} | ({(kind, subject)} if why else set())

    def slow_down(self, sender: SenderId, seconds: float) -> None:
        pass

    @property
    def calls(self) -> list[str]:
        """The names of the calls, in order."""
        return [call for call, _ in self.told]

    @property
    def decisions(self) -> list[Told]:
        """The decisions, in order."""
        return [told for _, told in self.told]


def _subjects(claim: Claim) -> set[str]:
    return {str(claim.business_id), str(claim.sender.id if claim.sender else "")}


@dataclass
class FakeSender:
    """A sender that comes to the given outcome, or raises it, and has the given list of messages."""

    comes_to: Outcome | Exception = field(default_factory=lambda: Accepted(SID))
    texts: list[Text] = field(default_factory=list)
    listed: list[Sighting] | None = field(default_factory=list)
    """None: the list cannot be had."""
    looks: list[tuple[str, datetime]] = field(default_factory=list)
    """Number and time that were asked about."""
    words: dict[str, Word] = field(default_factory=dict)
    """What became of messages that were called lost, by SID."""
    no_credentials: dict[str, str] = field(default_factory=dict)
    """Accounts for which it has none, and why."""
    audience: Audience = EVERYBODY
    """Whom it texts."""
    asked_about: list[str] = field(default_factory=list)
    """SIDs, in the order in which they were asked about."""

    def send(self, text: Text) -> Outcome:
        self.texts.append(text)
        if isinstance(self.comes_to, Exception):
            raise self.comes_to
        return self.comes_to

    @property
    def default(self) -> SenderId:
        return SenderId("AC" + "1" * 32, SENDER)

    def cannot_send_for(self, account: str) -> str | None:
        return self.no_credentials.get(account)

    def look_up(self, phone: str, *, sender: SenderId, since: datetime, at: datetime) -> Look | None:
        self.looks.append((phone, since))
        return None if self.listed is None else Look(sightings=tuple(self.listed))

    def what_became_of(self, sid: str, *, account: str | None) -> Word:
        self.asked_about.append(sid)
        return self.words.get(sid)

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        return Report(status)
