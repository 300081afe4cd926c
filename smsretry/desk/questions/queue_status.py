"""The state of the queue: the lines of `sms_status`, by what a person asks about, and what needs somebody."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ListTexts, LookAgain, StopState, WhichText
from smsretry.desk.actions.senders import WhichSenders
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.levers import MENDING, SENDER_MENDING
from smsretry.desk.questions.told import Heading, Hours, Lever, Table, Told, Words
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Reason

DROP: Final = 0.1
"""A person should know when the last hour's share of delivered texts is this far below the day's."""
REASONS: Final[dict[Reason | str, str]] = {
    "quiet_hours": "permitted hours",
    "twilio_error": "the next try",
    "rate_limit": "the rate limit",
    "none": "their time",
}
"""What a waiting text waits for."""
FATES: Final = ("delivered", "undelivered", "unknown", "open")
"""What became of an accepted text. unknown: nothing final was ever reported. open: nothing has been reported yet."""
_STAGING: Final = {"listed": "STAGING: only who is listed is texted", "nobody": "STAGING: nobody is texted"}
_DOCTOR: Final = Lever(words="ask what is wrong", command="smsretry doctor", form="sms-doctor")
_STOPPED: Final = {"sending": "sending is stopped", "environment": "the sender of the environment is stopped"}
_HOURS: Final = "Accepted by hour (UTC): green arrived, red did not, grey never reported, blue not reported yet."


class StatusLine(Value):
    """A row of `sms_status`."""

    part: str
    name: str = "what cannot be read"
    business_id: UUID | None = None
    business: str | None = None
    texts: int | None = None
    oldest: Instant | None = None
    next_at: Instant | None = None
    told: str | None = None
    why_code: KnownCode = Field(None, description="Why texts are held or ended, for programs.")
    ref: str | None = Field(None, description="What a command or a link names it by.")
    unreadable: tuple[str, ...] = Field((), description="The parts that cannot be read.")

    def which(self, *states: str) -> dict[str, Any]:
        """The fields of `ListTexts` that find its texts in these states."""
        of = {"states": list(states), "business_id": self.business_id and str(self.business_id)}
        return {name: value for name, value in {**of, "why_code": self.why_code}.items() if value}


class Need(Value):
    """What needs somebody, and what they can do."""

    what: str
    whose: str = ""
    texts: int | None = None
    since: Instant | None = None
    lever: Lever
    which: dict[str, Any] = Field(default_factory=dict, description="The fields of `ListTexts` that list them.")
    fails: bool = Field(True, description="Whether it is more than news: exit code 1.")

    @property
    def words(self) -> str:
        """It in a few words."""
        count = f", texts {self.texts}" if self.texts else ""
        return f"{self.what}{f' of {self.whose}' if self.whose else ''}{count}"


class QueueStatus(Answer):
    """The state of the queue at one moment."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt")
    """The states of a text in the queue, in the order in which they are shown."""

    at: datetime
    late_seconds: float = Field(description="How late a text, or a run's end, may be before a person must look.")
    fewest_texts: int = Field(description="With fewer texts than this, the share that arrived means nothing.")
    parts: dict[str, tuple[StatusLine, ...]]

    @classmethod
    def of(cls, lines: Sequence[StatusLine]) -> Self:
        """Sort the rows of `sms_status`.

        Raises:
            ValueError: the database's clock is missing.
        """
        parts = dict[str, tuple[StatusLine, ...]]()
        for line in lines:
            parts[line.part] = (*parts.get(line.part, ()), line)
        match parts.pop("clock", ()):
            case [StatusLine(oldest=datetime() as at, next_at=datetime() as late, texts=fewest)]:
                return cls(at=at, late_seconds=(at - late).total_seconds(), fewest_texts=fewest or 0, parts=parts)
        raise ValueError("sms_status gave no time")

    def part(self, name: str) -> tuple[StatusLine, ...]:
        """The rows of a part."""
        return self.parts.get(name, ())

    def counts(self, name: str) -> Counter[str]:
        """How many texts each name of a part has."""
        return _counted(self.part(name))

    @property
    def queue(self) -> dict[str, int]:
        """Texts in each state, as `TextState`."""
        return dict(self.counts("queue"))

    @property
    def depth(self) -> int:
        """Texts that are in the queue."""
        return sum(self.queue.values())

    @property
    def overdue_seconds(self) -> float:
        """How late the oldest due text is; 0 if none is due."""
        due = next((line.oldest for line in self.part("queue") if line.name == "due"), None)
        return max((self.at - due).total_seconds(), 0) if due else 0

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None if none has lately."""
        ends = [line.next_at for line in self.part("run") if line.next_at]
        return max((self.at - max(ends)).total_seconds(), 0) if ends else None

    @property
    def held_texts(self) -> int:
        """How many wait for something that a person can mend: all, however many reasons are listed."""
        return self.counts("held")["all"]

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped. A stop of one US state holds only texts to it."""
        stops = (line.told or "no reason was kept" for line in self.part("stopped") if line.name == "sending")
        return next(stops, None)

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        by_runner = next((_STAGING[line.name] for line in self.part("runner") if line.name in _STAGING), None)
        marked = any(line.name == "staging" for line in self.part("mark"))
        return by_runner or ("STAGING: the database is marked so" if marked else None)

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        states = (f"{name.replace('_', ' ')} {self.queue[name]}" for name in self.STATES if name in self.queue)
        return " · ".join(states) or "empty"

    @property
    def name(self) -> str:
        """What is wrong, and the numbers."""
        late = f"oldest due for {span(self.overdue_seconds)}" if self.overdue_seconds else ""
        need = len(self.part("sender"))
        senders = f"senders that need somebody {need}" if need else ""
        stopped = "STOPPED" if self.stopped_because else ""
        return " · ".join(filter(None, (self.staging, stopped, self.numbers, late, senders)))

    @property
    def delivery(self) -> Counter[str]:
        """The last day's accepted texts by their fate."""
        return self.counts("hour")

    @property
    def delivery_dropped(self) -> str | None:
        """A warning if far fewer of the last hour's texts arrive than of the day's, as when a carrier filters them."""
        last = self.counts("lately")
        lately, usual = _rate(last), _rate(self.delivery)
        few = last["delivered"] + last["undelivered"] < self.fewest_texts
        if few or lately is None or usual is None or lately > usual - DROP:
            return None
        return f"{lately:.0%} of the last hour's texts arrived, and {usual:.0%} of the day's"

    # What needs somebody

    @property
    def needs_somebody(self) -> tuple[str, ...]:
        """What a person must look at: what makes `check_sms_retries` alarm, and what is held."""
        return tuple(need.words for need in self.needs() if need.fails)

    @property
    def fails(self) -> bool:
        return bool(self.needs_somebody)

    def needs(self) -> Iterator[Need]:
        """What needs somebody, the worst first."""
        yield from map(_stopped, self.part("stopped"))
        silent = self.silent_seconds
        if silent is None or silent >= self.late_seconds:
            ago = "lately" if silent is None else f"for {span(silent)}"
            yield Need(what=f"no run has finished {ago}", lever=_DOCTOR)
        if self.overdue_seconds >= self.late_seconds:
            what = f"a text is overdue by {span(self.overdue_seconds)}"
            yield Need(what=what, texts=self.queue.get("due"), lever=_DOCTOR, which={"states": ["due"]})
        yield from map(_sender, self.part("sender"))
        yield from self._held()
        for line in self.part("scheduled"):
            late = (self.at - line.oldest).total_seconds() if line.oldest else 0
            if line.name == "held" and line.ref:
                see = Lever.of(WhichText, {"retry_id": line.ref}, "see why one of them is")
                yield _need(line, "scheduled sends held", see, {"states": ["held"]})
            elif line.name == "late" and late >= self.late_seconds:
                yield _need(line, f"scheduled sends late by {span(late)} and not queued", _DOCTOR)
        for line in self.part("inbound"):
            read = Lever(
                words=f"read {line.ref} in the provider's log, then record what it says",
                command="smsretry consent - --said … --source text",
                form="sms-consent",
            )
            yield _need(line, "wrote what may mean stop, and nobody has read it", read)
        if dropped := self.delivery_dropped:
            yield Need(what=dropped, lever=Lever(words="see by which codes below; it looks so when a carrier filters"))

    def _held(self) -> Iterator[Need]:
        """Each reason of each business, unless its sender has been told; then those that are not listed."""
        told = {key for line in self.part("sender") for key in (line.why_code, line.business_id) if key}
        held = [line for line in self.part("held") if line.name != "all"]
        for line in held:
            if line.why_code in told or (line.business_id in told and line.why_code in SENDER_MENDING):
                continue
            mend = MENDING.get(line.why_code, "") if line.why_code else ""
            first = mend.format(customer="…", business=line.business_id, send_log="…") or None
            which = line.which("in_doubt" if line.ref else "held")
            lever = Lever.of(LookAgain, which, "have them looked at again now", first=first)
            if line.ref:  # a person alone may know what became of it
                lever = Lever.of(WhichText, {"retry_id": line.ref}, "see one of them, and say what became of it")
            yield _need(line, f"held: {line.told}", lever, which)
        if (unlisted := self.held_texts - _counted(held).total()) > 0:
            see = Lever.of(ListTexts, {"states": ["held"], "limit": 500}, "see them all")
            yield Need(what="held for other reasons, or of other businesses", texts=unlisted, lever=see)

    # All of it

    def told(self) -> dict[str, Any]:
        needs = [{**need.model_dump(mode="json"), "command": need.lever.command} for need in self.needs()]
        numbers = {"queue": self.queue, "depth": self.depth, "overdue_seconds": self.overdue_seconds}
        return super().told() | numbers | {"needs_somebody": self.needs_somebody, "needs": needs}

    def tell(self) -> Iterator[Told]:
        """What needs a person comes first; then what is due, waits and was sent."""
        yield self.name
        for line in self.part("mark"):
            at = f" at {line.told}" if line.told else ""
            yield f"the database is marked as {line.name}{at}{self._ago(line.oldest)}"
        for title, fails in (("NEEDS SOMEBODY", True), ("Stopped by a person", False)):
            needs = [need for need in self.needs() if need.fails is fails]
            yield from [Heading(title)] if needs else []
            for need in needs:
                texts = (", texts ", _list(need.texts, need.which)) if need.texts else ()
                yield f"{need.whose}: " if need.whose else "", need.what, *texts, self._ago(need.since)
                yield "    ", need.lever
        yield from _table("In the queue", ("", "texts", "the next"), self._queue(), empty="nothing")
        sends = [(name.replace("_", " "), str(texts)) for name, texts in self.counts("sent").items()]
        yield from _table("Sends in the last hour", ("", "texts"), sends, empty="none")
        if self.delivery:
            yield from self._delivered()
        lost = [
            (one.name, _list(one.texts, one.which("failed", "sent")), one.business or "")
            for one in self.part("undelivered")
        ]
        yield from _table("Undelivered in the last day", ("code", "texts", "business"), lost)
        ended = [(one.name, _list(one.texts, one.which(one.name)), _why(one)) for one in self.part("ended")]
        yield from _table("Ended in the last day", ("", "texts", ""), ended)
        runs = [(f"run {line.name}", line.told or "", on_clock(line.oldest or self.at)) for line in self.part("run")]
        yield from _table("Runs", ("", "", "began"), runs, empty="none lately")
        yield f"As of {on_clock(self.at)} on the database's clock."

    def _queue(self) -> Iterator[Sequence[Words]]:
        for name in self.STATES:
            for line in self.part("queue" if name != "waiting" else "waiting"):
                if name == "waiting":
                    hours = {"why_code": "quiet_hours"} if line.name == "quiet_hours" else {}
                    texts = _list(line.texts, {"states": ["waiting"], **hours})
                    yield f"waiting for {REASONS.get(line.name, line.name)}", texts, self._in(line.next_at)
                elif line.name == name:
                    yield name.replace("_", " "), _list(line.texts, line.which(name)), self._in(line.next_at)
        for line in self.part("scheduled"):
            yield f"planned, {line.name}", _list(line.texts, {"states": ["scheduled"]}), self._in(line.next_at)

    def _delivered(self) -> Iterator[Told]:
        rate = _rate(self.delivery)
        share = {"delivered": f"{rate:.0%} of what is known" if rate is not None else ""}
        rows = [(fate, str(self.delivery[fate]), share.get(fate, "")) for fate in FATES if self.delivery[fate]]
        yield from _table("Delivery in the last day", ("", "texts", ""), rows)
        last = self.at.replace(minute=0, second=0, microsecond=0)
        day = [last - timedelta(hours=ago) for ago in range(23, -1, -1)]
        counts = [_counted(line for line in self.part("hour") if line.oldest == hour) for hour in day]
        yield Hours(_HOURS, [(hour, [one[fate] for fate in FATES]) for hour, one in zip(day, counts, strict=True)])

    def _ago(self, since: datetime | None) -> str:
        """How long ago that was, in parentheses."""
        return f" ({span((self.at - since).total_seconds())} ago)" if since else ""

    def _in(self, moment: datetime | None) -> str:
        return f"in {span((moment - self.at).total_seconds())}" if moment and moment > self.at else ""


def _counted(lines: Iterable[StatusLine]) -> Counter[str]:
    counted = Counter[str]()
    for line in lines:
        counted[line.name] += line.texts or 0
    return counted


def _rate(fates: Mapping[str, int]) -> float | None:
    """The share that arrived among the texts whose delivery is known; None if there are none."""
    known = fates.get("delivered", 0) + fates.get("undelivered", 0)
    return fates.get("delivered", 0) / known if known else None


def _why(line: StatusLine) -> str:
    return f"{line.told or 'no reason was kept'}{f' [{line.why_code}]' if line.why_code else ''}"


def _list(texts: int | None, which: Mapping[str, Any]) -> Words:
    """A count, from which a link leads to its texts."""
    return Lever.see(ListTexts, which, str(texts)) if which else str(texts)


def _table(title: str, columns: tuple[str, ...], rows: Iterable[Sequence[Words]], empty: str = "") -> Iterator[Told]:
    """With its heading. Without rows, one that says so, or nothing."""
    found = [*rows] or ([(empty, *[""] * (len(columns) - 1))] if empty else [])
    yield from (Heading(title), Table(columns, found)) if found else ()


def _need(line: StatusLine, what: str, lever: Lever, which: Mapping[str, Any] | None = None) -> Need:
    whose = line.business or ""
    return Need(what=what, whose=whose, texts=line.texts, since=line.oldest, lever=lever, which=dict(which or {}))


def _stopped(line: StatusLine) -> Need:
    if line.name in _STOPPED:
        mend = "mend what it says: one text of each run tries whether it works again"
        return _need(line, f"{_STOPPED[line.name]}: {line.told}", _DOCTOR.model_copy(update={"words": mend}))
    lift = Lever.of(StopState, {"state": line.name, "lift": True}, "lift it, once that is over")
    return Need(what=f"stopped {line.name}: {line.told}", since=line.oldest, lever=lift, fails=False)


def _sender(line: StatusLine) -> Need:
    first, words, form = SENDER_MENDING.get(line.why_code or "", (None, "see what is wrong", WhichSenders))
    filled_in = {"troubled": True} if form is WhichSenders else {"sender": line.ref}
    lever = Lever.of(form, filled_in, words, first=first and first.format(name=line.ref, account=""))
    whole = line.model_copy(update={"business": line.business or "several businesses", "why_code": None})
    which = whole.which("due", "waiting", "held") if line.business_id else None
    return _need(whole, f"sender {line.name}: {line.told}", lever, which)
