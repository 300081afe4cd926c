"""A queue and a provider that keep what they were told and answer as they were set up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

from smsretry.retry.answers import BeginAnswer, Finished
from smsretry.retry.decision import AfterLook, AfterSend, Complete, Fail, NoSend, Send
from smsretry.retry.delivery import DeliveryReport
from smsretry.retry.models import Claim, Finding, Look, SenderId, Text
from smsretry.retry.outcome import Accepted, Outcome
from smsretry.retry.profile import EVERYBODY
from smsretry.sending.ports import Batch
from smsretry.vocabulary import DeliveryStatus, Reconciled, StopKind
from tests.support.builders import NOON, SENDER, SID, begun

Recorded: TypeAlias = NoSend | Send | AfterSend | AfterLook


@dataclass
class FakeQueue:
    """A queue that keeps the decisions it was told and answers as it was set up to."""

    claims: list[Claim] = field(default_factory=list)
    """The due ones."""
    suspects: list[Claim] = field(default_factory=list)
    """Those whose claims died more than once, handed out one after the other."""
    answers: list[BeginAnswer] = field(default_factory=list)
    """What `begin` answers, one after the other; go when there is none."""
    holds: bool = True
    """Whether claims still hold."""
    reported: bool = False
    """Whether the provider's report comes before a send is finished."""
    trouble: dict[str, Exception] = field(default_factory=dict)
    """What a call raises, by its name."""
    recorded: list[tuple[str, Recorded]] = field(default_factory=list)
    """The calls in order, each with its decision."""
    limits: list[int] = field(default_factory=list)
    """How many each claim asked for."""
    stops: set[tuple[StopKind, str]] = field(default_factory=set)
    """What has stopped."""

    def __getattr__(self, name: str) -> Any:
        """A call that nothing here depends on."""
        return lambda *_, **__: []

    def _note(self, call: str, value: Recorded) -> None:
        self.recorded.append((call, value))
        if call in self.trouble:
            raise self.trouble[call]

    def claim_texts(
        self,
        limit: int,
        *,
        room: Mapping[str, int] = MappingProxyType({}),
        suspect: bool = False,
        **_: Any,
    ) -> Batch:
        if suspect:
            if "suspects" in self.trouble:
                raise self.trouble["suspects"]
            return Batch([self.suspects.pop(0)] if self.suspects else [], [*self.stops])
        self.limits.append(limit)
        due = [claim for claim in self.claims if not _subjects(claim) & {*room}]
        batch = due[: min(limit, 1) if ("everybody", "") in self.stops else limit]
        self.claims = [claim for claim in self.claims if claim not in batch]
        return Batch(batch, [*self.stops], 0 if self.claims else None)

    def begin(
        self, claim: Claim, attempt_id: UUID, decision: Send, **_: Any
    ) -> BeginAnswer:
        self._note("begin", decision)
        return self.answers.pop(0) if self.answers else begun()

    def finish(
        self, claim: Claim, attempt_id: UUID, outcome: Outcome, decision: AfterSend
    ) -> Finished:
        self._note("finish", decision)
        ends = {Complete: "completed", Fail: "failed"}.get(type(decision), "pending")
        due_at = decision.due_after(NOON)
        return Finished(
            applied=self.holds,
            status="completed" if self.reported else ends,
            scheduled_for=due_at,
        )

    def act_on(self, claim: Claim, decision: NoSend) -> bool:
        self._note("act_on", decision)
        return self.holds

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        self._note("reconcile", decision)
        return "applied" if self.holds else "claim_lost"

    def set_stop(self, kind: StopKind, subject: str, reason: str | None) -> None:
        self.stops = {stop for stop in self.stops if stop != (kind, subject)} | (
            {(kind, subject)} if reason else set()
        )

    @property
    def calls(self) -> list[str]:
        """The names of the calls, in order."""
        return [call for call, _ in self.recorded]

    @property
    def decisions(self) -> list[Recorded]:
        """The decisions, in order."""
        return [value for _, value in self.recorded]


def _subjects(claim: Claim) -> set[str]:
    return {str(claim.business_id), str(claim.sender.id)}


@dataclass
class FakeProvider:
    """A provider that comes to the given outcome, or raises it, and lists no message."""

    comes_to: Outcome | Exception = field(default_factory=lambda: Accepted(SID))
    texts: list[Text] = field(default_factory=list)
    reports: dict[str, DeliveryReport] = field(default_factory=dict)
    """What became of messages that were called lost, by SID."""
    audience = EVERYBODY

    def send(self, text: Text) -> Outcome:
        self.texts.append(text)
        if isinstance(self.comes_to, Exception):
            raise self.comes_to
        return self.comes_to

    @property
    def default(self) -> SenderId:
        return SenderId("AC" + "1" * 32, SENDER)

    def credentials_problem(self, account: str) -> str | None:
        return None

    def look_up(self, phone: str, **_: Any) -> Look:
        return Look(sightings=())

    def fetch_report(self, sid: str, *, account: str | None) -> DeliveryReport:
        return self.reports.get(sid, DeliveryReport("unanswered"))

    def read_report(self, status: DeliveryStatus, code: int | None) -> DeliveryReport:
        return DeliveryReport(status)

    def check(self) -> list[Finding]:
        return []

    def check_sender(self, sender: SenderId) -> list[Finding]:
        return []

    def clock(self) -> None:
        return None
