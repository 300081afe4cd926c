"""Answers to a person's questions and orders. None has more than the last four digits of a phone number."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import ConfigDict, Field

from smsretry.desk.actions.doors import RUN
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import (
    AfterRestore,
    Cancel,
    ListTexts,
    MarkDatabase,
    Order,
    Prune,
    RecordConsent,
    Resolve,
    StopState,
    WhichText,
    WhichTexts,
)
from smsretry.desk.actions.senders import SenderOrder
from smsretry.desk.questions.records import TextRecord
from smsretry.desk.questions.told import Lever, Told, in_lines
from smsretry.instants import on_clock
from smsretry.retry.models import Value

MOST_NOTES: Final = 100
"""How many lines of a file are told one by one, of each kind."""
_UNREAD: Final = "line {line}: the database reads no number in it"
_OUTLIVED: Final = "line {line}: customer {customer_id} opted in later than that, which stays"
_UNMARKED: Final = (
    "Customers who are not marked yet: {}, because their rows are locked, or a trigger refuses it. No text goes out to "
    "them. Give the same order again later."
)


class Answer(Value):
    """What a person is told: the first line says it, and the others explain."""

    def tell(self) -> Iterator[Told]:
        """All of it."""
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        """All of it, as lines."""
        return in_lines(self.tell())

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
    """What an order did, or would do: the columns that its SQL function answered, and the words of `_done`."""

    model_config = ConfigDict(extra="allow")

    asked: Annotated[Form, Field(exclude=True, repr=False)]

    if TYPE_CHECKING:

        def __getattr__(self, column: str) -> Any: ...

    @property
    def came_to(self) -> Mapping[str, Any]:
        """What its function answered: the names of its columns, or `answer`."""
        return self.model_extra or {}

    def tell(self) -> Iterator[Told]:
        yield from _done(self.asked, self.came_to)
        yield from self.signed

    def told(self) -> dict[str, Any]:
        trial = getattr(self.asked, "dry_run", None)
        return super().told() | ({} if trial is None else {"dry_run": trial})

    @property
    def fails(self) -> bool:
        return isinstance(self.asked, Resolve) and self.came_to["answer"] != "resolved"

    @property
    def signed(self) -> Iterator[str]:
        """Who ordered it, and why."""
        if who := getattr(self.asked, "who", None):
            yield f"By {who}: {getattr(self.asked, 'because', '')}"

    @property
    def changed_nothing(self) -> bool:
        """Whether an order that was not only tried came to nothing: who gave it believes that it was carried out."""
        return self.fails and not self.asked.is_question


def _done(asked: Form, came_to: Mapping[str, Any]) -> Iterator[Told]:
    match asked:
        case RecordConsent(consent="unchanged"):
            yield "Their consent is as it was, and no text of theirs waits to be read."
        case RecordConsent(consent=said, customer_id=customer):
            numbers = f"Customers with this number: {came_to['customers']}; waiting texts cancelled"
            yield f"{said.capitalize().replace('_', ' ')}. {numbers}: {came_to['cancelled']}."
            if came_to["unmarked"]:
                yield _UNMARKED.format(came_to["unmarked"])
            elif said == "opted_out" and not came_to["customers"]:
                yield "No customer has this number yet. What was said counts for whoever gets it."
            if said == "opted_in":
                yield "If they had texted STOP, the provider still refuses: they must text START to your number."
            if customer:
                yield (Lever.see(WhichText, {"customer_id": str(customer)}, "Their texts"),)
        case Resolve(send_again=again):
            if came_to["answer"] != "resolved":
                yield "It is not in doubt, or a worker is looking for it at this moment: try again in a minute."
            else:
                yield "It will be sent again, with every check." if again else "It is recorded as sent."
            yield f"row {asked.retry_id}"
        case StopState(state=state):
            yield f"Marketing texts to {state} {'wait until the stop is lifted' if came_to['answer'] else 'go again'}."
            if came_to["answer"]:
                yield f"Because: {asked.because}"
        case MarkDatabase(kind="production"):
            yield f"The database is production at {came_to['address']}. Anywhere else, nobody is texted from it."
        case MarkDatabase(kind="staging"):
            yield "The database is staging: only workers with SMSRETRY_SEND_TO=listed text anybody from it."
        case MarkDatabase():
            yield "The database is not marked: each worker's SMSRETRY_SEND_TO alone decides."
        case Prune():
            counts = ", ".join(f"{name} {came_to[name]}" for name in ("texts", "attempts", "runs"))
            yield f"{'Would delete' if asked.is_question else 'Deleted'}: {counts}."
            yield f"They ended more than {asked.keep_days} days ago."
        case SenderOrder():
            use = f"{came_to['businesses']} business{' uses' if came_to['businesses'] == 1 else 'es use'} it"
            yield f"{asked.DONE.capitalize()}: sender {came_to['sender']}; {use}."
            if came_to["sender"].startswith("…"):
                yield f"Its id is {came_to['sender_id']}."
            if came_to.get("released"):
                yield f"Texts that waited and are due now: {came_to['released']}."


# Several texts


def _texts(texts: Sequence[TextRecord]) -> Iterator[Told]:
    """Each with what it waits for or why it ended. From its number a link leads to its story."""
    for one in texts:
        story = Lever.see(WhichText, {"retry_id": str(one.retry_id)}, one.number or "without a number")
        when, why = on_clock(one.next_at or one.since), f": {one.why}" if one.why else ""
        yield story, f" of {one.business or 'a business without a name'}, {one.state.replace('_', ' ')}, {when}{why}"
        yield f"    row {one.retry_id}, customer {one.customer_id or 'is gone'}"


class Listed(Done):
    """The texts that match."""

    asked: Annotated[ListTexts, Field(exclude=True, repr=False)]
    texts: tuple[TextRecord, ...]

    @property
    def fails(self) -> bool:
        return not self.texts

    def tell(self) -> Iterator[Told]:
        more = "; there may be more" if len(self.texts) == self.asked.limit else ""
        yield f"{len(self.texts)} text{'' if len(self.texts) == 1 else 's'} that match{more}"
        yield from _texts(self.texts)


class Change(Done):
    """What a change of texts did, or would do."""

    asked: Annotated[Order, Field(exclude=True, repr=False)]
    matched: int
    changed: int
    skipped: dict[str, int] = Field(description="How many were left alone, by reason.")
    warned: dict[str, int] = Field(description="How many were changed with a warning, by warning.")
    sample: tuple[TextRecord, ...]

    @property
    def fails(self) -> bool:
        """A restore is on record though no text waits."""
        return not self.changed and (self.asked.dry_run or not isinstance(self.asked, AfterRestore))

    @property
    def name(self) -> str:
        return f"{self.asked.done} {self.changed}" if self.changed else super().name

    def tell(self) -> Iterator[Told]:
        yield self._headline()
        restored = isinstance(self.asked, AfterRestore)
        if self.asked.dry_run and not self.fails:
            values = self.asked.model_dump(mode="json", exclude_unset=True, exclude={"dry_run"})
            yield ("Nothing was changed: it was only tried. ", Lever.of(type(self.asked), values, "Do it"))
        elif restored and not self.asked.dry_run:
            yield "The restore is on record: every text from before it is looked for before it goes out."
        elif self.changed and not isinstance(self.asked, Cancel):
            start = Lever(words="start one now", command="smsretry process", form=RUN)
            yield ("The next run takes what is due, within a minute: ", start)
        if self.changed or len(self.skipped) > 1:
            yield from (f"  left alone {texts}: {why}" for why, texts in self.skipped.items())
        yield from (f"  beware of {texts}: {why}" for why, texts in self.warned.items())
        yield from _texts(self.sample)
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"
        if isinstance(self.asked, WhichTexts) and self.matched == self.asked.limit:
            yield f"These are the newest {self.matched}; there may be more: order it again."
        yield from self.signed

    def _headline(self) -> str:
        """What it did; if it was nothing, why."""
        done = self.asked.done.capitalize()
        if not self.matched and not self.skipped:
            return f"{done} nothing: no text matches everything that was given"
        if self.changed or not self.skipped:
            return f"{done} {self.changed} of {self.matched} that match."
        reasons = [*islice(self.skipped, 3), *(["and others"] if len(self.skipped) > 3 else [])]
        return f"{done} 0 of {max(self.matched, sum(self.skipped.values()))}: {'; '.join(reasons)}"


class Imported(Done):
    """A whole file's import: what its calls came to, added up. Counts are of numbers, if nothing else is said."""

    lines_read: int
    refused: int = Field(description="Lines that were not imported.")
    outlived: int = Field(description="Lines that are left alone because somebody opted in later.")
    listed: tuple[str, ...] = Field(description="The first of both, by their numbers, and why.")

    @classmethod
    def of(cls, asked: Form, parts: Sequence[Done], *, refused: Sequence[str], lines_read: int) -> Self:
        """Add up. `refused`: lines that were not given to any call, and why."""
        names = ("recorded", "known", "customers", "cancelled", "unmarked", "undated")
        notes = [note for part in parts for note in part.came_to["notes"]]
        failed = [*refused, *(_UNREAD.format(**note) for note in notes if note["what"] == "unreadable")]
        outlived = [note for note in notes if note["what"] == "outlived"]
        return cls.model_validate(
            {
                "asked": asked,
                "lines_read": lines_read,
                "refused": len(failed),
                "outlived": sum(note["lines"] for note in outlived),
                "listed": (*failed[:MOST_NOTES], *(_OUTLIVED.format(**note) for note in outlived[:MOST_NOTES])),
                **{name: sum(part.came_to[name] for part in parts) for name in names},
            }
        )

    @property
    def fails(self) -> bool:
        """Whether lines are left that somebody must mend, or customers that the same order again marks."""
        return bool(self.refused or self.unmarked)

    def tell(self) -> Iterator[Told]:
        would = "would be" if self.asked.is_question else "were"
        yield f"Opt-outs that {would} recorded: {self.recorded}. Known already: {self.known}."
        yield f"Customers that {would} marked: {self.customers}; waiting texts cancelled: {self.cancelled}."
        if self.outlived:
            yield f"Left alone, because somebody opted in later: {self.outlived}."
        if self.undated:
            yield f"Lines without a date, or with one that has not come: {self.undated}. They count as now."
        if self.unmarked:
            yield _UNMARKED.format(self.unmarked)
        yield f"Lines: {self.lines_read}. Not imported: {self.refused}."
        yield from self.listed
        if (more := self.refused + self.outlived - len(self.listed)) > 0:
            yield f"… and {more} more"
