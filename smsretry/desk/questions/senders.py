"""The senders: what each sends and for whom, what waits for it, and which of them need somebody."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import Field

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.levers import ending
from smsretry.desk.questions.told import Told, in_lines
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import Finding, KnownCode, SenderId, Value

SenderCheck: TypeAlias = Callable[[SenderId], list[Finding]]
"""Can a sender send? Asks the provider, and sends nothing."""
_AT_ONCE: Final = 10
"""How many questions to the provider are under way."""


class SenderRecord(Value):
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
    businesses: int
    used_by: tuple[str, ...] = Field(description="The names of these, 20 at most; those whose texts wait first.")
    why_code: KnownCode = Field(description="Why its texts wait. None: they do not.")
    why: str | None
    since: Instant | None = Field(description="Since when it is paused or stopped.")
    due: int
    waiting: int
    held: int
    findings: tuple[Finding, ...] = Field((), description="What the provider says of it. Empty: it was not asked.")

    @property
    def refused(self) -> bool:
        """Whether the provider says that it cannot send."""
        return not all(finding.ok for finding in self.findings)

    @property
    def troubled(self) -> bool:
        """Whether it needs somebody."""
        return bool(self.why_code or self.refused)

    @property
    def name(self) -> str:
        """What names it in a command. A number is named by its id, because it is not shown."""
        return str(self.sender_id) if self.sender.startswith("…") else self.sender

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"sender {'of the environment, ' if self.told_at else ''}{self.sender} of account {self.account}"

    def tell(self) -> Iterator[Told]:
        """It in a line; why its texts wait, and what ends that; then what the provider says."""
        yield "; ".join((self.title, *self._facts()))
        if self.why_code:
            since = f" since {on_clock(self.since)}" if self.since else ""
            yield f"  {self.why_code.replace('_', ' ')}{since}: {self.why or 'it is too slow for what is due'}"
            yield from [("    ", lever)] if (lever := ending(self.why_code, None, self.name, "")) else []
        for finding in self.findings:
            words = "ok" if finding.ok else "bad"
            yield f"  {words}: {finding.subject}{f': {finding.advice}' if finding.advice else ''}"

    def _facts(self) -> Iterator[str]:
        more = self.businesses - len(self.used_by)
        yield f"for {', '.join([*self.used_by, *([f'{more} more'] if more > 0 else [])]) or 'nobody'}"
        if self.segments_per_second is not None:
            yield f"{self.segments_per_second:g} segments a second"
        if self.segments_per_day is not None:
            used = f"{self.used_today or 0} of {self.segments_per_day} segments"
            yield f"{used} in the day that ends {on_clock(self.day_ends_at)}"
        numbers = {"due": self.due, "waiting": self.waiting, "held": self.held}
        yield ", ".join(f"{name} {texts}" for name, texts in numbers.items() if texts) or "nothing waits"


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
    """For the doctor: a line for each that needs somebody, and one for all the others."""
    for one in checked:
        if one.troubled or any(finding.advice for finding in one.findings):
            _, *why = in_lines(one.tell())
            yield Finding(subject=one.title, ok=not one.refused, advice="; ".join(line.strip() for line in why))
    fine = sum(not one.troubled for one in checked)
    yield Finding(subject=f"senders ({fine} of {len(checked)} in order)", ok=True)
