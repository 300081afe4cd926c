"""The state of the queue, by `sms_status`, and everything that needs attention."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ExplainText, ListTexts, ListUnreadWords
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import (
    Block,
    Heading,
    Hours,
    Inline,
    Remedy,
    Row,
    Table,
)
from smsretry.desk.questions.remedies import (
    SENDER_REMEDIES,
    remedy_of_sender,
    remedy_of_stop,
    remedy_of_texts,
)
from smsretry.desk.questions.senders import SenderRecord, in_need
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Mark, SendTo, TextState, spaced

DELIVERIES: Final = ("delivered", "undelivered", "unknown", "open")
"""What became of an accepted text. unknown: nothing final was ever reported. open: nothing has been reported yet."""
_STAGING: Final = {
    "listed": "STAGING: only who is listed is texted",
    "nobody": "STAGING: nobody is texted",
}
_DOCTOR: Final = Remedy(
    words="ask what is wrong", command="smsretry doctor", form="sms-doctor"
)
_FIX_STOP: Final = _DOCTOR.model_copy(
    update={"words": "fix what it says: each run tries one text"}
)
_START_RUNS: Final = _DOCTOR.model_copy(
    update={
        "preparation": "see that `smsretry serve` runs, under a supervisor, or that cron runs `smsretry process`"
    }
)
_READ_WORDS: Final = Remedy.of(ListUnreadWords, {}, "read it, and say what it means")
_STOPPED: Final = {
    "sending": "sending is stopped",
    "default_sender": "the default sender is stopped",
}
_HOURS_CAPTION: Final = (
    "Accepted in the last day, by hour (UTC): {delivered} arrived (green), {undelivered} did not (red), {unknown} were "
    "never reported (grey), {open} are not reported yet (blue)."
)


class Late(Value):
    """What is later than it may be."""

    name: Literal["restored", "run", "due", "scheduled", "words"]
    texts: int | None
    oldest: Instant | None


class StateCount(Value):
    """The texts in one state, for one reason."""

    state: TextState
    why_code: KnownCode
    texts: int
    oldest: Instant | None
    """The earliest due time."""
    next_at: Instant | None
    """The next due time to come."""


class ReasonCount(Value):
    """The texts that were held or have ended for one reason."""

    state: TextState
    why_code: KnownCode
    why: str | None
    texts: int


class HeldCount(ReasonCount):
    """The texts of a business that are held for one reason."""

    business_id: UUID
    business: str | None
    since: Instant
    retry_id: UUID
    """One of them."""


class HourCount(Value):
    """The accepted texts of an hour of which the same is known."""

    hour: Instant
    delivery: str
    """A word of `DELIVERIES`."""
    texts: int


class UndeliveredCount(Value):
    """The texts of a business that did not arrive, for one of the provider's codes."""

    code: int | None
    business: str | None
    texts: int


class Stop(Value):
    """A stop of sending or of the default sender; or a person's, of texts to a US state or of a business."""

    what: Literal["sending", "default_sender", "state", "business"]
    subject: str = ""
    """The US state, or the id of the business."""
    business: str | None = None
    since: Instant
    why: str | None
    who: str | None = None
    sender: str | None = None
    """What names the sender in a command."""

    @property
    def order(self) -> str:
        """What a person stopped, why, and who it was."""
        order = f"stopped {self.business or self.subject}: {self.why}"
        return f"{order}, by {self.who}" if self.who else order

    @property
    def remedy(self) -> Remedy:
        """What lifts a person's stop."""
        field = "state" if self.what == "state" else "business_id"
        return remedy_of_stop({field: self.subject})


class UnreadCount(Value):
    """How many customers wrote what may mean stop, and nobody has read it."""

    customers: int
    since: Instant


class DatabaseMark(Value):
    """What the database is marked as."""

    kind: Mark
    since: Instant
    address: str | None


class RunRecord(Value):
    """One of the last runs."""

    id: UUID
    started_at: Instant
    finished_at: Instant | None
    summary: str


class Need(Value):
    """Trouble that needs attention, and its remedy."""

    of: Literal["stop", "late", "planned", "sender", "held", "unread"]
    what: str
    remedy: Remedy
    business: str | None = None
    count: Inline = ""
    """How many texts or customers; a link leads to exactly those."""
    noun: str = Field("text", exclude=True)
    """What is counted."""
    since: Instant | None = None
    sender: str | None = None
    """What names the sender in a command whose trouble it is."""


_NEEDS_OF_LATENESS: Final = {
    "restored": Need(
        of="late",
        what="the database was restored from a backup: older texts are looked for before they are sent",
        remedy=_DOCTOR.model_copy(
            update={"preparation": "see 'Restore from a backup' in flows/PLAYBOOKS.md"}
        ),
    ),
    "run": Need(of="late", what="no run has finished", remedy=_START_RUNS),
    "due": Need(of="late", what="overdue", remedy=_DOCTOR),
    "scheduled": Need(
        of="planned",
        what="planned, late and not queued: those that are less than 48 h late go, the others end",
        remedy=_START_RUNS,
    ),
    "words": Need(
        of="late",
        what="what may mean stop is unread for three days or more",
        remedy=_READ_WORDS,
        noun="customer",
    ),
}
"""The need of each lateness, without its numbers."""


def link_to_texts(texts: int, **criteria: object) -> Remedy:
    """How many texts there are, as a link to them: the criteria are `ListTexts`'s."""
    if texts > ListTexts.model_fields["limit"].default:
        criteria["limit"] = 500
    return Remedy.see(ListTexts, criteria, str(texts))


class QueueStatus(Answer):
    """The state of the queue at one moment."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt", "scheduled")
    """The states of a text that has not ended, in the order in which they are shown."""

    at: Instant
    """The moment of the status, on the database's clock."""
    late: tuple[Late, ...] = ()
    states: tuple[StateCount, ...] = ()
    held: tuple[HeldCount, ...] = ()
    ended: tuple[ReasonCount, ...] = ()
    sends: dict[str, int] = Field({})
    """Sends of the last hour, by outcome."""
    hours: tuple[HourCount, ...] = ()
    undelivered: tuple[UndeliveredCount, ...] = ()
    senders: tuple[SenderRecord, ...] = ()
    """The senders that keep texts waiting, do not send, or are too slow for what is due."""
    unread: UnreadCount | None = None
    stops: tuple[Stop, ...] = ()
    mark: DatabaseMark | None = None
    send_to: SendTo | None = None
    runs: tuple[RunRecord, ...] = ()

    @property
    def queue(self) -> dict[str, int]:
        """Texts in each state, as `TextState`."""
        return _texts_by("state", self.states)

    @property
    def deliveries(self) -> dict[str, int]:
        """Texts accepted in the last day, by what became of them."""
        return _texts_by("delivery", self.hours)

    @property
    def ends(self) -> dict[str, int]:
        """Texts that failed or were cancelled in the last day."""
        return _texts_by("state", self.ended)

    @property
    def overdue_seconds(self) -> float:
        """How late the oldest due text is; 0 if none is due."""
        due = [
            count.oldest
            for count in self.states
            if count.state == "due" and count.oldest
        ]
        return max((self.at - min(due)).total_seconds(), 0) if due else 0

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None if none has lately."""
        finishes = [run.finished_at for run in self.runs if run.finished_at]
        if not finishes:
            return None
        return max((self.at - max(finishes)).total_seconds(), 0)

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped. A person's stop holds only what it names."""
        for stop in self.stops:
            if stop.what == "sending":
                return stop.why or "no reason was kept"
        return None

    @property
    def orders_to_stop(self) -> tuple[Stop, ...]:
        """US states to which a person lets no marketing text go, and businesses that a person has stopped."""
        return tuple(stop for stop in self.stops if stop.what not in _STOPPED)

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        if self.send_to in ("listed", "nobody"):
            return _STAGING[self.send_to]
        if self.mark and self.mark.kind == "staging":
            return "STAGING: the database is marked so"
        return None

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        queue = self.queue
        counts = [
            f"{queue[state]} {spaced(state)}" for state in self.STATES if state in queue
        ]
        return " · ".join(counts) or "empty"

    @property
    def name(self) -> str:
        """What is wrong, and the numbers."""
        parts = [
            self.staging,
            "STOPPED" if self.stopped_because else None,
            in_need(len(list(self.needs()))),
            self.numbers,
        ]
        if self.overdue_seconds:
            parts.append(f"oldest due for {span(self.overdue_seconds)}")
        return " · ".join(filter(None, parts))

    # Trouble

    @property
    def fails(self) -> bool:
        return any(self.needs())

    def needs(self) -> Iterator[Need]:
        """Everything that needs attention: stops, lateness, held texts, senders, unread messages. The worst first."""
        yield from self._needs_of_stops()
        yield from self._needs_of_lateness()
        yield from self._needs_of_senders()
        yield from self._needs_of_held()
        if self.unread:
            customers = str(self.unread.customers)
            yield Need(
                of="unread",
                what="what may mean stop is unread, and marketing texts wait",
                remedy=_READ_WORDS,
                count=Remedy.see(ListUnreadWords, {}, customers),
                noun="customer",
                since=self.unread.since,
            )

    def _needs_of_stops(self) -> Iterator[Need]:
        for stop in self.stops:
            if stop.what in _STOPPED:
                remedy = remedy_of_sender("sending_stopped", stop.sender)
                yield Need(
                    of="stop",
                    what=f"{_STOPPED[stop.what]}: {stop.why}",
                    remedy=remedy or _FIX_STOP,
                    since=stop.since,
                    sender=stop.sender,
                )

    def _needs_of_lateness(self) -> Iterator[Need]:
        for late in self.late:
            numbers = {"count": str(late.texts or ""), "since": late.oldest}
            yield _NEEDS_OF_LATENESS[late.name].model_copy(update=numbers)

    def _needs_of_senders(self) -> Iterator[Need]:
        for sender in self.senders:
            whose = "its sender"
            business: str | None = sender.users(3)
            # The rate of the default sender concerns no business alone.
            if sender.named_at and sender.why_code == "sender_rate":
                whose = "the default sender"
                business = None
            yield Need(
                of="sender",
                what=f"{whose} {sender.trouble}",
                remedy=remedy_of_sender(sender.why_code, sender.name) or _DOCTOR,
                business=business,
                count=str(sender.texts or ""),
                since=sender.since,
                sender=sender.name,
            )

    def _needs_of_held(self) -> Iterator[Need]:
        """The reasons of each business, but those that another need says; then how many texts are held besides."""
        remaining = self.queue.get("held", 0)
        for count in self.held:
            if count.state == "held":
                remaining -= count.texts
            if not self._is_said_elsewhere(count):
                yield _need_of(count)
        if remaining > 0:
            all_held = {"states": ["held"], "limit": 500}
            yield Need(
                of="held",
                what="held for other reasons, or of other businesses",
                remedy=Remedy.of(ListTexts, all_held, "see them all"),
                count=str(remaining),
            )

    def _is_said_elsewhere(self, count: HeldCount) -> bool:
        """Whether the need of a stop, of a sender or of unread words says why these texts are held."""
        is_a_sender_stopped = any(stop.sender for stop in self.stops)
        if count.why_code == "account_refused" and is_a_sender_stopped:
            return True
        if count.why_code == "words_unread" and self.unread:
            return True
        is_of_sender = count.why_code in SENDER_REMEDIES
        return any(
            sender.why_code == count.why_code
            or (is_of_sender and sender.only_business == count.business_id)
            for sender in self.senders
        )

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, or its own trouble."""
        for need in (*self._needs_of_stops(), *self._needs_of_senders()):
            if need.sender in (None, sender):
                return need
        return None

    # The whole status

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "queue": self.queue,
            "overdue_seconds": self.overdue_seconds,
            "needs": [need.model_dump(mode="json") for need in self.needs()],
        }

    def tell(self) -> Iterator[Block]:
        """What needs a person comes first; then what is due, waits and was sent."""
        yield self.name
        if self.mark:
            at = f" at {self.mark.address}" if self.mark.address else ""
            age = self._age(self.mark.since)
            yield f"the database is marked as {self.mark.kind}{at}{age}"
        if needs := list(self.needs()):
            yield Heading("Needs attention")
        for need in needs:
            yield self.say(need)
            yield "    ", need.remedy
        if self.orders_to_stop:
            yield Heading("Stopped by a person")
        for stop in self.orders_to_stop:
            yield f"{stop.order}{self._age(stop.since)}"
            yield "    ", stop.remedy
        yield Table("Not sent yet", list(self._states()))
        yield Table(
            "Sends in the last hour",
            [
                (spaced(outcome), str(sends), "")
                for outcome, sends in self.sends.items()
            ],
        )
        yield from self._last_day()
        undelivered = [
            (
                str(count.code or "without a code"),
                str(count.texts),
                count.business or "",
            )
            for count in self.undelivered
        ]
        yield Table("Undelivered in the last day, by code", undelivered)
        yield Table("Ended in the last day", list(self._ended()))
        runs = [
            (f"run {run.id}", "", f"{on_clock(run.started_at)} · {run.summary}")
            for run in self.runs
        ]
        yield Table("Runs", runs)
        yield f"As of {on_clock(self.at)} on the database's clock."

    def say(self, need: Need) -> tuple[Inline, ...]:
        """A need in a line: whose it is, what it is, how many texts, and for how long."""
        parts: list[Inline] = [need.what]
        if need.business:
            parts.insert(0, f"{need.business}: ")
        if need.count:
            plural = "" if str(need.count) == "1" else "s"
            parts += [" · ", need.count, f" {need.noun}{plural}"]
        return *parts, self._age(need.since)

    def _age(self, since: datetime | None) -> str:
        """The time for which it has been so."""
        return f", for {span((self.at - since).total_seconds())}" if since else ""

    def _states(self) -> Iterator[Row]:
        """The states; below those that wait, the reasons."""
        for state in self.STATES:
            counts = [count for count in self.states if count.state == state]
            if counts:
                total = link_to_texts(self.queue[state], states=[state])
                yield spaced(state), total, self._next(counts)
            for count in counts:
                if state == "waiting" and count.why_code:
                    link = link_to_texts(
                        count.texts, states=[state], why_code=count.why_code
                    )
                    label = f"waiting: {spaced(count.why_code)}"
                    yield label, link, self._next([count])

    def _next(self, counts: Iterable[StateCount]) -> str:
        """The time until the next of these texts is due."""
        moments = [count.next_at for count in counts if count.next_at]
        return f"in {span((min(moments) - self.at).total_seconds())}" if moments else ""

    def _ended(self) -> Iterator[Row]:
        """The texts that ended in the last day, by reason; and all of a state, where some have no reason."""
        day = {
            "since": (self.at - timedelta(days=1)).isoformat(),
            "until": self.at.isoformat(),
        }
        states = {reason.state for reason in self.ended if not reason.why_code}
        for state in sorted(states):
            yield (
                state,
                link_to_texts(self.ends[state], states=[state], **day),
                "in all",
            )
        for reason in self.ended:
            if not reason.why_code:
                yield reason.state, str(reason.texts), reason.why or ""
                continue
            link = link_to_texts(
                reason.texts, states=[reason.state], why_code=reason.why_code, **day
            )
            parts = (reason.why, f"[{reason.why_code}]")
            yield reason.state, link, " · ".join(filter(None, parts))

    def _last_day(self) -> Iterator[Hours]:
        """The last day by hour, if a text was accepted in it."""
        if not self.hours:
            return
        this_hour = self.at.replace(minute=0, second=0, microsecond=0)
        texts = {(count.hour, count.delivery): count.texts for count in self.hours}
        day = [this_hour - timedelta(hours=ago) for ago in range(23, -1, -1)]
        parts = [
            (hour, [texts.get((hour, delivery), 0) for delivery in DELIVERIES])
            for hour in day
        ]
        texts_by_delivery = dict.fromkeys(DELIVERIES, 0) | self.deliveries
        yield Hours(_HOURS_CAPTION.format_map(texts_by_delivery), parts)


def _texts_by(
    field: str, counts: Iterable[StateCount | HourCount | ReasonCount]
) -> dict[str, int]:
    """Add the texts up by what a field says."""
    sums = Counter[str]()
    for count in counts:
        sums[getattr(count, field)] += count.texts
    return dict(sums)


def _need_of(held_texts: HeldCount) -> Need:
    """What is held, and what ends it. A person alone may know what became of a text in doubt."""
    count: Inline = str(held_texts.texts)
    if held_texts.state == "in_doubt":
        example = {"id": str(held_texts.retry_id)}
        remedy = Remedy.of(
            ExplainText, example, "see one of them, and say what became of it"
        )
    else:
        criteria = {
            "states": ["held"],
            "business_id": str(held_texts.business_id),
            "why_code": held_texts.why_code,
        }
        if held_texts.why_code:
            count = link_to_texts(held_texts.texts, **criteria)
        remedy = (
            remedy_of_texts(
                held_texts.why_code, criteria, business_id=held_texts.business_id
            )
            or _DOCTOR
        )
    return Need(
        of="held",
        what=f"held: {held_texts.why}",
        remedy=remedy,
        business=held_texts.business,
        count=count,
        since=held_texts.since,
    )
