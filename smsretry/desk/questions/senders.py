"""The senders: what each sends and for whom, what waits for it, and which of them need somebody."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.senders import ResumeSender
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.records import EventRecord
from smsretry.desk.questions.told import Lever, Told, in_lines
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import Finding, KnownCode, SenderId, Value
from smsretry.vocabulary import MessageClass, SenderState

SLOW_SECONDS: Final = 600
"""A sender is too slow if what is due takes it longer than this: as `smsretry.late_after`."""
SenderCheck: TypeAlias = Callable[[SenderId], list[Finding]]
"""Can a sender send? Asks the provider, and sends nothing."""
_AT_ONCE: Final = 10
"""How many questions to the provider are under way."""
_TOLD: Final = 3
"""Of how many businesses that wait for a sender the doctor tells; `smsretry senders` tells of all."""


class Waiting(Value):
    """Texts that are not sent yet."""

    due: int
    waiting: int
    held: int

    @property
    def texts(self) -> str:
        """How many there are."""
        numbers = {"due": self.due, "waiting": self.waiting, "held": self.held}
        return ", ".join(f"{name} {texts}" for name, texts in numbers.items() if texts) or "nothing waits"


class SenderUser(Waiting):
    """A business that a sender texts for, and its texts."""

    business_id: UUID
    business: str | None
    message_class: Literal["any", MessageClass]
    why: str | None = Field(None, description="Why most of those wait that wait because of the sender.")
    why_code: KnownCode = None

    def __str__(self) -> str:
        only = "" if self.message_class == "any" else f", {self.message_class} texts"
        why = f": {self.why} [{self.why_code}]" if self.why_code else ""
        return f"{self.business or 'its name is not known'}, business {self.business_id}{only}: {self.texts}{why}"


class SenderRecord(Waiting):
    """A row of `sms_senders`."""

    sender_id: UUID
    account: str
    sender: str = Field(description="As people see it: a number's last four digits.")
    sent_by: str | None = Field(None, repr=False, exclude=True, description="All of it, if that was asked for.")
    told_at: Instant | None = Field(
        None, description="When a runner last told that it is that of its environment. None: it is no environment's."
    )
    segments_per_second: float | None
    segments_per_day: int | None
    used_today: int | None
    day_ends_at: Instant
    paused_at: Instant | None
    paused_because: str | None
    stopped_at: Instant | None
    stopped_because: str | None
    businesses: int
    used_by: tuple[SenderUser, ...]
    oldest: Instant | None = Field(description="When the oldest due text was due.")
    events: tuple[EventRecord, ...]
    asked_at: Instant
    findings: tuple[Finding, ...] = Field((), description="What the provider says of it. Empty: it was not asked.")

    @property
    def state(self) -> SenderState:
        """Its state in a word."""
        if self.paused_at or self.stopped_at:
            return "paused" if self.paused_at else "stopped"
        spent = self.segments_per_day is not None and (self.used_today or 0) >= self.segments_per_day
        return "spent" if spent else "sending"

    @property
    def slow(self) -> str | None:
        """How long its rate takes for what is due, if that is long."""
        if not self.segments_per_second or self.due / self.segments_per_second < SLOW_SECONDS:
            return None
        takes, rate = span(self.due / self.segments_per_second), f"{self.segments_per_second:g}"
        return f"its sender's rate of {rate} a second takes {takes} or more for the {self.due} that are due"

    @property
    def refused(self) -> bool:
        """Whether the provider says that it cannot send."""
        return not all(finding.ok for finding in self.findings)

    @property
    def keeps_texts(self) -> bool:
        """Whether it keeps texts waiting, or would."""
        waits = any(user.why_code for user in self.used_by) or self.slow is not None
        return self.state in ("paused", "stopped") or waits or (self.state == "spent" and self.due + self.waiting > 0)

    @property
    def troubled(self) -> bool:
        """Whether it needs somebody."""
        return self.keeps_texts or self.refused

    @property
    def name(self) -> str:
        """What names it in a command. A number is named by its id, because it is not shown."""
        return str(self.sender_id) if self.sender.startswith("…") else self.sender

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"sender {'of the environment, ' if self.told_at else ''}{self.sender} of account {self.account}"

    @property
    def whose(self) -> str:
        """It by the name of the business that it texts for."""
        names = [user.business for user in self.used_by if user.business]
        if self.told_at or not names:
            return self.title
        return f"the sender of {names[0]}{f' and {self.businesses - 1} more' if self.businesses > 1 else ''}"

    def tell(self) -> Iterator[Told]:
        """It in a line; if it needs somebody, why, and which businesses wait; then what the provider says."""
        yield f"{self.title}: {self.state}; {'; '.join(self._facts())}"
        if self.keeps_texts:
            yield from self.trouble()
        for finding in self.findings:
            if not finding.ok or finding.advice:
                yield f"  {'bad' if not finding.ok else 'beware'}: {finding.subject}: {finding.advice}"
        if self.findings and not self.refused:
            yield f"  checked: {', '.join(finding.subject for finding in self.findings)}"

    def trouble(self) -> Iterator[Told]:
        """Why it keeps texts waiting, and whose."""
        yield f"  id {self.sender_id}"
        if self.paused_at:
            yield f"  paused on {on_clock(self.paused_at)}: {self.paused_because}"
        if self.stopped_at:
            yield f"  stopped on {on_clock(self.stopped_at)}: {self.stopped_because}"
        if self.slow:
            yield f"  {self.slow}"
        yield from (f"  {event.code} by {event.who}: {event.because}" for event in self.events[:1])
        yield from (f"  {user}" for user in self.used_by if user.due + user.waiting + user.held)
        if self.paused_at or self.stopped_at:
            yield "  once that is fixed: ", Lever.of(ResumeSender, {"sender": self.name}, "let it send again")

    def _facts(self) -> Iterator[str]:
        yield f"{self.businesses} business{'' if self.businesses == 1 else 'es'}"
        if self.segments_per_second is not None:
            yield f"{self.segments_per_second:g} segments a second"
        if self.segments_per_day is not None:
            used = f"{self.used_today or 0} of {self.segments_per_day} segments"
            yield f"{used} in the day that ends {on_clock(self.day_ends_at)}"
        yield self.texts
        if self.oldest:
            yield f"the oldest has been due for {span((self.asked_at - self.oldest).total_seconds())}"


class Senders(Answer):
    """The senders. Those that need somebody come first."""

    senders: tuple[SenderRecord, ...]

    @property
    def fails(self) -> bool:
        """Whether the provider says that one cannot send."""
        return any(one.refused for one in self.senders)

    def tell(self) -> Iterator[Told]:
        troubled = sum(one.troubled for one in self.senders)
        yield f"senders {len(self.senders)}{f' · need somebody {troubled}' if troubled else ''}"
        for one in sorted(self.senders, key=lambda one: not one.troubled):
            yield from one.tell()


def check_senders(records: Sequence[SenderRecord], check: SenderCheck) -> list[SenderRecord]:
    """Each with what the provider says of it, in the same order. One whose address is not known is not asked about."""

    def ask(record: SenderRecord) -> SenderRecord:
        if not (record.account and record.sent_by):
            return record
        try:
            findings = check(SenderId(record.account, record.sent_by))
        except Exception as error:  # noqa: BLE001 - of somebody else's code; the others are checked all the same
            findings = [Finding(subject="check", ok=False, advice=f"could not be made ({type(error).__name__})")]
        return record.model_copy(update={"findings": tuple(findings)})

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, records))


def sender_findings(checked: Sequence[SenderRecord]) -> Iterator[Finding]:
    """For the doctor: a line for each trouble, and one for all of the businesses' own that are in order.

    What the provider says of the environment's it has asked by itself.
    """
    own = [one for one in checked if not one.told_at]
    for one in checked:
        for finding in () if one.told_at else one.findings:
            if not finding.ok or finding.advice:
                about = one.title if finding.subject in one.title else f"{one.title}: {finding.subject}"
                yield finding.model_copy(update={"subject": about})
        if one.keeps_texts:
            told = one.model_copy(update={"used_by": one.used_by[:_TOLD]})
            advice = "; ".join(line.strip() for line in in_lines(told.trouble()))
            yield Finding(subject=one.title, ok=True, advice=advice)
    if fine := sum(not one.troubled for one in own):
        yield Finding(subject=f"senders of the businesses ({fine} of {len(own)} in order)", ok=True)
