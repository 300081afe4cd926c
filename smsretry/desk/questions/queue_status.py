"""The state of the queue: the lines of `sms_status`, by what a person asks about, and what needs somebody."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ListTexts, StopState, WhichText
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.levers import OF_SENDERS, ending
from smsretry.desk.questions.told import LEFT, Heading, Hours, Lever, Table, Told, Words
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Reason

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
    name: str
    business_id: UUID | None = None
    business: str | None = None
    texts: int | None = None
    oldest: Instant | None = None
    next_at: Instant | None = None
    told: str | None = None
    why_code: KnownCode = Field(None, description="Why texts are held or ended, for programs.")
    ref: str | None = Field(None, description="What a command or a link names it by.")

    def which(self, *states: str, **more: Any) -> dict[str, Any]:
        """The fields of `ListTexts` that find its texts in these states."""
        of = {"states": list(states), "business_id": self.business_id and str(self.business_id)}
        return {name: value for name, value in {**of, "why_code": self.why_code, **more}.items() if value}

    def ending(self, texts: Mapping[str, Any]) -> Lever:
        """What ends the trouble that it tells of."""
        places = f"customer {LEFT}, business {self.business_id}"
        return ending(self.why_code, texts, self.ref, places) or _DOCTOR


class Need(Value):
    """What needs somebody, and what they can do."""

    what: str
    whose: str = ""
    texts: int | None = None
    since: Instant | None = None
    lever: Lever
    which: dict[str, Any] = Field(default_factory=dict, description="The fields of `ListTexts` that list them.")

    @classmethod
    def of(cls, line: StatusLine, what: str, lever: Lever, which: Mapping[str, Any] | None = None) -> Self:
        """What a line tells of."""
        whose, which = line.business or "", dict(which or {})
        return cls(what=what, whose=whose, texts=line.texts, since=line.oldest, lever=lever, which=which)


class QueueStatus(Answer):
    """The state of the queue at one moment."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt")
    """The states of a text in the queue, in the order in which they are shown."""

    at: datetime
    late_seconds: float = Field(description="How late a text, or a run's end, may be before a person must look.")
    parts: tuple[StatusLine, ...]

    @classmethod
    def of(cls, lines: Sequence[StatusLine]) -> Self:
        """Of the rows of `sms_status`.

        Raises:
            ValueError: the database's clock is missing.
        """
        for line in lines:
            if line.part == "clock" and line.oldest and line.next_at:
                return cls(
                    at=line.oldest, late_seconds=(line.oldest - line.next_at).total_seconds(), parts=tuple(lines)
                )
        raise ValueError("sms_status gave no time")

    def part(self, name: str) -> tuple[StatusLine, ...]:
        """The rows of a part."""
        return tuple(line for line in self.parts if line.part == name)

    def counts(self, name: str) -> Counter[str]:
        """How many texts each name of a part has."""
        counted = Counter[str]()
        for line in self.part(name):
            counted[line.name] += line.texts or 0
        return counted

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

    # What needs somebody

    @property
    def fails(self) -> bool:
        return any(self.needs())

    def needs(self) -> Iterator[Need]:
        """What makes `check_sms_retries` alarm, and what is held; the worst first."""
        yield from (_stop(line) for line in self.part("stopped") if line.name in _STOPPED)
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
                see = Lever.of(WhichText, {"id": line.ref}, "see why one of them is")
                yield Need.of(line, "scheduled sends held", see, {"states": ["held"]})
            elif line.name == "late" and late >= self.late_seconds:
                yield Need.of(line, f"scheduled sends late by {span(late)} and not queued", _DOCTOR)
        for line in self.part("inbound"):
            read = Lever(
                words=f"read {line.ref} in the provider's log, then record what it says",
                command="smsretry consent - --said … --source text",
                form="sms-consent",
            )
            yield Need.of(line, "wrote what may mean stop, and nobody has read it", read)

    def _held(self) -> Iterator[Need]:
        """Each reason of each business, unless its sender has been told; then those that are not listed."""
        told = {key for line in self.part("sender") for key in (line.why_code, line.business_id) if key}
        held = [line for line in self.part("held") if line.name != "all"]
        for line in held:
            if line.why_code in told or (line.business_id in told and line.why_code in OF_SENDERS):
                continue
            which = line.which("in_doubt" if line.ref else "held")
            # A person alone may know what became of one in doubt.
            settle = line.ref and Lever.of(WhichText, {"id": line.ref}, "see one of them, and say what became of it")
            yield Need.of(line, f"held: {line.told}", settle or line.ending(which), which)
        if (unlisted := self.held_texts - sum(line.texts or 0 for line in held)) > 0:
            see = Lever.of(ListTexts, {"states": ["held"], "limit": 500}, "see them all")
            yield Need(what="held for other reasons, or of other businesses", texts=unlisted, lever=see)

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, or its own trouble."""
        for line in (*self.part("stopped"), *self.part("sender")):
            if line.name == "sending" or (sender and line.ref == sender):
                return _stop(line) if line.part == "stopped" else _sender(line)
        return None

    # All of it

    def told(self) -> dict[str, Any]:
        needs = [{**need.model_dump(mode="json"), "command": need.lever.command} for need in self.needs()]
        numbers = {"queue": self.queue, "depth": self.depth, "overdue_seconds": self.overdue_seconds}
        return super().told() | numbers | {"needs": needs}

    def tell(self) -> Iterator[Told]:
        """What needs a person comes first; then what is due, waits and was sent."""
        yield self.name
        for line in self.part("mark"):
            at = f" at {line.told}" if line.told else ""
            yield f"the database is marked as {line.name}{at}{self._ago(line.oldest)}"
        needs = list(self.needs())
        yield from [Heading("NEEDS SOMEBODY")] if needs else []
        for need in needs:
            texts = (", texts ", _list(need.texts, need.which)) if need.texts else ()
            yield f"{need.whose}: " if need.whose else "", need.what, *texts, self._ago(need.since)
            yield "    ", need.lever
        states = [line for line in self.part("stopped") if line.name not in _STOPPED]
        yield from [Heading("Stopped by a person")] if states else []
        for line in states:
            yield f"stopped {line.name}: {line.told}{self._ago(line.oldest)}"
            yield "    ", Lever.of(StopState, {"state": line.name, "lift": True}, "lift it, once that is over")
        yield Table("In the queue", ("", "texts", "the next"), [*self._queue()])
        sends = [(name.replace("_", " "), str(texts)) for name, texts in self.counts("sent").items()]
        yield Table("Sends in the last hour", ("", "texts"), sends)
        if self.delivery:
            fates = [(fate, str(self.delivery[fate])) for fate in FATES if self.delivery[fate]]
            yield Table("Delivery in the last day", ("", "texts"), fates)
            last = self.at.replace(minute=0, second=0, microsecond=0)
            hours = {last - timedelta(hours=ago): Counter[str]() for ago in range(23, -1, -1)}
            for line in self.part("hour"):
                if line.oldest in hours:
                    hours[line.oldest][line.name] = line.texts or 0
            yield Hours(_HOURS, [(hour, [texts[fate] for fate in FATES]) for hour, texts in hours.items()])
        lost = [
            (one.name, _list(one.texts, one.which("failed", "sent")), one.business or "")
            for one in self.part("undelivered")
        ]
        yield Table("Undelivered in the last day", ("code", "texts", "business"), lost)
        ended = [
            (one.name, _list(one.texts, one.which(one.name)), f"{one.told or 'no reason was kept'} [{one.why_code}]")
            for one in self.part("ended")
        ]
        yield Table("Ended in the last day", ("", "texts", ""), ended)
        runs = [(f"run {line.name}", line.told or "", on_clock(line.oldest or self.at)) for line in self.part("run")]
        yield Table("Runs", ("", "", "began"), runs)
        yield f"As of {on_clock(self.at)} on the database's clock."

    def _queue(self) -> Iterator[Sequence[Words]]:
        for line in (*self.part("queue"), *self.part("waiting"), *self.part("scheduled")):
            name, state, more = line.name.replace("_", " "), line.name, dict[str, str]()
            if line.part == "waiting":
                name, state = f"waiting for {REASONS.get(line.name, line.name)}", "waiting"
                more = {"why_code": "quiet_hours"} if line.name == "quiet_hours" else {}
            elif line.part == "scheduled":
                name, state = f"planned, {line.name}", "scheduled"
            if name != "waiting":  # it is told by reason
                yield name, _list(line.texts, line.which(state, **more)), self._in(line.next_at)

    def _ago(self, since: datetime | None) -> str:
        """How long ago that was, in parentheses."""
        return f" ({span((self.at - since).total_seconds())} ago)" if since else ""

    def _in(self, moment: datetime | None) -> str:
        return f"in {span((moment - self.at).total_seconds())}" if moment and moment > self.at else ""


def _list(texts: int | None, which: Mapping[str, Any]) -> Words:
    """A count, from which a link leads to its texts."""
    return Lever.see(ListTexts, which, str(texts)) if which else str(texts)


def _stop(line: StatusLine) -> Need:
    mend = "mend what it says: one text of each run tries whether it works again"
    return Need.of(line, f"{_STOPPED[line.name]}: {line.told}", _DOCTOR.model_copy(update={"words": mend}))


def _sender(line: StatusLine) -> Need:
    which = line.which("due", "waiting", "held", why_code=None) if line.business_id else {}
    whole = line.model_copy(update={"business": line.business or "several businesses"})
    return Need.of(whole, f"sender {line.name}: {line.told}", line.ending(which), which)
