"""The state of the queue, by `sms_status`, and everything that needs attention."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ExplainText, ListTexts, ReadWords
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, Heading, Hours, Remedy, Table, Words
from smsretry.desk.questions.remedies import OF_SENDERS, ending, lifting
from smsretry.desk.questions.senders import SenderRecord, in_need
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Mark, SendTo, TextState

FATES: Final = ("delivered", "undelivered", "unknown", "open")
"""What became of an accepted text. unknown: nothing final was ever reported. open: nothing has been reported yet."""
_STAGING: Final[dict[SendTo | None, str]] = {
    "listed": "STAGING: only who is listed is texted",
    "nobody": "STAGING: nobody is texted",
}
_DOCTOR: Final = Remedy(
    words="ask what is wrong", command="smsretry doctor", form="sms-doctor"
)
_MEND: Final = _DOCTOR.model_copy(
    update={"words": "fix what it says: each run tries one text"}
)
_START: Final = _DOCTOR.model_copy(
    update={
        "preparation": "see that `smsretry serve` runs, under a supervisor, or that cron runs `smsretry process`"
    }
)
_READ: Final = Remedy.of(ReadWords, {}, "read it, and say what it means")
_LATE: Final = {
    "restored": (
        "the database was restored from a backup: older texts are looked for before they are sent",
        _DOCTOR.model_copy(
            update={"preparation": "see 'Restore from a backup' in flows/PLAYBOOKS.md"}
        ),
    ),
    "run": ("no run has finished", _START),
    "due": ("overdue", _DOCTOR),
    "scheduled": (
        "planned, late and not queued: those that are less than 48 h late go, the others end",
        _START,
    ),
    "words": ("what may mean stop is unread for three days or more", _READ),
}
"""What is late, and what to do."""
_STOPPED: Final = {
    "sending": "sending is stopped",
    "default_sender": "the default sender is stopped",
}
_HOURS: Final = (
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
    """The accepted texts of an hour that have one fate."""

    hour: Instant
    fate: str
    texts: int


class UndeliveredCount(Value):
    """The texts of a business that did not arrive, for one of the provider's codes."""

    code: int | None
    business: str | None
    texts: int


class Stop(Value):
    """What is stopped: sending, the default sender, or by a person texts to a US state or of a business."""

    what: Literal["sending", "default_sender", "state", "business"]
    subject: str = ""
    """The state, or the id of the business."""
    business: str | None = None
    since: Instant
    why: str | None
    who: str | None = None
    sender: str | None = None
    """What names the sender in a command."""

    @property
    def order(self) -> str:
        """What a person stopped, who and why."""
        signature = f", by {self.who}" if self.who else ""
        return f"stopped {self.business or self.subject}: {self.why}{signature}"

    @property
    def remedy(self) -> Remedy:
        """What lifts a person's stop."""
        field = "state" if self.what == "state" else "business_id"
        return lifting({field: self.subject})


class UnreadWords(Value):
    """Customers who wrote what may mean stop, and whom nobody has read."""

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
    count: Words = ""
    """How many texts; a link leads to exactly those."""
    since: Instant | None = None
    sender: str | None = Field(
        None, description="What names the sender in a command whose trouble it is."
    )


def listed(texts: int, **criteria: object) -> Remedy:
    """How many texts there are. It leads to them, as `ListTexts` finds them."""
    values = {name: value for name, value in criteria.items() if value is not None}
    if texts > ListTexts.model_fields["limit"].default:
        values["limit"] = 500
    return Remedy.see(ListTexts, values, str(texts))


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
    """Those that keep texts waiting, do not send, or are too slow for what is due."""
    unread: UnreadWords | None = None
    stops: tuple[Stop, ...] = ()
    mark: DatabaseMark | None = None
    send_to: SendTo | None = None
    runs: tuple[RunRecord, ...] = ()

    @property
    def queue(self) -> dict[str, int]:
        """Texts in each state, as `TextState`."""
        return _sums((count.state, count.texts) for count in self.states)

    @property
    def fates(self) -> dict[str, int]:
        """Texts accepted in the last day, by what became of them."""
        return _sums((hour.fate, hour.texts) for hour in self.hours)

    @property
    def ends(self) -> dict[str, int]:
        """Texts that failed or were cancelled in the last day."""
        return _sums((reason.state, reason.texts) for reason in self.ended)

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
        ends = [run.finished_at for run in self.runs if run.finished_at]
        return max((self.at - max(ends)).total_seconds(), 0) if ends else None

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped. A person's stop holds only what it names."""
        stops = (
            stop.why or "no reason was kept"
            for stop in self.stops
            if stop.what == "sending"
        )
        return next(stops, None)

    @property
    def orders_to_stop(self) -> tuple[Stop, ...]:
        """US states to which a person lets no marketing text go, and businesses that a person has stopped."""
        return tuple(stop for stop in self.stops if stop.what not in _STOPPED)

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        is_marked = self.mark is not None and self.mark.kind == "staging"
        marked = "STAGING: the database is marked so" if is_marked else None
        return _STAGING.get(self.send_to, marked)

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        queue = self.queue
        counts = [
            f"{queue[state]} {state.replace('_', ' ')}"
            for state in self.STATES
            if state in queue
        ]
        return " · ".join(counts) or "empty"

    @property
    def name(self) -> str:
        """What is wrong, and the numbers."""
        needs = len(list(self.needs()))
        late = (
            f"oldest due for {span(self.overdue_seconds)}"
            if self.overdue_seconds
            else ""
        )
        parts = (
            self.staging,
            "STOPPED" if self.stopped_because else "",
            in_need(needs),
            self.numbers,
            late,
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
                yield Need(
                    of="stop",
                    what=f"{_STOPPED[stop.what]}: {stop.why}",
                    remedy=ending("sending_stopped", None, stop.sender) or _MEND,
                    since=stop.since,
                    sender=stop.sender,
                )
        for late in self.late:
            problem, remedy = _LATE[late.name]
            yield Need(
                of="planned" if late.name == "scheduled" else "late",
                what=problem,
                remedy=remedy,
                count=str(late.texts or ""),
                since=late.oldest,
            )
        for sender in self.senders:
            # The status names the default sender for its rate alone: its stop is one of the stops.
            is_of_all = sender.named_at and sender.why_code == "sender_rate"
            whose = "the default sender" if is_of_all else "its sender"
            yield Need(
                of="sender",
                what=f"{whose} {sender.trouble}",
                remedy=ending(sender.why_code, None, sender.name) or _DOCTOR,
                business=None if is_of_all else sender.names(3),
                count=str(sender.texts or ""),
                since=sender.since,
                sender=sender.name,
            )
        yield from self._needs_of_held()
        if self.unread:
            yield Need(
                of="unread",
                what="what may mean stop is unread, and marketing texts wait",
                remedy=_READ,
                count=Remedy.see(ReadWords, {}, str(self.unread.customers)),
                since=self.unread.since,
            )

    def _needs_of_held(self) -> Iterator[Need]:
        """Each reason of each business, unless it is its sender's; then those that are not listed."""
        unlisted = self.queue.get("held", 0)
        for count in self.held:
            unlisted -= count.texts if count.state == "held" else 0
            if not self._is_senders(count):
                yield _need_of(count)
        if unlisted > 0:
            every = {"states": ["held"], "limit": 500}
            yield Need(
                of="held",
                what="held for other reasons, or of other businesses",
                remedy=Remedy.of(ListTexts, every, "see them all"),
                count=str(unlisted),
            )

    def _is_senders(self, count: HeldCount) -> bool:
        """Whether it is named as the trouble of a sender, or of the default one."""
        whys = {sender.why_code for sender in self.senders}
        whys |= {"account_refused" for stop in self.stops if stop.sender}
        whys |= {"words_unread"} if self.unread else set()
        businesses = {sender.only_business for sender in self.senders}
        return count.why_code in whys or (
            count.business_id in businesses and count.why_code in OF_SENDERS
        )

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, or its own trouble."""
        obstacles = (
            need
            for need in self.needs()
            if need.of in ("stop", "sender") and need.sender in (None, sender)
        )
        return next(obstacles, None)

    # All of it

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
            since = self._for(self.mark.since)
            yield f"the database is marked as {self.mark.kind}{at}{since}"
        needs = list(self.needs())
        yield from [Heading("Needs attention")] if needs else []
        for need in needs:
            yield self.say(need)
            yield "    ", need.remedy
        yield from [Heading("Stopped by a person")] if self.orders_to_stop else []
        for stop in self.orders_to_stop:
            yield f"{stop.order}{self._for(stop.since)}"
            yield "    ", stop.remedy
        yield Table("Not sent yet", list(self._states()))
        sends = [
            (outcome.replace("_", " "), str(count), "")
            for outcome, count in self.sends.items()
        ]
        yield Table("Sends in the last hour", sends)
        yield from self._day()
        undelivered = [
            (
                str(failure.code or "without a code"),
                str(failure.texts),
                failure.business or "",
            )
            for failure in self.undelivered
        ]
        yield Table("Undelivered in the last day, by code", undelivered)
        yield Table("Ended in the last day", list(self._ended()))
        runs = [
            (f"run {run.id}", "", f"{on_clock(run.started_at)} · {run.summary}")
            for run in self.runs
        ]
        yield Table("Runs", runs)
        yield f"As of {on_clock(self.at)} on the database's clock."

    def _states(self) -> Iterator[tuple[str, Words, str]]:
        """Each state; and why those wait that do."""
        for state in self.STATES:
            counts = [count for count in self.states if count.state == state]
            if counts:
                total = listed(self.queue[state], states=[state])
                yield state.replace("_", " "), total, self._until(*counts)
            for count in counts:
                if count.why_code and state == "waiting":
                    link = listed(count.texts, states=[state], why_code=count.why_code)
                    label = f"waiting: {count.why_code.replace('_', ' ')}"
                    yield label, link, self._until(count)

    def _until(self, *counts: StateCount) -> str:
        """The time until the next of them is due."""
        moments = [count.next_at for count in counts if count.next_at]
        seconds = [(moment - self.at).total_seconds() for moment in moments]
        return f"in {span(min(seconds))}" if seconds else ""

    def _ended(self) -> Iterator[tuple[str, Words, str]]:
        """Each reason, with those that ended for it in the last day; and in all, where some gave none."""
        day = {
            "since": (self.at - timedelta(days=1)).isoformat(),
            "until": self.at.isoformat(),
        }
        for state in sorted(
            {reason.state for reason in self.ended if not reason.why_code}
        ):
            yield state, listed(self.ends[state], states=[state], **day), "in all"
        for reason in self.ended:
            count: Words = str(reason.texts)
            code = f"[{reason.why_code}]" if reason.why_code else None
            if code:
                criteria = {"states": [reason.state], "why_code": reason.why_code}
                count = listed(reason.texts, **criteria, **day)
            yield reason.state, count, " · ".join(filter(None, (reason.why, code)))

    def _day(self) -> Iterator[Hours]:
        """The last day by hour, if a text was accepted in it."""
        if not self.hours:
            return
        this_hour = self.at.replace(minute=0, second=0, microsecond=0)
        texts = {(count.hour, count.fate): count.texts for count in self.hours}
        day = [this_hour - timedelta(hours=ago) for ago in range(23, -1, -1)]
        parts = [(hour, [texts.get((hour, fate), 0) for fate in FATES]) for hour in day]
        yield Hours(_HOURS.format_map(Counter(self.fates)), parts)

    def say(self, need: Need) -> tuple[Words, ...]:
        """Whose it is, what it is, how many texts, and for how long."""
        whose = f"{need.business}: " if need.business else ""
        noun = "customer" if need.remedy == _READ else "text"
        plural = "" if str(need.count) == "1" else "s"
        counted = (" · ", need.count, f" {noun}{plural}") if need.count else ()
        return whose, need.what, *counted, self._for(need.since)

    def _for(self, since: datetime | None) -> str:
        """For how long it has been so."""
        return f", for {span((self.at - since).total_seconds())}" if since else ""


def _sums(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The texts of each case."""
    sums = Counter[str]()
    for case, texts in counts:
        sums[case] += texts
    return dict(sums)


def _need_of(held_texts: HeldCount) -> Need:
    """What is held, and what ends it. A person alone may know what became of one in doubt."""
    count: Words = str(held_texts.texts)
    if held_texts.state == "in_doubt":
        one_of_them = {"id": str(held_texts.retry_id)}
        remedy = Remedy.of(
            ExplainText, one_of_them, "see one of them, and say what became of it"
        )
    else:
        criteria = {
            "states": ["held"],
            "business_id": str(held_texts.business_id),
            "why_code": held_texts.why_code,
        }
        if held_texts.why_code:
            count = listed(held_texts.texts, **criteria)
        of_business = ending(
            held_texts.why_code, criteria, None, business=held_texts.business_id
        )
        remedy = of_business or _DOCTOR
    return Need(
        of="held",
        what=f"held: {held_texts.why}",
        remedy=remedy,
        business=held_texts.business,
        count=count,
        since=held_texts.since,
    )
