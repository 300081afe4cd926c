"""The state of the queue, by `sms_status`, and everything that needs attention."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.commands import LEFT
from smsretry.desk.actions.requests import ExplainText, ListTexts, ListUnreadWords
from smsretry.desk.actions.senders import ListSenders
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
from smsretry.desk.questions.records import NAMELESS
from smsretry.desk.questions.remedies import (
    DOCTOR,
    SENDER_REMEDIES,
    remedy_of_sender,
    remedy_of_stop,
    remedy_of_texts,
)
from smsretry.desk.questions.senders import SenderRecord, in_need
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Mark, SendTo, TextState, WhyCode, spaced

_STAGING: Final = {
    "listed": "STAGING: only who is listed is texted",
    "nobody": "STAGING: nobody is texted",
}
_FIX_STOP: Final = DOCTOR.model_copy(
    update={"words": "fix what it says: each run tries one text"}
)
_START_RUNS: Final = DOCTOR.model_copy(
    update={
        "preparation": "see that `smsretry serve` runs, under a supervisor, or that cron runs `smsretry process`"
    }
)
_READ_WORDS: Final = Remedy.of(ListUnreadWords, {}, "read it, and say what it means")
NO_RUN: Final = "no run has finished"
"""What is told where nobody runs."""
_STOPPED: Final = {
    "sending": "sending is stopped",
    "default_sender": "the default sender is stopped",
}
_OUTCOMES: Final = {
    "accepted": "accepted by the provider",
    "rejected": "refused by the provider",
    "not_sent": "never reached the provider",
    "in_doubt": "no clear answer",
}
"""What became of a send, where its word does not say it."""
_ARRIVALS: Final = {
    "delivered": "arrived (green)",
    "undelivered": "did not arrive (red)",
    "unknown": "never reported (grey)",
    "open": "not reported yet (blue)",
}
"""What became of an accepted text (`smsretry.delivery_of`), with its color in the picture."""
_MOST_SENDERS: Final = 50
"""How many senders in trouble a page names, those with the most texts."""


class Late(Value):
    """What is later than it may be."""

    name: Literal["restored", "run", "due", "scheduled", "words"]
    texts: int | None
    oldest: Instant | None
    due_by: Instant
    """What is due by then is late."""


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
    """The texts that wait for a person for one reason."""

    code: int | None
    """The provider's (0: without one), where that is what somebody must mend."""
    businesses: int
    business_id: UUID | None
    """The business, if they are of a single one."""
    business: str | None
    since: Instant
    retry_id: UUID
    """One of them."""

    @property
    def criteria(self) -> dict[str, object]:
        """The fields of `TextFilter` that find them."""
        criteria: dict[str, object] = {"states": [self.state], "needs_person": True}
        if self.why_code:
            criteria["why_code"] = self.why_code
        if self.code is not None:
            criteria["code"] = self.code
        return criteria

    @property
    def link(self) -> Inline:
        """How many there are, as a link to them."""
        # A reason that this version does not know is no filter.
        return (
            link_to_texts(self.texts, **self.criteria)
            if self.why_code
            else str(self.texts)
        )


class HourCount(Value):
    """The accepted texts of an hour of which the same is known."""

    hour: Instant
    delivery: str
    """A word of `Delivery`."""
    texts: int


class UndeliveredCount(Value):
    """The texts that did not arrive, for one of the provider's codes."""

    code: int | None
    businesses: int
    business: str | None
    """The name of a single one."""
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
    def why_code(self) -> WhyCode:
        """Why the texts that it holds wait."""
        return "state_stopped" if self.what == "state" else "business_stopped"

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
        remedy=DOCTOR.model_copy(
            update={"preparation": "see 'Restore from a backup' in flows/PLAYBOOKS.md"}
        ),
    ),
    "run": Need(of="late", what=NO_RUN, remedy=_START_RUNS),
    "due": Need(of="late", what="overdue", remedy=DOCTOR),
    "scheduled": Need(
        of="planned",
        what="planned, late and not queued: those that are less than 48 h late go, the others end",
        remedy=_START_RUNS,
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
        return " · ".join(counts) or "nothing waits"

    @property
    def headline(self) -> str:
        """The name, and when it was true."""
        return f"{self.name} · as of {on_clock(self.at)}"

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
            is_late = any(late.name == "words" for late in self.late)
            age = " for three days or more" if is_late else ""
            yield Need(
                of="late" if is_late else "unread",
                what=f"what may mean stop is unread{age}, and marketing texts wait",
                remedy=_READ_WORDS,
                count=Remedy.see(ListUnreadWords, {}, str(self.unread.customers)),
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
            if late.name == "words":
                continue
            count: Inline = ""
            if late.texts:
                count = link_to_texts(
                    late.texts, states=[late.name], due_by=late.due_by.isoformat()
                )
            numbers = {"count": count, "since": late.oldest}
            yield _NEEDS_OF_LATENESS[late.name].model_copy(update=numbers)

    def _needs_of_senders(self) -> Iterator[Need]:
        """The senders in trouble that no stop names; how many there are besides those with the most texts."""
        stopped = {stop.sender for stop in self.stops}
        senders = [sender for sender in self.senders if sender.name not in stopped]
        for sender in senders[:_MOST_SENDERS]:
            count = link_to_texts(
                sender.texts, sender=sender.name, states=["due", "waiting", "held"]
            )
            # The rate of the default sender concerns no business alone.
            is_of_all = sender.named_at and sender.why_code == "sender_rate"
            whose = "the default sender" if is_of_all else "its sender"
            yield Need(
                of="sender",
                what=f"{whose} {sender.trouble}",
                remedy=remedy_of_sender(sender.why_code, sender.name) or DOCTOR,
                business=None if is_of_all else sender.users(3),
                count=count if sender.texts else "",
                since=sender.since,
                sender=sender.name,
            )
        if others := len(senders[_MOST_SENDERS:]):
            yield Need(
                of="sender",
                what="other senders keep texts waiting",
                remedy=Remedy.of(ListSenders, {}, "see them all"),
                count=str(others),
                noun="sender",
            )

    def _needs_of_held(self) -> Iterator[Need]:
        """The reasons why texts are held, but those that another need or a person's stop says."""
        said = {str(stop.why_code) for stop in self.orders_to_stop}
        if self.senders or any(stop.sender for stop in self.stops):
            # Each sender that keeps texts waiting is named.
            said |= SENDER_REMEDIES.keys()
        if self.unread:
            said.add("words_unread")
        for count in self.held:
            if count.state == "in_doubt" or count.why_code not in said:
                yield _need_of(count)

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, no run, or its own trouble."""
        for need in (
            *self._needs_of_stops(),
            *(need for need in self._needs_of_lateness() if need.what == NO_RUN),
            *self._needs_of_senders(),
        ):
            if need.of == "sender" and not need.sender:
                continue
            if need.sender in (None, sender):
                return need
        return None

    @property
    def silence(self) -> str | None:
        """That nobody runs, and for how long. None: somebody does."""
        for late in self.late:
            if late.name == "run":
                return f"{NO_RUN}{self._age(late.oldest)}"
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
        yield self.headline
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
        orders = {stop.why_code for stop in self.orders_to_stop}
        for stop in self.orders_to_stop:
            yield f"{stop.order}{self._age(stop.since)}"
            yield "    ", stop.remedy
        for count in self.held:
            if count.state == "held" and count.why_code in orders:
                reason = f" of {users(count)} · {spaced(count.why_code)}"
                yield count.link, reason
        yield Table("Not sent yet", list(self._states()), ("state", "texts", "next"))
        hour = self._window(timedelta(hours=1))
        yield Table(
            "Sends in the last hour",
            [
                (
                    _OUTCOMES.get(outcome, spaced(outcome)),
                    link_to_texts(texts, send=outcome, **hour),
                    "",
                )
                for outcome, texts in self.sends.items()
            ],
            ("answer", "texts", ""),
        )
        yield from self._last_day()
        day = self._window(timedelta(days=1))
        undelivered = [
            (
                str(count.code or "without a code"),
                link_to_texts(
                    count.texts, send="undelivered", code=count.code or 0, **day
                ),
                users(count),
            )
            for count in self.undelivered
        ]
        yield Table(
            "Undelivered in the last day",
            undelivered,
            ("code", "texts", "business"),
        )
        yield Table(
            "Ended in the last day", list(self._ended()), ("end", "texts", "why")
        )
        runs = [
            (f"run {run.id}", "", f"{on_clock(run.started_at)} · {run.summary}")
            for run in self.runs
        ]
        yield Table("Runs", runs, ("run", "", "what it came to"))

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
        day = self._window(timedelta(days=1))
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

    def _last_day(self) -> Iterator[Block]:
        """The last day by hour, if a text was accepted in it, and what became of its texts."""
        if not self.hours:
            return
        this_hour = self.at.replace(minute=0, second=0, microsecond=0)
        texts = {(count.hour, count.delivery): count.texts for count in self.hours}
        hours = [this_hour - timedelta(hours=ago) for ago in range(23, -1, -1)]
        yield Hours(
            "Accepted in the last day, by hour (UTC).",
            [
                (hour, [texts.get((hour, delivery), 0) for delivery in _ARRIVALS])
                for hour in hours
            ],
        )
        day = self._window(timedelta(days=1))
        arrivals = [
            (
                words,
                link_to_texts(self.deliveries.get(delivery, 0), send=delivery, **day),
                "",
            )
            for delivery, words in _ARRIVALS.items()
        ]
        yield Table("Accepted in the last day", arrivals, ("arrival", "texts", ""))

    def _window(self, length: timedelta) -> dict[str, str]:
        """The fields of `ListTexts` for the time until now, so that a link shows the same an hour later."""
        return {
            "since": (self.at - length).isoformat(),
            "until": self.at.isoformat(),
        }


def _texts_by(
    field: str, counts: Iterable[StateCount | HourCount | ReasonCount]
) -> dict[str, int]:
    """Add the texts up by what a field says."""
    sums = Counter[str]()
    for count in counts:
        sums[getattr(count, field)] += count.texts
    return dict(sums)


def users(count: HeldCount | UndeliveredCount) -> str:
    """The name of a single business, or how many there are."""
    if count.businesses == 1:
        return count.business or NAMELESS
    return f"{count.businesses} businesses"


def _need_of(count: HeldCount) -> Need:
    """What is held, and what ends it. A person alone may know what became of a text in doubt."""
    remedy: Remedy | None
    if count.state == "in_doubt":
        remedy = Remedy.of(
            ExplainText,
            {"id": str(count.retry_id)},
            "see one of them, and say what became of it",
        )
    else:
        criteria = count.criteria
        if count.business_id:
            criteria["business_id"] = str(count.business_id)
        remedy = remedy_of_texts(
            count.why_code, criteria, business_id=count.business_id or LEFT
        )
    return Need(
        of="held",
        what=f"{spaced(count.state)}: {count.why}",
        remedy=remedy or DOCTOR,
        business=users(count),
        count=count.link,
        since=count.since,
    )
