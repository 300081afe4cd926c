"""How things stand: the lines of `sms_status`, sorted into what a person asks about."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Final, Literal, Self

from pydantic import Field

from smsretry.desk.questions.clock import span
from smsretry.desk.questions.delivery_rates import (
    DeliveryOfBusiness,
    HourOfDelivery,
    dropped,
    told_hours,
    told_rate,
    told_time,
)
from smsretry.desk.questions.records import StatusLine
from smsretry.retry.models import Value
from smsretry.vocabulary import Reason


class Standing(Value):
    """The queue now."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt")
    """What a text in the queue may be, in the order in which it is told."""

    at: datetime
    late_seconds: float
    """How late a text, or a run's end, may be before a person must look."""
    fewest_texts: int
    """Of fewer texts, the share that arrived says nothing."""
    queue: dict[str, int]
    """Texts in each state, as `TextState`."""
    scheduled: tuple[StatusLine, ...] = ()
    """Scheduled sends that are no texts yet: waiting, held (told: one of them, by its id), or late because nobody has
    queued them."""
    overdue_seconds: float
    """By how much the oldest due text is late; 0 if none is."""
    waiting: tuple[StatusLine, ...]
    held: tuple[StatusLine, ...]
    sent: dict[str, int]
    """Sends begun in the last hour, by outcome."""
    delivery: dict[str, int] = Field(default_factory=dict)
    """Texts accepted in the last day, by what became of them: delivered, undelivered, unknown, open."""
    delivery_lately: dict[str, int] = Field(default_factory=dict)
    """The same of the last hour."""
    delivery_hours: tuple[HourOfDelivery, ...] = ()
    """The same of each hour of the last day that had a text."""
    delivery_seconds: dict[str, float] = Field(default_factory=dict)
    """From accepted to the report that it was delivered, of the last day's texts: median and 95th percentile."""
    delivery_by_business: tuple[DeliveryOfBusiness, ...] = ()
    """Of whose texts the smallest share arrived in the last day; the first is the worst."""
    undelivered: tuple[StatusLine, ...] = ()
    """What did not arrive in the last day, by business and by the provider's code."""
    ended: tuple[StatusLine, ...]
    """What failed or was cancelled in the last day, by why."""
    inbound: tuple[StatusLine, ...] = ()
    """How many people wrote what may mean stop, and nobody has read it (told: the oldest, by its SID)."""
    stopped: tuple[StatusLine, ...]
    runs: tuple[StatusLine, ...]

    @classmethod
    def of(cls, lines: Sequence[StatusLine]) -> Self:
        """Sort the lines.

        Raises:
            ValueError: none of them tells the database's clock.
        """

        def part(name: str) -> tuple[StatusLine, ...]:
            return tuple(line for line in lines if line.part == name)

        [clock] = part("clock") or [None]
        if clock is None or clock.oldest is None or clock.next_at is None:
            raise ValueError("sms_status told no time")
        at = clock.oldest
        due = next((line for line in part("queue") if line.name == "due"), None)
        return cls(
            at=at,
            late_seconds=(at - clock.next_at).total_seconds(),
            fewest_texts=clock.texts or 0,
            queue={line.name: line.texts or 0 for line in part("queue")},
            scheduled=part("scheduled"),
            overdue_seconds=max((at - due.oldest).total_seconds(), 0) if due and due.oldest else 0,
            waiting=part("waiting"),
            held=part("held"),
            sent={line.name: line.texts or 0 for line in part("sent")},
            delivery={line.name: line.texts or 0 for line in part("delivery")},
            delivery_lately={line.name: line.texts or 0 for line in part("delivery_lately")},
            delivery_hours=HourOfDelivery.sorted_from(part("delivery_hour")),
            delivery_seconds={line.name: float(line.told or 0) for line in part("delivery_time")},
            delivery_by_business=DeliveryOfBusiness.sorted_from(part("delivery_business")),
            undelivered=part("undelivered"),
            ended=part("ended"),
            inbound=part("inbound"),
            stopped=part("stopped"),
            runs=part("run"),
        )

    @property
    def depth(self) -> int:
        """Texts that are in the queue."""
        return sum(self.queue.values())

    @property
    def sending_stopped(self) -> bool:
        """Whether nothing goes out. A state that is stopped holds its own texts alone."""
        return self.stopped_because is not None

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out, if that is so."""
        return next((line.told or "no reason was kept" for line in self.stopped if line.name == "sending"), None)

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        told = ", ".join(f"{name.replace('_', ' ')} {self.queue[name]}" for name in self.STATES if name in self.queue)
        return told or "empty"

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None: none has lately."""
        ends = [line.next_at for line in self.runs if line.next_at]
        return max((self.at - max(ends)).total_seconds(), 0) if ends else None

    @property
    def held_texts(self) -> int:
        """Texts that wait for something that a person can mend."""
        return sum(line.texts or 0 for line in self.held)

    @property
    def needs_somebody(self) -> tuple[str, ...]:
        """What a person must look at: what a monitor is told of by `check_sms_retries`, and what is held."""
        silent = self.silent_seconds
        told = [
            "sending is stopped" if self.sending_stopped else "",
            f"a text is overdue by {span(self.overdue_seconds)}" if self.overdue_seconds >= self.late_seconds else "",
            "no run has finished lately" if silent is None else "",
            f"no run has finished for {span(silent)}" if silent and silent >= self.late_seconds else "",
            f"held {self.held_texts}" if self.held else "",
            *(f"to read: {line.texts} wrote what may mean stop" for line in self.inbound),
            self.delivery_dropped or "",
            *self._scheduled_needs(),
        ]
        return tuple(filter(None, told))

    @property
    def delivery_dropped(self) -> str | None:
        """That far fewer texts of the last hour arrive than of the day, as when a carrier begins to filter them."""
        return dropped(self.delivery_lately, self.delivery, fewest=self.fewest_texts)

    def _scheduled_needs(self) -> Iterator[str]:
        for line in self.scheduled:
            late = (self.at - line.oldest).total_seconds() if line.oldest else 0
            if line.name == "held":
                yield f"scheduled sends held {line.texts}"
            elif line.name == "late" and late >= self.late_seconds:
                yield f"a scheduled send is late by {span(late)} and not queued"

    def lines(self) -> Iterator[str]:
        """How things stand, a line each; what needs a person comes first."""
        for line in self.stopped:
            yield f"STOPPED {line.name}: {line.told}{self._since(line)}"
        late = f"; the oldest has been due for {span(self.overdue_seconds)}" if self.overdue_seconds else ""
        yield f"queue: {self.numbers}{late}"
        for line in self.scheduled:
            next_one = f"; the next in {span((line.next_at - self.at).total_seconds())}" if line.next_at else ""
            one = f"; `smsretry explain --row {line.told}` tells of one" if line.told else ""
            yield f"scheduled, {line.name}: {line.texts}{next_one}{one}"
        for line in self.inbound:
            yield (
                f"opted out by what may mean stop: {line.texts}{self._since(line)}; read {line.told} in the provider's "
                "log, then record what it says with `smsretry consent`"
            )
        for line in self.held:
            yield f"held {line.texts} of {line.told or line.business_id}: {line.name}{_code(line)}{self._since(line)}"
        for line in self.waiting:
            next_one = f"; the next in {span((line.next_at - self.at).total_seconds())}" if line.next_at else ""
            yield f"waiting for {_waits_for(line.name)}: {line.texts}{next_one}"
        sent = ", ".join(f"{name.replace('_', ' ')} {texts}" for name, texts in self.sent.items())
        yield f"sends in the last hour: {sent or 'none'}"
        yield from self._delivery_lines()
        for line in self.undelivered:
            yield f"undelivered {line.texts} of {line.told or line.business_id}: code {line.name}{self._since(line)}"
        for line in self.ended:
            yield f"{line.name} in the last day: {line.texts}: {line.told or 'no reason was kept'}{_code(line)}"
        for line in self.runs:
            yield f"run {line.name}{self._since(line)}: {line.told}"

    def _delivery_lines(self) -> Iterator[str]:
        if not self.delivery:
            return
        told = ", ".join(f"{name} {texts}" for name, texts in self.delivery.items())
        yield f"delivery in the last day: {told}{told_rate(self.delivery)}"
        yield from told_time(self.delivery_seconds)
        yield from told_hours(self.delivery_hours)
        for business in self.delivery_by_business:
            yield f"delivery by business: {business}"

    def _since(self, line: StatusLine) -> str:
        return f" ({span((self.at - line.oldest).total_seconds())} ago)" if line.oldest else ""


def _waits_for(name: str) -> str:
    return next((told for reason, told in REASONS.items() if reason == name), name)


def _code(line: StatusLine) -> str:
    return f" [{line.why_code}]" if line.why_code else ""


REASONS: Final[dict[Reason | Literal["none"], str]] = {
    "quiet_hours": "permitted hours",
    "twilio_error": "the next try",
    "rate_limit": "a slower pace",
    "none": "their time",
}
