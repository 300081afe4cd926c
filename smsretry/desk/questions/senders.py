"""The senders: what each sends and for whom, what waits for it, and which of them need attention."""

from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

from pydantic import Field

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block
from smsretry.desk.questions.remedies import ending
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import WhyCode

_TROUBLES: Final[Mapping[WhyCode | None, str]] = {
    "sender_paused": "is paused: {why}",
    "sending_stopped": "is stopped: {why}",
    "day_spent": "has reached its daily cap",
    "sender_rate": "sends {segments_per_second:g} a second, which is too slow for the {due} that are due",
}


class SenderRecord(Value):
    """A row of `sms_senders`."""

    sender_id: UUID
    account: str
    sender: str = Field(description="As people see it: a number's last four digits.")
    sent_by: str | None = Field(
        None, repr=False, exclude=True, description="All of it, if that was asked for."
    )
    named_at: Instant | None = Field(
        None,
        description="When a run last named it as the default sender. None: no run did.",
    )
    segments_per_second: float | None
    segments_per_day: int | None
    used_today: int | None
    day_ends_at: Instant
    businesses: int
    used_by: tuple[str, ...] = Field(
        description="The names of these, 20 at most; those whose texts wait first."
    )
    why_code: KnownCode = Field(description="Why its texts wait. None: they do not.")
    why: str | None
    since: Instant | None = Field(description="Since when it is paused or stopped.")
    due: int
    waiting: int
    held: int
    only_business: UUID | None = Field(
        None, description="Whose it is, if it is a single one's."
    )

    @property
    def texts(self) -> int:
        """How many wait."""
        return self.due + self.waiting + self.held

    @property
    def trouble(self) -> str:
        """What it does, or is."""
        return _TROUBLES.get(self.why_code, "keeps texts waiting: {why}").format_map(
            dict(self)
        )

    def names(self, limit: int) -> str:
        """The businesses that use it."""
        names = list(self.used_by[:limit])
        remaining = self.businesses - len(names)
        return ", ".join([*names, *([f"{remaining} more"] if remaining else [])])

    @property
    def name(self) -> str:
        """What names it in a command. A number is named by its id, because it is not shown."""
        return str(self.sender_id) if self.sender.startswith("…") else self.sender

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{'default ' if self.named_at else ''}sender {self.sender} of account {self.account}"

    def tell(self) -> Iterator[Block]:
        """It in a line; why its texts wait, and what ends that."""
        yield "; ".join((self.title, *self._facts()))
        if self.why_code:
            since = f" (since {on_clock(self.since)})" if self.since else ""
            yield f"  it {self.trouble}{since}"
            yield from (
                [("    ", remedy)]
                if (remedy := ending(self.why_code, None, self.name))
                else []
            )

    def _facts(self) -> Iterator[str]:
        yield f"for {self.names(len(self.used_by)) or 'nobody'}"
        if self.segments_per_second is not None:
            yield f"{self.segments_per_second:g} segments a second"
        if self.segments_per_day is not None:
            used = f"{self.used_today or 0} of {self.segments_per_day} segments"
            yield f"{used} in the day that ends {on_clock(self.day_ends_at)}"
        numbers = {"due": self.due, "waiting": self.waiting, "held": self.held}
        yield (
            ", ".join(f"{texts} {state}" for state, texts in numbers.items() if texts)
            or "nothing waits"
        )


def in_need(count: int) -> str:
    """How many need attention; empty if none does."""
    needs = "needs" if count == 1 else "need"
    return f"{count} {needs} attention" if count else ""


class Senders(Answer):
    """The senders. Those that need attention come first."""

    senders: tuple[SenderRecord, ...]

    def tell(self) -> Iterator[Block]:
        needing = sum(sender.why_code is not None for sender in self.senders)
        plural = "" if len(self.senders) == 1 else "s"
        yield " · ".join(
            filter(None, (f"{len(self.senders)} sender{plural}", in_need(needing)))
        )
        for sender in sorted(self.senders, key=lambda sender: sender.why_code is None):
            yield from sender.tell()
