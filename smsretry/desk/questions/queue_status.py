"""The state of the queue: the lines of `sms_status`, sorted by what a person asks about, and what needs somebody."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Self, assert_never, get_args
from uuid import UUID

from pydantic import Field

from smsretry.desk.actions.requests import ListTexts, LookAgain, StopState, WhichText
from smsretry.desk.actions.senders import WhichSenders
from smsretry.desk.questions.levers import MENDING, SENDER_MENDING, Lever
from smsretry.desk.questions.records import Answer
from smsretry.instants import Instant, on_clock, span
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import Reason, SendTo

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


class Need(Value):
    """What needs somebody, and what they can do."""

    what: str
    whose: str = ""
    texts: int | None = None
    since: Instant | None = None
    lever: Lever
    list: dict[str, Any] | None = Field(None, description="The fields of `ListTexts` that show them.")
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
        clock = next(iter(parts.pop("clock", ())), None)
        if clock is None or clock.oldest is None or clock.next_at is None:
            raise ValueError("sms_status gave no time")
        late = (clock.oldest - clock.next_at).total_seconds()
        return cls(at=clock.oldest, late_seconds=late, fewest_texts=clock.texts or 0, parts=parts)

    def part(self, name: str) -> tuple[StatusLine, ...]:
        """The rows of a part."""
        return self.parts.get(name, ())

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
    def scheduled(self) -> tuple[StatusLine, ...]:
        """Scheduled sends that are no texts yet: waiting, held (`ref` is the id of one), or late."""
        return self.part("scheduled")

    @property
    def held(self) -> tuple[StatusLine, ...]:
        """What waits for something that a person can mend, by reason and business; the most first."""
        return tuple(line for line in self.part("held") if line.name != "all")

    @property
    def held_texts(self) -> int:
        """How many texts those are: all, however many are listed."""
        return next((line.texts or 0 for line in self.part("held") if line.name == "all"), 0)

    @property
    def runs(self) -> tuple[StatusLine, ...]:
        """The last runs."""
        return self.part("run")

    @property
    def stopped(self) -> tuple[StatusLine, ...]:
        """What is stopped: sending, environment, or a US state."""
        return self.part("stopped")

    def _stopped(self, name: str) -> str | None:
        return next((line.told or "no reason was kept" for line in self.stopped if line.name == name), None)

    @property
    def stopped_because(self) -> str | None:
        """Why nothing goes out; None if sending is not stopped."""
        return self._stopped("sending")

    @property
    def sending_stopped(self) -> bool:
        """Whether nothing goes out. A stop for one US state holds only texts to that state."""
        return self.stopped_because is not None

    @property
    def mark(self) -> StatusLine | None:
        """What the database is marked as; `told`: the one address of production's workers."""
        return next(iter(self.part("mark")), None)

    @property
    def staging(self) -> str | None:
        """Why not everybody is texted, as a page must say it. None: everybody is."""
        sends_to: SendTo = next(
            (one for line in self.part("runner") for one in get_args(SendTo) if one == line.name), "all"
        )
        match sends_to:
            case "all":
                return "STAGING: the database is marked so" if self.mark and self.mark.name == "staging" else None
            case "listed":
                return "STAGING: only who is listed is texted"
            case "nobody":
                return "STAGING: nobody is texted"
            case _:
                assert_never(sends_to)

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
        return " · ".join(
            filter(None, (self.staging, "STOPPED" if self.sending_stopped else "", self.numbers, late, senders))
        )

    # What arrived

    @property
    def hours(self) -> dict[Instant, Counter[str]]:
        """For each hour of the last day that had an accepted text, how many had each of `FATES`."""
        hours = dict[Instant, Counter[str]]()
        for line in sorted(self.part("hour"), key=lambda line: line.oldest or self.at):
            if line.oldest:
                hours.setdefault(line.oldest, Counter())[line.name] += line.texts or 0
        return hours

    @property
    def delivery(self) -> Counter[str]:
        """The last day's accepted texts by their fate."""
        return self.counts("hour")

    @property
    def delivery_dropped(self) -> str | None:
        """A warning if far fewer of the last hour's texts arrive than of the day's, as when a carrier filters them."""
        last = self.counts("lately")
        lately, usual = delivery_rate(last), delivery_rate(self.delivery)
        known = last["delivered"] + last["undelivered"]
        if lately is None or usual is None or known < self.fewest_texts or lately > usual - DROP:
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
        yield from self._stops()
        silent, doctor = (
            self.silent_seconds,
            Lever(words="ask what is wrong", command="smsretry doctor", form="sms-doctor"),
        )
        if silent is None or silent >= self.late_seconds:
            ago = "lately" if silent is None else f"for {span(silent)}"
            yield Need(what=f"no run has finished {ago}", lever=doctor)
        if self.overdue_seconds >= self.late_seconds:
            what = f"a text is overdue by {span(self.overdue_seconds)}"
            yield Need(what=what, texts=self.queue.get("due"), lever=doctor, list={"states": ["due"]})
        for line in self.part("sender"):
            yield self._sender(line)
        of_senders = {line.why_code for line in self.part("sender")}
        yield from (_held(line) for line in self.held if line.why_code is None or line.why_code not in of_senders)
        if (unlisted := self.held_texts - sum(line.texts or 0 for line in self.held)) > 0:
            see = Lever.of(ListTexts, {"states": ["held"], "limit": 500}, "see them all")
            yield Need(what="held for other reasons, or of other businesses", texts=unlisted, lever=see)
        for line in self.scheduled:
            late = (self.at - line.oldest).total_seconds() if line.oldest else 0
            if line.name == "held" and line.ref:
                see = Lever.of(WhichText, {"retry_id": line.ref}, "see why one of them is")
                which = {"states": ["held"]}
                yield Need(what="scheduled sends held", texts=line.texts, since=line.oldest, lever=see, list=which)
            elif line.name == "late" and late >= self.late_seconds:
                what = f"scheduled sends late by {span(late)} and not queued"
                yield Need(what=what, texts=line.texts, since=line.oldest, lever=doctor)
        for line in self.part("inbound"):
            read = f"read {line.ref} in the provider's log, then record what it says"
            yield Need(
                what="wrote what may mean stop, and nobody has read it",
                texts=line.texts,
                since=line.oldest,
                lever=Lever(words=read, command="smsretry consent - --said … --source text", form="sms-consent"),
            )
        if dropped := self.delivery_dropped:
            yield Need(what=dropped, lever=Lever(words="see by which codes below; it looks so when a carrier filters"))

    def _stops(self) -> Iterator[Need]:
        for line in self.stopped:
            if line.name in ("sending", "environment"):
                what = "sending is stopped" if line.name == "sending" else "the sender of the environment is stopped"
                goes_on = "mend what it says: one text of each run tries whether it works again"
                lever = Lever(words=goes_on, command="smsretry doctor", form="sms-doctor")
                yield Need(what=f"{what}: {line.told}", since=line.oldest, lever=lever)
            else:
                lift = Lever.of(StopState, {"state": line.name, "lift": True}, "lift it, once that is over")
                yield Need(what=f"stopped {line.name}: {line.told}", since=line.oldest, lever=lift, fails=False)

    def _sender(self, line: StatusLine) -> Need:
        first, words, form = SENDER_MENDING.get(line.why_code or "", (None, "see what is wrong", WhichSenders))
        filled_in = {"troubled": True} if form is WhichSenders else {"sender": line.ref}
        lever = Lever.of(form, filled_in, words, first=first and first.format(name=line.ref, account=""))
        waits = (
            {"states": ["due", "waiting", "held"], "business_id": str(line.business_id)} if line.business_id else None
        )
        whose = line.business or "several businesses"
        return Need(
            what=f"sender {line.name}: {line.told}",
            whose=whose,
            texts=line.texts,
            since=line.oldest,
            lever=lever,
            list=waits,
        )

    # All of it

    def told(self) -> dict[str, Any]:
        needs = [{**need.model_dump(mode="json"), "command": need.lever.command} for need in self.needs()]
        numbers = {"queue": self.queue, "depth": self.depth, "overdue_seconds": self.overdue_seconds}
        return super().told() | numbers | {"needs_somebody": self.needs_somebody, "needs": needs}

    def lines(self) -> Iterator[str]:
        """All of it, a line each; what needs a person comes first."""
        yield self.name
        for need in self.needs():
            yield f"{'NEEDS SOMEBODY' if need.fails else 'STOPPED'} {need.words}{self.ago(need.since)}: {need.lever}"
        if self.mark:
            place = f" at {self.mark.told}" if self.mark.told else ""
            yield f"the database is marked as {self.mark.name}{place}{self.ago(self.mark.oldest)}"
        for title, columns, rows in self.tables():
            yield f"{title}:"
            for row in rows:
                told = (
                    f"{column} {cell}" if column else cell
                    for column, cell in zip(columns, row.cells, strict=True)
                    if cell
                )
                yield f"  {', '.join(told)}"

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], Sequence["Row"]]]:
        """What is due, waits and was sent: each with a title, its columns, and rows."""
        waiting = [
            Row((REASONS.get(line.name, line.name), str(line.texts), self._in(line.next_at)), _waiting(line.name))
            for line in self.part("waiting")
        ]
        queue = [
            Row((line.name.replace("_", " "), str(line.texts), self._in(line.next_at)), {"states": [line.name]})
            for name in self.STATES
            for line in self.part("queue")
            if line.name == name and name != "waiting"
        ]
        planned = [
            Row((f"planned, {line.name}", str(line.texts), self._in(line.next_at)), {"states": ["scheduled"]})
            for line in self.scheduled
        ]
        rows = [*queue, *(Row((f"waiting for {row.cells[0]}", *row.cells[1:]), row.list) for row in waiting), *planned]
        yield "in the queue", ("", "texts", "the next"), rows or [Row(("nothing", "", ""), None)]
        sent = [Row((name.replace("_", " "), str(texts)), None) for name, texts in self.counts("sent").items()]
        yield "sends in the last hour", ("", "texts"), sent or [Row(("none", ""), None)]
        if self.delivery:
            rate = delivery_rate(self.delivery)
            share = f"{rate:.0%} of what is known" if rate is not None else ""
            arrived = [
                Row((fate, str(self.delivery[fate]), share if fate == "delivered" else ""), None) for fate in FATES
            ]
            yield "delivery in the last day", ("", "texts", ""), [row for row in arrived if row.cells[1] != "0"]
        if lost := self.part("undelivered"):
            yield (
                "undelivered in the last day",
                ("code", "texts", "business"),
                [Row((line.name, str(line.texts), line.business or ""), _ended(line, None)) for line in lost],
            )
        if ended := self.part("ended"):
            yield (
                "ended in the last day",
                ("", "texts", ""),
                [Row((line.name, str(line.texts), _reason(line)), _ended(line, line.name)) for line in ended],
            )
        runs = [
            Row((f"run {line.name}", line.told or "", on_clock(line.oldest) if line.oldest else ""), None)
            for line in self.runs
        ]
        yield "runs", ("", "", "began"), runs or [Row(("none lately", "", ""), None)]

    def ago(self, since: datetime | None) -> str:
        """How long ago that was, in parentheses."""
        return f" ({span((self.at - since).total_seconds())} ago)" if since else ""

    def _in(self, moment: datetime | None) -> str:
        return f"in {span((moment - self.at).total_seconds())}" if moment and moment > self.at else ""


class Row(Value):
    """A row of a table: its cells, and the fields of `ListTexts` that list its texts, if they can be listed."""

    cells: tuple[str, ...]
    list: dict[str, Any] | None

    def __init__(self, cells: tuple[str, ...], list: dict[str, Any] | None) -> None:  # noqa: A002 - as the door is called
        super().__init__(cells=cells, list=list)


def delivery_rate(fates: Mapping[str, int]) -> float | None:
    """The share that arrived among the texts whose delivery is known; None if there are none."""
    known = fates.get("delivered", 0) + fates.get("undelivered", 0)
    return fates.get("delivered", 0) / known if known else None


def _held(line: StatusLine) -> Need:
    which: dict[str, Any] = {"states": ["held"]}
    which |= {"business_id": str(line.business_id)} if line.business_id else {}
    which |= {"why_code": line.why_code} if line.why_code else {}
    mend = (MENDING[line.why_code] or "") if line.why_code else ""
    first = mend.format(customer="…", business=line.business_id, send_log="…") or None
    lever = Lever.of(LookAgain, which, "have them looked at again now", first=first)
    return Need(
        what=f"held: {line.told}",
        whose=line.business or "",
        texts=line.texts,
        since=line.oldest,
        lever=lever,
        list=which,
    )


def _reason(line: StatusLine) -> str:
    return f"{line.told or 'no reason was kept'}{f' [{line.why_code}]' if line.why_code else ''}"


def _waiting(name: str) -> dict[str, Any]:
    return {"states": ["waiting"], **({"why_code": "quiet_hours"} if name == "quiet_hours" else {})}


def _ended(line: StatusLine, status: str | None) -> dict[str, Any] | None:
    which: dict[str, Any] = {"states": [status]} if status else {"states": ["failed", "sent"]}
    if line.why_code and status:
        which["why_code"] = line.why_code
    if line.business_id:
        which["business_id"] = str(line.business_id)
    return which
