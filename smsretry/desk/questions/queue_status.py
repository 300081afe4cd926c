"""The state of the queue: the lines of `sms_status`, by what a person asks about, and what needs somebody."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import (
    ListTexts,
    ReadWords,
    StopState,
    WhichText,
)
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.levers import OF_SENDERS, ending
from smsretry.desk.questions.told import LEFT, Heading, Hours, Lever, Table, Told, Words
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import TextState

FATES: Final = ("delivered", "undelivered", "unknown", "open")
"""What became of an accepted text. unknown: nothing final was ever reported. open: nothing has been reported yet."""
_STAGING: Final = {
    "listed": "STAGING: only who is listed is texted",
    "nobody": "STAGING: nobody is texted",
}
_DOCTOR: Final = Lever(
    words="ask what is wrong", command="smsretry doctor", form="sms-doctor"
)
_MEND: Final = _DOCTOR.model_copy(
    update={"words": "mend what it says: each run tries one text"}
)
_START: Final = _DOCTOR.model_copy(
    update={
        "first": "see that `smsretry serve` runs, under a supervisor, or that cron runs `smsretry process`"
    }
)
_READ: Final = Lever.of(ReadWords, {}, "read it, and say what it means")
_LATE: Final = {
    "restored": (
        "the database was restored from a backup: older texts are looked for before they are sent",
        _DOCTOR.model_copy(
            update={"first": "see 'Restore from a backup' in flows/PLAYBOOKS.md"}
        ),
    ),
    "run": ("no run has finished", _START),
    "due": ("overdue", _DOCTOR),
    "scheduled": (
        "planned, late and not queued: those that are less than 48 h late go, the others end",
        _START,
    ),
    "words": ("wrote what may mean stop, unread for three days or more", _READ),
}
"""What is late, and what to do."""
_STOPPED: Final = {
    "sending": "sending is stopped",
    "environment": "the sender of the environment is stopped",
}
_TABLES: Final = {
    "queue": "In the queue",
    "scheduled": "Planned, and not queued yet",
    "sent": "Sends in the last hour",
    "undelivered": "Undelivered in the last day, by code",
    "ended": "Ended in the last day",
    "run": "Runs",
}
"""The parts that are shown as tables, and how each is called."""
_HOURS: Final = (
    "Accepted in the last day, by hour (UTC): {delivered} arrived (green), {undelivered} did not (red), {unknown} were "
    "never reported (grey), {open} are not reported yet (blue)."
)


class StatusLine(Value):
    """A row of `sms_status`."""

    part: str
    name: str
    business_id: UUID | None = None
    business: str | None = Field(
        None, description="Whose it is; of a sender, a few of those whose it is."
    )
    texts: int | None = None
    oldest: Instant | None = None
    next_at: Instant | None = None
    told: str | None = None
    why_code: KnownCode = Field(
        None, description="Why texts are held or ended, for programs."
    )
    ref: str | None = Field(None, description="What a command or a link names it by.")
    states: tuple[TextState, ...] | None = Field(
        None, description="In which `ListTexts` finds its texts."
    )

    @property
    def which(self) -> dict[str, Any]:
        """The fields of `ListTexts` that find its texts."""
        why = None if self.part == "sender" else self.why_code
        business = self.business_id and str(self.business_id)
        which = {
            "states": list(self.states or ()),
            "business_id": business,
            "why_code": why,
        }
        return (
            {name: value for name, value in which.items() if value}
            if self.states
            else {}
        )

    @property
    def count(self) -> Words:
        """How many there are. A link leads to them."""
        shown = "" if self.texts is None else str(self.texts)
        if self.name == "words":
            return Lever.see(ReadWords, {}, shown)
        return Lever.see(ListTexts, self.which, shown) if self.states else shown

    @property
    def ending(self) -> Lever:
        """What ends the trouble that it tells of."""
        places = f"customer {LEFT}, business {self.business_id}"
        return ending(self.why_code, self.which, self.ref, places) or _DOCTOR


class Need(Value):
    """What needs somebody, and what they can do."""

    what: str
    lever: Lever
    line: StatusLine = Field(description="Whose it is, how many texts, and since when.")


class QueueStatus(Answer):
    """The state of the queue at one moment."""

    STATES: ClassVar = ("due", "waiting", "held", "under_way", "in_doubt")
    """The states of a text in the queue, in the order in which they are shown."""

    parts: tuple[StatusLine, ...]

    @property
    def at(self) -> datetime:
        """When that was, on the database's clock."""
        return next(line.oldest for line in self.part("clock") if line.oldest)

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
    def overdue_seconds(self) -> float:
        """How late the oldest due text is; 0 if none is due."""
        due = next(
            (line.oldest for line in self.part("queue") if line.name == "due"), None
        )
        return max((self.at - due).total_seconds(), 0) if due else 0

    @property
    def silent_seconds(self) -> float | None:
        """How long ago a run last finished; None if none has lately."""
        ends = [line.next_at for line in self.part("run") if line.next_at]
        return max((self.at - max(ends)).total_seconds(), 0) if ends else None

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped. A stop of one US state holds only texts to it."""
        stops = (
            line.told or "no reason was kept"
            for line in self.part("stopped")
            if line.name == "sending"
        )
        return next(stops, None)

    @property
    def stopped_states(self) -> tuple[StatusLine, ...]:
        """US states to which a person lets no marketing text go."""
        return tuple(line for line in self.part("stopped") if line.name not in _STOPPED)

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        by_runner = next(
            (
                _STAGING[line.name]
                for line in self.part("runner")
                if line.name in _STAGING
            ),
            None,
        )
        marked = any(line.name == "staging" for line in self.part("mark"))
        return by_runner or ("STAGING: the database is marked so" if marked else None)

    @property
    def numbers(self) -> str:
        """Texts in each state."""
        states = (
            f"{name.replace('_', ' ')} {self.queue[name]}"
            for name in self.STATES
            if name in self.queue
        )
        return " · ".join(states) or "empty"

    @property
    def name(self) -> str:
        """What is wrong, and the numbers."""
        late = (
            f"oldest due for {span(self.overdue_seconds)}"
            if self.overdue_seconds
            else ""
        )
        need = f"need somebody {len(list(self.needs()))}" if self.fails else ""
        stopped = "STOPPED" if self.stopped_because else ""
        return " · ".join(
            filter(None, (self.staging, stopped, need, self.numbers, late))
        )

    # What needs somebody

    @property
    def fails(self) -> bool:
        return any(self.needs())

    def needs(self) -> Iterator[Need]:
        """What is stopped, late or held; whose sender needs somebody; which texts nobody has read. The worst first."""
        for line in self.part("stopped"):
            if line.name in _STOPPED:
                again = ending("sending_stopped", None, line.ref)
                yield Need(
                    what=f"{_STOPPED[line.name]}: {line.told}",
                    lever=again or _MEND,
                    line=line,
                )
        for line in self.part("late"):
            what, lever = _LATE[line.name]
            yield Need(what=what, lever=lever, line=line)
        for line in self.part("sender"):
            of = "its sender" if line.business else "the sender of the environment"
            yield Need(what=f"{of} {line.told}", lever=line.ending, line=line)
        yield from self._held()
        for line in self.part("unread"):
            what = "wrote what may mean stop, and marketing texts to them wait"
            yield Need(what=what, lever=_READ, line=line)

    def _held(self) -> Iterator[Need]:
        """Each reason of each business, unless its sender has been told; then those that are not listed."""
        told = {
            key
            for line in self.part("sender")
            for key in (line.why_code, line.business_id)
            if key
        }
        told |= {"account_refused" for line in self.part("stopped") if line.ref}
        told |= {"words_unread" for _ in self.part("unread")}
        unlisted, held = (
            self.counts("held")["all"],
            [line for line in self.part("held") if line.name != "all"],
        )
        for line in held:
            unlisted -= line.texts or 0
            if line.why_code in told or (
                line.business_id in told and line.why_code in OF_SENDERS
            ):
                continue
            # A person alone may know what became of one in doubt.
            settle = line.ref and Lever.of(
                WhichText,
                {"id": line.ref},
                "see one of them, and say what became of it",
            )
            yield Need(
                what=f"held: {line.told}", lever=settle or line.ending, line=line
            )
        if unlisted > 0:
            others = StatusLine(
                part="held", name="held", texts=unlisted, states=("held",)
            )
            see = Lever.of(
                ListTexts, {"states": ["held"], "limit": 500}, "see them all"
            )
            yield Need(
                what="held for other reasons, or of other businesses",
                lever=see,
                line=others,
            )
        for line in self.part("scheduled"):
            if line.name == "held" and line.ref:
                see = Lever.of(WhichText, {"id": line.ref}, "see why one of them is")
                yield Need(what="planned, and held", lever=see, line=line)

    def obstacle(self, sender: str | None) -> Need | None:
        """What keeps the due texts of a sender, by its name in a command: a stop of all, or its own trouble."""
        found = (
            one
            for one in self.needs()
            if one.line.name == "sending" or (sender and one.line.ref == sender)
        )
        return next(found, None)

    # All of it

    def told(self) -> dict[str, Any]:
        needs = [need.model_dump(mode="json") for need in self.needs()]
        numbers = {
            "at": self.at,
            "queue": self.queue,
            "overdue_seconds": self.overdue_seconds,
        }
        return super().told() | numbers | {"needs": needs}

    def tell(self) -> Iterator[Told]:
        """What needs a person comes first; then what is due, waits and was sent."""
        yield self.name
        for line in self.part("mark"):
            at = f" at {line.told}" if line.told else ""
            yield f"the database is marked as {line.name}{at}{self._since(line)}"
        needs = list(self.needs())
        yield from [Heading("NEEDS SOMEBODY")] if needs else []
        for need in needs:
            yield self.say(need)
            yield "    ", need.lever
        yield from [Heading("Stopped by a person")] if self.stopped_states else []
        for line in self.stopped_states:
            yield f"stopped {line.name}: {line.told}{self._since(line)}"
            yield (
                "    ",
                Lever.of(
                    StopState,
                    {"state": line.name, "lift": True},
                    "lift it, once that is over",
                ),
            )
        for part, title in _TABLES.items():
            yield Table(title, [self._row(line) for line in self.part(part)])
            yield from self._hours() if part == "sent" else ()
        yield f"As of {on_clock(self.at)} on the database's clock."

    def _hours(self) -> Iterator[Hours]:
        """The last day, if a text was accepted in it."""
        if fates := self.counts("hour"):
            last = self.at.replace(minute=0, second=0, microsecond=0)
            hours = {
                last - timedelta(hours=ago): Counter[str]() for ago in range(23, -1, -1)
            }
            for line in self.part("hour"):
                if line.oldest in hours:
                    hours[line.oldest][line.name] = line.texts or 0
            parts = [
                (hour, [texts[fate] for fate in FATES]) for hour, texts in hours.items()
            ]
            yield Hours(_HOURS.format_map(fates), parts)

    def say(self, need: Need) -> tuple[Words, ...]:
        """Whose it is, what it is, how many texts, and for how long."""
        whose = f"{need.line.business}: " if need.line.business else ""
        noun = "people" if need.line.name == "words" else "texts"
        texts = (f", {noun} ", need.line.count) if need.line.texts else ()
        return whose, need.what, *texts, self._since(need.line)

    def _row(self, line: StatusLine) -> tuple[str, Words, str]:
        """A line in a table: what, how many, and whatever else is known of it."""
        queued = line.part == "queue"
        why = f"[{line.why_code}]" if line.why_code and not queued else None
        more = [
            line.business,
            line.told.replace("_", " ") if line.told and queued else line.told,
            why,
        ]
        if line.next_at and line.next_at > self.at:
            more.append(f"in {span((line.next_at - self.at).total_seconds())}")
        name = line.name.replace("_", " ")
        if line.part == "run" and line.oldest:
            name = f"run {line.name}"
            more.insert(0, on_clock(line.oldest))
        return name, line.count, " · ".join(filter(None, more))

    def _since(self, line: StatusLine) -> str:
        """For how long it has been so, in parentheses."""
        return (
            f" (for {span((self.at - line.oldest).total_seconds())})"
            if line.oldest
            else ""
        )
