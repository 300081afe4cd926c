"""The database's answers to a person, as values. They contain at most the last four digits of a phone number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from uuid import UUID

from pydantic import Field, field_validator

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import (
    AfterRestore,
    ListTexts,
    MarkDatabase,
    Order,
    Prune,
    RecordConsent,
    Resolve,
    StopState,
    WhichTexts,
)
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import Claim, KnownCode, Value
from smsretry.vocabulary import MessageClass, TextState

_F = TypeVar("_F", bound=Form)
Asked = Annotated[_F, Field(exclude=True, repr=False)]
"""The order that an answer is to."""


class Answer(Value):
    """What a person is told: the first line says it, and the others explain."""

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        raise NotImplementedError

    def told(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {"name": self.name, **self.model_dump(mode="json")}

    @property
    def name(self) -> str:
        """It in a few words, for the list of runs."""
        headline = next(self.lines())
        return headline[:1].lower() + headline[1:].removesuffix(".")

    @property
    def fails(self) -> bool:
        """Whether nothing came of an order, or something needs somebody: exit code 1."""
        return False


class Done(Answer):
    """What an order did, or would do."""

    asked: Asked[Form]

    def told(self) -> dict[str, Any]:
        trial = getattr(self.asked, "dry_run", None)
        return super().told() | ({} if trial is None else {"dry_run": trial})

    @property
    def signed(self) -> Iterator[str]:
        """Who ordered it, and why."""
        if who := getattr(self.asked, "who", None):
            yield f"By {who}: {getattr(self.asked, 'because', '')}"

    @property
    def changed_nothing(self) -> bool:
        """Whether an order that was not only tried came to nothing: who gave it believes that it was carried out."""
        return self.fails and not self.asked.is_question


# A text and its story


@dataclass(frozen=True, slots=True)
class Shown:
    """The words in which a column is shown below a text's story. A column more is a field with such words."""

    words: str


class AttemptRecord(Value):
    """One send that was begun."""

    begun_at: Instant
    finished_at: Instant | None
    number: int
    outcome: str
    settled_by: str | None
    code: int | None
    sid: str | None
    rule: str | None
    consent: str | None
    worker_died: bool
    run_id: UUID | None
    delivery: str | None
    delivery_code: int | None
    delivery_at: Instant | None
    sender: str | None = Field(None, description="What it went out from, as people see it.")


class EventRecord(Value):
    """An event of a text's story, or of its customer's: what was waited for, what changed, what a person did."""

    at: Instant
    code: str
    who: str | None = Field(None, description="smsretry, the application, or the name that a person gave.")
    because: str | None = Field(None, description="Why, in words.")
    why_code: KnownCode = None
    until: Instant | None = Field(None, description="Until when the text then waited.")
    since: Instant | None = Field(None, description="Since when a worker had it that it was taken back from.")
    times: int = Field(1, description="How often it happened in a row, for the same reason.")
    last_at: Instant | None = Field(None, description="When it happened last. None: at `at`.")
    was: str | None = Field(None, description="A customer's consent, or the last four digits of a number.")
    became: str | None = None
    source: str | None = Field(None, description="Where the consent came from, as the application wrote it.")


class TextRecord(Value):
    """A row of `explain_sms`: a text, or a scheduled send that is none yet, and all that is known of it."""

    retry_id: UUID
    is_text: bool = Field(True, description="Whether it is or was in the queue.")
    state: TextState
    since: Instant
    message_class: MessageClass
    queued_at: Instant
    asked_at: Instant
    business: str | None = None
    number: str | None = None
    timezone: str | None = None
    business_timezone: str | None = None
    why: str | None = None
    code: int | None = None
    next_at: Instant | None = None
    expires_at: Instant | None = Field(None, description="When it is of no more use; a planned text's own limit.")
    planned_for: Instant | None = Field(None, description="When it was to go out, if it was planned.")
    first_due_at: Instant | None = Field(None, description="When it was due first. None: not known.")
    attempts: int = 0
    max_attempts: int = 3
    consent: str | None = None
    consent_at: Instant | None = None
    consent_source: str | None = None
    opted_out_since: Instant | None = None
    needs_start: bool = Field(
        False, description="Whether the provider itself blocks the number until it texts START: it had texted STOP."
    )
    stop_sid: str | None = Field(None, description="SID of a text of theirs that may mean stop, and is not read yet.")
    phone_status: str | None = None
    held_since: Instant | None = None
    looks: int = Field(0, description="How many looks for evidence of it found nothing.")
    history: tuple[AttemptRecord, ...] = ()
    events: tuple[EventRecord, ...] = ()
    can: tuple[str, ...] = Field((), description="What the database lets a person do: words of the door `texts`.")
    unreadable: tuple[str, ...] = Field((), description="Columns that cannot be read.")
    sid: str | None = None
    sender_name: str | None = Field(None, description="Names its own sender in commands. None: the environment's.")
    account: str | None = None
    customer_id: Annotated[UUID | None, Shown("customer {}")] = None
    business_id: Annotated[UUID | None, Shown("business {}")] = None
    sender: Annotated[str | None, Shown("sender {}")] = None
    send_log_id: Annotated[UUID | None, Shown("send log {}")] = None
    send_log_status: Annotated[str | None, Shown("its send log says {}")] = None
    why_code: Annotated[KnownCode, Shown("why, in a word: {}")] = None

    def shown(self) -> Iterator[str]:
        """What links, forms and programs know it by."""
        yield f"{'row' if self.is_text else 'scheduled send'} {self.retry_id}"
        for name, field in type(self).model_fields.items():
            words = next((one.words for one in field.metadata if isinstance(one, Shown)), None)
            if words and (value := getattr(self, name)) is not None:
                yield words.format(value)


class WaitingText(Claim):
    """A row of `preview_sms_retries`: a text that waits, and what beginning its send would find now."""

    refused: str | None = Field(None, description="Why its customer may not be texted.")
    refused_code: KnownCode = None
    doubted: str | None = Field(None, description="Why an earlier message would be looked for first.")
    texts_at: tuple[Instant, ...] = Field(
        (), description="When the texts that count against a cap reached its number, the newest first."
    )

    @field_validator("texts_at", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or ()


class UnreadText(Value):
    """A waiting text with a column that cannot be read, so that nothing can be predicted about it."""

    id: UUID
    columns: tuple[str, ...]


# Several texts


class TextLine(Value):
    """One text of a list, or of what an order changes."""

    retry_id: UUID
    business_id: UUID | None
    business: str | None
    customer_id: UUID | None
    number: str | None
    message_class: MessageClass
    attempts: int
    state: TextState
    at: Instant | None = Field(description="When it is looked at next; of one that has ended, when it did.")
    why: str | None
    why_code: KnownCode = None
    skipped: str | None = None
    warned: str | None = None

    def lines(self) -> Iterator[str]:
        """All of it, a line each."""
        when = f", {on_clock(self.at)}" if self.at else ""
        why = f": {self.why}" if self.why else ""
        yield (
            f"{self.number or 'without a number'} of {self.business or 'a business without a name'}, "
            f"{self.state.replace('_', ' ')}{when}{why}"
        )
        yield f"    row {self.retry_id}"
        yield f"    customer {self.customer_id or 'is gone'}"
        if self.skipped or self.warned:
            yield f"    {'left alone' if self.skipped else 'beware'}: {self.skipped or self.warned}"


class Listed(Done):
    """The texts that match."""

    asked: Asked[ListTexts]
    texts: tuple[TextLine, ...]

    @property
    def fails(self) -> bool:
        return not self.texts

    def lines(self) -> Iterator[str]:
        more = "; there may be more" if len(self.texts) == self.asked.limit else ""
        yield f"{len(self.texts)} text{'' if len(self.texts) == 1 else 's'} that match{more}"
        for text in self.texts:
            yield from text.lines()


class Change(Done):
    """What a change of texts did, or would do."""

    asked: Asked[Order]
    matched: int
    changed: int
    skipped: dict[str, int] = Field(description="How many were left alone, by reason.")
    warned: dict[str, int] = Field(description="How many were changed with a warning, by warning.")
    sample: tuple[TextLine, ...]

    @property
    def done(self) -> str:
        """What it did, or would do."""
        return self.asked.done

    @property
    def fails(self) -> bool:
        """A restore is on record though no text waits."""
        return not self.changed and not (isinstance(self.asked, AfterRestore) and not self.asked.dry_run)

    @property
    def name(self) -> str:
        return f"{self.done} {self.changed}" if self.changed else super().name

    def lines(self) -> Iterator[str]:
        yield self._headline()
        if isinstance(self.asked, AfterRestore) and not self.asked.dry_run:
            yield "The restore is on record: every text from before it is looked for before it goes out."
        if self.changed or len(self.skipped) > 1:
            yield from (f"  left alone {texts}: {why}" for why, texts in self.skipped.items())
        yield from (f"  beware of {texts}: {why}" for why, texts in self.warned.items())
        for row in self.sample:
            yield from row.lines()
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"
        if isinstance(self.asked, WhichTexts) and self.matched == self.asked.limit:
            yield f"These are the newest {self.matched}; there may be more: order it again."
        yield from self.signed

    def _headline(self) -> str:
        """What it did; if it was nothing, why."""
        done = self.done.capitalize()
        if not self.matched and not self.skipped:
            return f"{done} nothing: no text matches everything that was given"
        if self.changed or not self.skipped:
            return f"{done} {self.changed} of {self.matched} that match."
        asked = max(self.matched, sum(self.skipped.values()))
        reasons = [*islice(self.skipped, 3), *(["and others"] if len(self.skipped) > 3 else [])]
        return f"{done} 0 of {asked}: {'; '.join(reasons)}"


# What orders about customers and the database did


class ConsentRecorded(Done):
    """Whose consent was recorded."""

    asked: Asked[RecordConsent]
    customers: int = Field(description="How many customers it concerns.")
    cancelled: int = Field(description="How many texts waited for them and no longer do.")
    unmarked: int = Field(0, description="Customers with locked rows. The same order again marks them.")

    def lines(self) -> Iterator[str]:
        said = self.asked.consent
        if said == "unchanged":
            yield "Their consent is as it was, and no text of theirs waits to be read."
            yield from self.signed
            return
        yield (
            f"{said.capitalize().replace('_', ' ')}. Customers with this number: {self.customers}; waiting texts "
            f"cancelled: {self.cancelled}."
        )
        if said == "opted_out" and not self.customers and not self.unmarked:
            yield "No customer has this number yet. What was said counts for whoever gets it."
        if self.unmarked:
            yield (
                f"Not marked yet, because somebody holds their rows locked: {self.unmarked}. No text goes out to them. "
                "Give the same order again later."
            )
        if said == "opted_in":
            yield "If they had texted STOP, the provider still refuses: they must text START to your number."
        yield from self.signed


class Resolved(Done):
    """Whether a doubt was resolved."""

    asked: Asked[Resolve]
    answer: Literal["resolved", "not_in_doubt"]

    @property
    def fails(self) -> bool:
        return self.answer != "resolved"

    def lines(self) -> Iterator[str]:
        if self.fails:
            yield "It is not in doubt, or a worker is looking for it at this moment: try again in a minute."
        else:
            yield "It will be sent again, with every check." if self.asked.send_again else "It is recorded as sent."
        yield f"row {self.asked.retry_id}"
        yield from self.signed


class StateStopped(Done):
    """What an order about a US state did."""

    asked: Asked[StopState]
    answer: bool = Field(description="Whether the state is stopped now.")

    def lines(self) -> Iterator[str]:
        yield f"Marketing texts to {self.asked.state} {'wait until the stop is lifted' if self.answer else 'go again'}."
        if self.answer:
            yield f"Because: {self.asked.because}"


class Marked(Done):
    """What a database was marked as."""

    asked: Asked[MarkDatabase]
    answer: bool = Field(description="Whether it is marked now.")
    address: str | None = Field(description="Where production's workers reach it.")

    def lines(self) -> Iterator[str]:
        match self.asked.kind:
            case "production":
                yield f"The database is production at {self.address}. Anywhere else, nobody is texted from it."
            case "staging":
                yield "The database is staging: only workers with SMSRETRY_SEND_TO=listed text anybody from it."
            case _:
                yield "The database is not marked: each worker's SMSRETRY_SEND_TO alone decides."


class Pruned(Done):
    """What `prune_sms_history` deleted."""

    asked: Asked[Prune]
    texts: int
    attempts: int
    runs: int

    def lines(self) -> Iterator[str]:
        done = "Would delete" if self.asked.is_question else "Deleted"
        yield f"{done}: texts {self.texts}, attempts {self.attempts}, runs {self.runs}."
        yield f"They ended more than {self.asked.keep_days} days ago."


# An import of opt-outs

MOST_NOTES: Final = 100
"""How many lines of a kind are told one by one."""


class ImportNote(Value):
    """A line that was not recorded."""

    line: int
    what: Literal["unreadable", "outlived"]
    lines: int
    customer_id: UUID | None = None

    def __str__(self) -> str:
        if self.what == "unreadable":
            return f"line {self.line}: the database reads no number in it"
        return f"line {self.line}: customer {self.customer_id} opted in later than that, which stays"


class ImportedPart(Done):
    """Answer of `import_sms_opt_outs`. Counts are of numbers, if nothing else is said."""

    recorded: int
    known: int
    customers: int
    cancelled: int
    unmarked: int
    undated: int
    notes: tuple[ImportNote, ...] = ()


class Imported(Done):
    """A whole file's import. Counts are of numbers, if nothing else is said."""

    recorded: int
    known: int
    customers: int
    cancelled: int
    unmarked: int
    undated: int
    lines_read: int
    refused: int = Field(description="Lines that were not imported.")
    outlived: int = Field(description="Lines that are left alone because somebody opted in later.")
    listed: tuple[str, ...] = Field(description="The first of both, by their numbers, and why.")

    @classmethod
    def of(cls, asked: Form, parts: Sequence[ImportedPart], *, refused: Sequence[str], lines_read: int) -> Self:
        """Add up what its calls came to. `refused`: lines that were not given to any, and why."""
        counts = ("recorded", "known", "customers", "cancelled", "unmarked", "undated")
        notes = [note for part in parts for note in part.notes]
        unread = [*refused, *(str(note) for note in notes if note.what == "unreadable")]
        outlived = [note for note in notes if note.what == "outlived"]
        return cls(
            asked=asked,
            lines_read=lines_read,
            refused=len(unread),
            outlived=sum(note.lines for note in outlived),
            listed=(*unread[:MOST_NOTES], *map(str, outlived[:MOST_NOTES])),
            **{name: sum(getattr(part, name) for part in parts) for name in counts},
        )

    @property
    def fails(self) -> bool:
        """Whether lines are left that somebody must mend, or customers that the same order again marks."""
        return bool(self.refused or self.unmarked)

    def lines(self) -> Iterator[str]:
        would = "would be" if self.asked.is_question else "were"
        yield f"Opt-outs that {would} recorded: {self.recorded}. Known already: {self.known}."
        yield f"Customers that {would} marked: {self.customers}; waiting texts cancelled: {self.cancelled}."
        if self.outlived:
            yield f"Left alone, because somebody opted in later: {self.outlived}."
        if self.undated:
            yield f"Lines without a date, or with one that has not come: {self.undated}. They count as now."
        if self.unmarked:
            yield (
                f"Customers who are not marked yet: {self.unmarked}. Their rows are locked, or a trigger refuses it. "
                "No text goes out to them. Give the same order again later."
            )
        yield f"Lines: {self.lines_read}. Not imported: {self.refused}."
        yield from self.listed
        if (more := self.refused + self.outlived - len(self.listed)) > 0:
            yield f"… and {more} more"
