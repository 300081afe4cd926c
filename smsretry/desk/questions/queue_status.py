"""The state of the queue, by `sms_status`, and everything that needs attention."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final, Literal, TypeAlias
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ExplainText, ListTexts, ListUnreadWords
from smsretry.desk.actions.senders import ListSenders
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import (
    Block,
    Heading,
    Inline,
    Remedy,
    Row,
    Table,
    by_hour,
)
from smsretry.desk.questions.records import NAMELESS
from smsretry.desk.questions.remedies import DOCTOR, SENDERS_REASONS, remedy_of
from smsretry.desk.questions.senders import SenderRecord, in_need
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Delivery, Mark, SendTo, TextState, spaced

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
_SEE_PLAYBOOK: Final = DOCTOR.model_copy(
    update={"preparation": "see 'Restore from a backup' in flows/PLAYBOOKS.md"}
)
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
    "delivered": "arrived",
    "undelivered": "did not arrive",
    "unknown": "never reported",
    "open": "not reported yet",
}
"""What became of an accepted text (`smsretry.delivery_of`)."""
_MOST_SENDERS: Final = 50
"""How many senders in trouble a page names, those with the most texts."""
NeedOf: TypeAlias = Literal[
    "stop", "run", "late", "planned", "sender", "held", "unread", "order"
]


class Late(Value):
    """What is later than it may be."""

    name: Literal["restored", "run", "due", "scheduled", "words"]
    texts: int | None
    oldest: Instant | None
    due_by: Instant
    """What is due by then is late."""


class Count(Value):
    """The texts of which the same is known. Each count tells what is known of its own."""

    texts: int
    state: TextState | None = None
    why_code: KnownCode = None
    code: int | None = None
    """The provider's (0: without one), where that is what somebody must mend."""
    why: str | None = None
    businesses: int = 0
    business_id: str | None = None
    """The business, if they are of a single one."""
    business: str | None = None
    oldest: Instant | None = None
    """The earliest due time."""
    next_at: Instant | None = None
    """The next due time to come."""
    since: Instant | None = None
    retry_id: UUID | None = None
    """One of them."""

    @property
    def users(self) -> str:
        """The name of a single business, or how many there are."""
        if self.businesses == 1:
            return self.business or NAMELESS
        return f"{self.businesses} businesses"

    def criteria(self, **others: object) -> dict[str, object]:
        """The fields of `TextFilter` that find them."""
        fields = {"why_code": self.why_code, "code": self.code, **others}
        known = {name: value for name, value in fields.items() if value is not None}
        return {"states": [self.state], **known}

    def link(self, **others: object) -> Inline:
        """How many there are, as a link to them. A reason that this version does not know is no filter."""
        if not self.why_code:
            return str(self.texts)
        return link_to_texts(self.texts, **self.criteria(**others))


class HourCount(Value):
    """The accepted texts of an hour of which the same is known."""

    hour: Instant
    delivery: Delivery
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
    def why_code(self) -> str:
        """Why the texts that a person's stop holds wait."""
        return f"{self.what}_stopped"


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

    of: NeedOf
    what: str
    remedy: Remedy
    business: str | None = None
    count: Inline = ""
    """How many texts or customers; a link leads to exactly those."""
    noun: str = Field("text", exclude=True)
    """What is counted."""
    since: Instant | None = None
    sender: str | None = None
    """What names the sender in a command whose trouble it is; empty: of several."""


_LATENESS: Final = {
    "restored": partial(
        Need,
        of="late",
        what="the database was restored from a backup: older texts are looked for before they are sent",
        remedy=_SEE_PLAYBOOK,
    ),
    "run": partial(Need, of="run", what="no run has finished", remedy=_START_RUNS),
    "due": partial(Need, of="late", what="overdue", remedy=DOCTOR),
    "scheduled": partial(
        Need,
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
    states: tuple[Count, ...] = ()
    """By state and reason."""
    held: tuple[Count, ...] = ()
    """Those that wait for a person, by reason."""
    ended: tuple[Count, ...] = ()
    """Those that ended in the last day, by reason."""
    sends: dict[str, int] = Field({})
    """Sends of the last hour, by outcome."""
    hours: tuple[HourCount, ...] = ()
    """Those of the last day."""
    undelivered: tuple[Count, ...] = ()
    """Those that did not arrive, by the provider's code."""
    senders: tuple[SenderRecord, ...] = ()
    """The senders that keep texts waiting, do not send, or are too slow for what is due."""
    unread: UnreadCount | None = None
    stops: tuple[Stop, ...] = ()
    mark: DatabaseMark | None = None
    send_to: SendTo | None = None
    runs: tuple[RunRecord, ...] = ()

    @property
    def queue(self) -> Counter[str]:
        """Texts in each state, as `TextState`."""
        return _sums("state", self.states)

    @property
    def deliveries(self) -> Counter[str]:
        """Texts accepted in the last day, by what became of them."""
        return _sums("delivery", self.hours)

    @property
    def ends(self) -> Counter[str]:
        """Texts that failed or were cancelled in the last day."""
        return _sums("state", self.ended)

    @property
    def overdue_seconds(self) -> float:
        """How late the oldest due text is; 0 if none is due."""
        due = [count.oldest for count in self.states if count.state == "due"]
        return max(
            (self.at - min(filter(None, due), default=self.at)).total_seconds(), 0
        )

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None if none has lately."""
        finishes = [run.finished_at for run in self.runs if run.finished_at]
        return max((self.at - max(finishes)).total_seconds(), 0) if finishes else None

    @property
    def orders_to_stop(self) -> tuple[Stop, ...]:
        """US states to which a person lets no marketing text go, and businesses that a person has stopped."""
        return tuple(stop for stop in self.stops if stop.what not in _STOPPED)

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
        """What is wrong, and the numbers. Staging comes first: there not everybody is texted."""
        staging = _STAGING.get(self.send_to or "")
        if not staging and self.mark and self.mark.kind == "staging":
            staging = "STAGING: the database is marked so"
        is_stopped = any(stop.what == "sending" for stop in self.stops)
        overdue = self.overdue_seconds
        parts = (
            staging,
            "STOPPED" if is_stopped else None,
            in_need(len(list(self.needs()))),
            self.numbers,
            f"oldest due for {span(overdue)}" if overdue else None,
        )
        return " · ".join(filter(None, parts))

    # Trouble

    @property
    def fails(self) -> bool:
        return any(self.needs())

    def needs(self) -> Iterator[Need]:
        """Everything that needs attention: stops, lateness, held texts, senders, unread messages. The worst first."""
        for stop in self.stops:
            if stop.what in _STOPPED:
                sender = {"sender": stop.sender}
                yield Need(
                    of="stop",
                    what=f"{_STOPPED[stop.what]}: {stop.why}",
                    remedy=remedy_of("sending_stopped", sender) or _FIX_STOP,
                    since=stop.since,
                    sender=stop.sender,
                )
        for late in self.late:
            if lateness := _LATENESS.get(late.name):
                due_by = late.due_by.isoformat()
                link = link_to_texts(late.texts or 0, states=[late.name], due_by=due_by)
                yield lateness(count=link if late.texts else "", since=late.oldest)
        yield from self._needs_of_senders()
        yield from self._needs_of_held()
        if self.unread:
            # Three days are a third of what the law gives.
            is_late = any(late.name == "words" for late in self.late)
            yield Need(
                of="late" if is_late else "unread",
                what="what may mean stop is unread, and marketing texts wait",
                remedy=Remedy.of(ListUnreadWords, {}, "read it, and say what it means"),
                count=Remedy.see(ListUnreadWords, {}, str(self.unread.customers)),
                noun="customer",
                since=self.unread.since,
            )

    def orders(self) -> Iterator[Need]:
        """What a person stopped, why, and who it was; and what lifts it."""
        for stop in self.orders_to_stop:
            subject = {"state": stop.subject, "business_id": stop.subject}
            order = f"stopped {stop.business or stop.subject}: {stop.why}"
            yield Need(
                of="order",
                what=f"{order}, by {stop.who}" if stop.who else order,
                remedy=remedy_of(stop.why_code, subject) or DOCTOR,
                since=stop.since,
            )

    def _needs_of_senders(self) -> Iterator[Need]:
        """The senders in trouble that no stop names; how many there are besides those with the most texts."""
        stopped = {stop.sender for stop in self.stops}
        senders = [sender for sender in self.senders if sender.name not in stopped]
        for sender in senders[:_MOST_SENDERS]:
            link = link_to_texts(
                sender.texts, sender=sender.name, states=["due", "waiting", "held"]
            )
            # The rate of the default sender concerns no business alone.
            is_of_all = sender.named_at and sender.why_code == "sender_rate"
            whose = "the default sender" if is_of_all else "its sender"
            yield Need(
                of="sender",
                what=f"{whose} {sender.trouble}",
                remedy=sender.remedy or DOCTOR,
                business=None if is_of_all else sender.users(3),
                count=link if sender.texts else "",
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
                sender="",
            )

    def _needs_of_held(self) -> Iterator[Need]:
        """The reasons why texts are held, but those that another need or a person's stop says."""
        said = {stop.why_code for stop in self.orders_to_stop}
        if self.senders or any(stop.sender for stop in self.stops):
            # Each sender that keeps texts waiting is named.
            said |= SENDERS_REASONS
        if self.unread:
            said.add("words_unread")
        for count in self.held:
            if count.state == "in_doubt" or count.why_code not in said:
                yield Need(
                    of="held",
                    what=f"{spaced(count.state or '')}: {count.why}",
                    remedy=_remedy_of_held(count),
                    business=count.users,
                    count=count.link(needs_person=True),
                    since=count.since,
                )

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, no run, or its own trouble."""
        for need in self.needs():
            if need.of in ("stop", "run", "sender") and need.sender in (None, sender):
                return need
        return None

    @property
    def silence(self) -> str | None:
        """That nobody runs, and for how long. None: somebody does."""
        for need in self.needs():
            if need.of == "run":
                return "".join(map(str, self.say(need)))
        return None

    # The whole status

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "queue": self.queue,
            "deliveries": self.deliveries,
            "ends": self.ends,
            "overdue_seconds": self.overdue_seconds,
            "silent_seconds": self.silent_seconds,
            "needs": [need.model_dump(mode="json") for need in self.needs()],
        }

    def tell(self) -> Iterator[Block]:
        """What needs a person comes first; then what is due, waits and was sent."""
        yield self.headline
        if self.mark:
            at = f" at {self.mark.address}" if self.mark.address else ""
            age = self._age(self.mark.since)
            yield f"the database is marked as {self.mark.kind}{at}{age}"
        for title, needs in (
            ("Needs attention", [*self.needs()]),
            ("Stopped by a person", [*self.orders()]),
        ):
            if needs:
                yield Heading(title)
            for need in needs:
                yield self.say(need)
                yield "    ", need.remedy
        reasons = {stop.why_code for stop in self.orders_to_stop}
        for count in self.held:
            if count.state == "held" and count.why_code in reasons:
                reason = f" of {count.users} · {spaced(count.why_code)}"
                yield count.link(needs_person=True), reason
        yield from self._tables()

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

    def _tables(self) -> Iterator[Block]:
        """The numbers, each of which leads to its texts."""
        hour, day = self._window(hours=1), self._window(days=1)
        yield Table("Not sent yet", ("state", "texts", "next"), [*self._states()])
        sends = [
            (_OUTCOMES.get(send, spaced(send)), link_to_texts(texts, send=send, **hour))
            for send, texts in self.sends.items()
        ]
        yield Table("Sends in the last hour", ("answer", "texts"), sends)
        if self.hours:
            arrivals = [
                (words, link_to_texts(self.deliveries[send], send=send, **day))
                for send, words in _ARRIVALS.items()
            ]
            yield Table("Accepted in the last day", ("arrival", "texts"), arrivals)
            lost = {
                count.hour: f"{count.texts} did not arrive"
                for count in self.hours
                if count.delivery == "undelivered"
            }
            yield by_hour("By hour", _sums("hour", self.hours), lost)
        undelivered = [
            (
                str(count.code or "without a code"),
                link_to_texts(
                    count.texts, send="undelivered", code=count.code or 0, **day
                ),
                count.users,
            )
            for count in self.undelivered
        ]
        columns = ("code", "texts", "business")
        yield Table("Undelivered in the last day", columns, undelivered)
        ended = [
            (
                count.state or "",
                count.link(**day),
                " · ".join(filter(None, (count.why, f"[{count.why_code}]"))),
            )
            for count in self.ended
        ]
        yield Table("Ended in the last day", ("end", "texts", "why"), ended)
        runs = [
            (f"run {run.id}", "", f"{on_clock(run.started_at)} · {run.summary}")
            for run in self.runs
        ]
        yield Table("Runs", ("run", "", "what it came to"), runs)

    def _states(self) -> Iterator[Row]:
        """The states; below those that wait, the reasons."""
        for state in self.STATES:
            counts = [count for count in self.states if count.state == state]
            if counts:
                total = link_to_texts(self.queue[state], states=[state])
                yield spaced(state), total, self._next(counts)
            for count in counts:
                if state == "waiting" and count.why_code:
                    label = f"waiting: {spaced(count.why_code)}"
                    yield label, count.link(), self._next([count])

    def _next(self, counts: Iterable[Count]) -> str:
        """The time until the next of these texts is due."""
        moments = [count.next_at for count in counts if count.next_at]
        return f"in {span((min(moments) - self.at).total_seconds())}" if moments else ""

    def _window(self, **length: int) -> dict[str, str]:
        """The fields of `ListTexts` for the time until now, so that a link shows the same an hour later."""
        since = self.at - timedelta(**length)
        return {"since": since.isoformat(), "until": self.at.isoformat()}


def _sums(field: str, counts: Iterable[Count | HourCount]) -> Counter[Any]:
    """The texts, added up by what a field says."""
    sums = Counter[Any]()
    for count in counts:
        sums[getattr(count, field)] += count.texts
    return sums


def _remedy_of_held(count: Count) -> Remedy:
    """What ends what is held. A person alone may know what became of a text in doubt."""
    if count.state == "in_doubt":
        words = "see one of them, and say what became of it"
        return Remedy.of(ExplainText, {"id": str(count.retry_id)}, words)
    business = {"business_id": count.business_id}
    look = count.criteria(needs_person=True, **business)
    return remedy_of(count.why_code, business, look) or DOCTOR
