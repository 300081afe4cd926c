"""The senders: what each sends and for whom, what waits for it, and which of them need attention."""

from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

from pydantic import Field

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, Remedy, counted
from smsretry.desk.questions.remedies import remedy_of
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
    sender: str
    """As people see it: a number's last four digits."""
    sent_by: str | None = Field(None, repr=False, exclude=True)
    """The whole of it, if the question was for numbers, too."""
    named_at: Instant | None = None
    """When a run last named it as the default sender. None: it is not the default one."""
    segments_per_second: float | None
    segments_per_day: int | None
    used_today: int | None
    day_ends_at: Instant
    businesses: int
    used_by: tuple[str, ...]
    """The names of the businesses, 20 at most; those whose texts wait first."""
    why_code: KnownCode
    """Why its texts wait. None: they do not."""
    why: str | None
    since: Instant | None
    """Since when it is paused or stopped."""
    due: int
    waiting: int
    held: int

    @property
    def texts(self) -> int:
        """How many texts wait."""
        return self.due + self.waiting + self.held

    @property
    def trouble(self) -> str:
        """What it does, or is, that keeps texts waiting."""
        words = _TROUBLES.get(self.why_code, "keeps texts waiting: {why}")
        return words.format_map(dict(self))

    @property
    def name(self) -> str:
        """What names it in a command. A number is named by its id, because it is not shown."""
        return str(self.sender_id) if self.sender.startswith("…") else self.sender

    @property
    def remedy(self) -> Remedy | None:
        """What ends its trouble. None: it is not the sender's."""
        return remedy_of(self.why_code, {"sender": self.name})

    @property
    def title(self) -> str:
        """What it is, for people."""
        kind = "default sender" if self.named_at else "sender"
        return f"{kind} {self.sender} of account {self.account}"

    def users(self, limit: int) -> str:
        """The businesses that use it, so many by name."""
        names = list(self.used_by[:limit])
        remaining = self.businesses - len(names)
        if remaining:
            names.append(f"{remaining} more")
        return ", ".join(names)

    def tell(self) -> Iterator[Block]:
        """The sender in a line; why its texts wait, and what ends that."""
        yield "; ".join((self.title, *self._facts()))
        if self.why_code:
            since = f" (since {on_clock(self.since)})" if self.since else ""
            yield f"  it {self.trouble}{since}"
            if self.remedy:
                yield "    ", self.remedy

    def _facts(self) -> Iterator[str]:
        yield f"for {self.users(len(self.used_by)) or 'nobody'}"
        if self.segments_per_second is not None:
            yield f"{self.segments_per_second:g} segments a second"
        if self.segments_per_day is not None:
            used = f"{self.used_today or 0} of {self.segments_per_day} segments"
            yield f"{used} in the day that ends {on_clock(self.day_ends_at)}"
        counts = {"due": self.due, "waiting": self.waiting, "held": self.held}
        waiting = [f"{texts} {state}" for state, texts in counts.items() if texts]
        yield ", ".join(waiting) or "nothing waits"


def in_need(count: int) -> str:
    """How many need attention; empty if none does."""
    if not count:
        return ""
    return f"{count} needs attention" if count == 1 else f"{count} need attention"


class Senders(Answer):
    """The senders. Those that need attention come first."""

    senders: tuple[SenderRecord, ...]

    def tell(self) -> Iterator[Block]:
        troubled = [sender for sender in self.senders if sender.why_code]
        untroubled = [sender for sender in self.senders if not sender.why_code]
        counts = (counted(len(self.senders), "sender"), in_need(len(troubled)))
        yield " · ".join(filter(None, counts))
        for sender in (*troubled, *untroubled):
            yield from sender.tell()
