"""The state of the queue: the lines of `sms_status`, sorted by what a person asks about."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Final, Literal, Self, assert_never, get_args

from pydantic import Field

from smsretry.desk.questions.delivery_rates import DeliveryOfBusiness, HourOfDelivery, delivery_lines, delivery_rate
from smsretry.desk.questions.records import StatusLine
from smsretry.instants import span
from smsretry.retry.models import Value
from smsretry.vocabulary import Reason, SendTo

DROP: Final = 0.1
"""A person should know when the last hour's share of delivered texts is this far below the day's."""


class QueueStatus(Value):
    """The state of the queue at one moment."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt")
    """The states of a text in the queue, in the order in which they are shown."""

    at: datetime
    late_seconds: float
    """How late a text, or a run's end, may be before a person must look."""
    fewest_texts: int
    """With fewer texts than this, the share that arrived means nothing."""
    queue: dict[str, int]
    """Texts in each state, as `TextState`."""
    scheduled: tuple[StatusLine, ...] = ()
    """Scheduled sends that are not texts yet: waiting, held (`told` is the id of one), or late because no run queued
    them."""
    overdue_seconds: float
    """How late the oldest due text is; 0 if none is due."""
    waiting: tuple[StatusLine, ...]
    held: tuple[StatusLine, ...]
    sent: dict[str, int]
    """Sends begun in the last hour, by outcome."""
    delivery: dict[str, int] = Field(default_factory=dict)
    """Texts accepted in the last day by delivery: delivered, undelivered, unknown, open."""
    delivery_lately: dict[str, int] = Field(default_factory=dict)
    """The same for the last hour."""
    delivery_hours: tuple[HourOfDelivery, ...] = ()
    """The same for each hour of the last day that had a text."""
    delivery_seconds: dict[str, float] = Field(default_factory=dict)
    """Seconds from accepted to delivered, for the last day's texts: median and 95th percentile."""
    delivery_by_business: tuple[DeliveryOfBusiness, ...] = ()
    """The businesses whose texts arrived least in the last day, the worst first."""
    undelivered: tuple[StatusLine, ...] = ()
    """Texts that did not arrive in the last day, by business and by the provider's code."""
    ended: tuple[StatusLine, ...]
    """Texts that failed or were cancelled in the last day, by reason."""
    inbound: tuple[StatusLine, ...] = ()
    """How many people wrote something that may mean stop and is not read yet (`told` is the SID of the oldest)."""
    stopped: tuple[StatusLine, ...]
    senders: dict[str, int] = Field(default_factory=dict)
    """The businesses' own senders in each state, as `SenderState`."""
    troubled_senders: tuple[StatusLine, ...] = ()
    """Those that keep texts waiting or do not send, with how many wait; the most first."""
    runs: tuple[StatusLine, ...]
    mark: StatusLine | None = None
    """What the database is marked as, `told`: the one address of production's workers."""
    sends_to: SendTo = "all"
    """Whom the last run's worker texts."""

    @classmethod
    def of(cls, lines: Sequence[StatusLine]) -> Self:
        """Sort the lines of `sms_status`.

        Raises:
            ValueError: the database's clock is missing.
        """

        def part(name: str) -> tuple[StatusLine, ...]:
            return tuple(line for line in lines if line.part == name)

        def texts(name: str) -> dict[str, int]:
            return {line.name: line.texts or 0 for line in part(name)}

        [clock] = part("clock") or [None]
        if clock is None or clock.oldest is None or clock.next_at is None:
            raise ValueError("sms_status gave no time")
        at = clock.oldest
        due = next((line for line in part("queue") if line.name == "due"), None)
        return cls(
            at=at,
            late_seconds=(at - clock.next_at).total_seconds(),
            fewest_texts=clock.texts or 0,
            queue=texts("queue"),
            scheduled=part("scheduled"),
            overdue_seconds=max((at - due.oldest).total_seconds(), 0) if due and due.oldest else 0,
            waiting=part("waiting"),
            held=part("held"),
            sent=texts("sent"),
            delivery=texts("delivery"),
            delivery_lately=texts("delivery_lately"),
            delivery_hours=HourOfDelivery.sorted_from(part("delivery_hour")),
            delivery_seconds={line.name: float(line.told or 0) for line in part("delivery_time")},
            delivery_by_business=DeliveryOfBusiness.sorted_from(part("delivery_business")),
            undelivered=part("undelivered"),
            ended=part("ended"),
            inbound=part("inbound"),
            stopped=part("stopped"),
            senders=texts("senders"),
            troubled_senders=part("sender"),
            runs=part("run"),
            mark=next(iter(part("mark")), None),
            sends_to=next((one for line in part("runner") for one in get_args(SendTo) if one == line.name), "all"),
        )

    @property
    def depth(self) -> int:
        """Texts that are in the queue."""
        return sum(self.queue.values())

    @property
    def sending_stopped(self) -> bool:
        """Whether nothing goes out. A stop for one US state holds only texts to that state."""
        return self.stopped_because is not None

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped."""
        return self._stopped("sending")

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        match self.sends_to:
            case "all":
                return "STAGING: the database is marked so" if self.mark and self.mark.name == "staging" else None
            case "listed":
                return "STAGING: only who is listed is texted"
            case "nobody":
                return "STAGING: nobody is texted"
            case _:
                assert_never(self.sends_to)

    @property
    def environment_stopped_because(self) -> str | None:
        """Why only the texts of businesses with a sender of their own go out; None if the others' do, too."""
        return self._stopped("environment")

    def state_stopped(self, state: str) -> bool:
        """Whether no marketing text goes to a US state."""
        return self._stopped(state) is not None

    def _stopped(self, name: str) -> str | None:
        return next((line.told or "no reason was kept" for line in self.stopped if line.name == name), None)

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        states = (f"{name.replace('_', ' ')} {self.queue[name]}" for name in self.STATES if name in self.queue)
        return ", ".join(states) or "empty"

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None if none has lately."""
        ends = [line.next_at for line in self.runs if line.next_at]
        return max((self.at - max(ends)).total_seconds(), 0) if ends else None

    @property
    def held_texts(self) -> int:
        """Texts that wait for something that a person can mend."""
        return sum(line.texts or 0 for line in self.held)

    @property
    def needs_somebody(self) -> tuple[str, ...]:
        """What a person must look at: what makes `check_sms_retries` alarm, and what is held."""
        silent = self.silent_seconds
        needs = [
            "sending is stopped" if self.sending_stopped else "",
            "the sender of the environment is stopped" if self.environment_stopped_because is not None else "",
            self.senders_need or "",
            f"a text is overdue by {span(self.overdue_seconds)}" if self.overdue_seconds >= self.late_seconds else "",
            "no run has finished lately" if silent is None else "",
            f"no run has finished for {span(silent)}" if silent and silent >= self.late_seconds else "",
            f"held {self.held_texts}" if self.held else "",
            *(f"to read: {line.texts} wrote what may mean stop" for line in self.inbound),
            self.delivery_dropped or "",
            *self._scheduled_needs(),
        ]
        return tuple(filter(None, needs))

    @property
    def senders_need(self) -> str | None:
        """How many of the businesses' senders need somebody, and how many texts wait for them."""
        listed = len(self.troubled_senders)
        if not listed:
            return None
        many = max(listed, self.senders.get("paused", 0) + self.senders.get("stopped", 0))
        texts = sum(line.texts or 0 for line in self.troubled_senders)
        them = "them" if many == listed else f"{listed} of them"
        return f"senders that need somebody {many}, texts that wait for {them} {texts}"

    @property
    def delivery_dropped(self) -> str | None:
        """A warning if far fewer of the last hour's texts arrive than of the day's, as when a carrier filters them."""
        lately, usual = delivery_rate(self.delivery_lately), delivery_rate(self.delivery)
        known = sum(self.delivery_lately.get(fate, 0) for fate in ("delivered", "undelivered"))
        if lately is None or usual is None or known < self.fewest_texts or lately > usual - DROP:
            return None
        return f"{lately:.0%} of the last hour's texts arrived, and {usual:.0%} of the day's"

    def _scheduled_needs(self) -> Iterator[str]:
        for line in self.scheduled:
            late = (self.at - line.oldest).total_seconds() if line.oldest else 0
            if line.name == "held":
                yield f"scheduled sends held {line.texts}"
            elif line.name == "late" and late >= self.late_seconds:
                yield f"a scheduled send is late by {span(late)} and not queued"

    def lines(self) -> Iterator[str]:
        """All of it, a line each; what needs a person comes first."""
        if self.staging:
            yield self.staging
        if self.mark:
            place = f" at {self.mark.told}" if self.mark.told else ""
            yield f"the database is marked as {self.mark.name}{place}{self._since(self.mark)}"
        for line in self.stopped:
            yield f"STOPPED {line.name}: {line.told}{self._since(line)}"
        for line in self.troubled_senders:
            texts = f"{line.texts} of business {line.business_id}" if line.business_id else line.texts
            yield f"SENDER {line.name} of {line.told}; texts that wait {texts}{_code(line)}{self._since(line)}"
        late = f"; the oldest has been due for {span(self.overdue_seconds)}" if self.overdue_seconds else ""
        yield f"queue: {self.numbers}{late}"
        if self.senders:
            yield f"senders of the businesses: {', '.join(f'{state} {n}' for state, n in self.senders.items())}"
        for line in self.scheduled:
            one = f"; `smsretry explain --row {line.told}` explains one" if line.told else ""
            yield f"scheduled, {line.name}: {line.texts}{self._next(line)}{one}"
        for line in self.inbound:
            yield (
                f"wrote what may mean stop: {line.texts}{self._since(line)}; nobody is opted out by it. Read "
                f"{line.told} in the provider's log, then record what it means with `smsretry consent`"
            )
        for line in self.held:
            yield f"held {line.texts} of {line.told or line.business_id}: {line.name}{_code(line)}{self._since(line)}"
        for line in self.waiting:
            reason = next((words for reason, words in REASONS.items() if reason == line.name), line.name)
            yield f"waiting for {reason}: {line.texts}{self._next(line)}"
        sent = ", ".join(f"{name.replace('_', ' ')} {texts}" for name, texts in self.sent.items())
        yield f"sends in the last hour: {sent or 'none'}"
        if self.delivery:
            yield from delivery_lines(
                self.delivery, self.delivery_seconds, self.delivery_hours, self.delivery_by_business
            )
        for line in self.undelivered:
            yield f"undelivered {line.texts} of {line.told or line.business_id}: code {line.name}{self._since(line)}"
        for line in self.ended:
            yield f"{line.name} in the last day: {line.texts}: {line.told or 'no reason was kept'}{_code(line)}"
        for line in self.runs:
            yield f"run {line.name}{self._since(line)}: {line.told}"

    def _since(self, line: StatusLine) -> str:
        return f" ({span((self.at - line.oldest).total_seconds())} ago)" if line.oldest else ""

    def _next(self, line: StatusLine) -> str:
        return f"; the next in {span((line.next_at - self.at).total_seconds())}" if line.next_at else ""


def _code(line: StatusLine) -> str:
    return f" [{line.why_code}]" if line.why_code else ""


REASONS: Final[dict[Reason | Literal["none"], str]] = {
    "quiet_hours": "permitted hours",
    "twilio_error": "the next try",
    "rate_limit": "the rate limit",
    "none": "their time",
}
