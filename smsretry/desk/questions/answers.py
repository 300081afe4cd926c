"""Answers to a person's questions and orders. None has more than the last four digits of a phone number."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import ConfigDict, Field

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Order, ReportRestore
from smsretry.desk.questions.blocks import Block, Remedy, counted, in_lines
from smsretry.desk.questions.records import NAMELESS, TextRecord
from smsretry.instants import on_clock
from smsretry.retry.models import Finding, Value
from smsretry.vocabulary import spaced

_UNDONE: Final[dict[object, str]] = {
    "not_in_doubt": "It is not in doubt, or a worker looks for it at this moment: try again in a minute",
    None: "It was not stopped, so there was nothing to lift",
}
"""Why nothing came of an order, by its function's answer."""
_COLUMNS: Final = {
    "sender": "sender {}",
    "sender_id": "id {}",
    "address": "at {}",
    "businesses": "businesses that use it: {}",
    "released": "{} waiting text{s} released",
    "lines_read": "{} line{s} read",
    "recorded": "{} new opt-out{s}",
    "known": "{} known before",
    "customers": "{} customer{s} marked",
    "cancelled": "{} waiting text{s} cancelled",
    "texts": "{} text{s}",
    "runs": "{} run{s}",
    "outlived": "{} line{s} left alone",
    "refused": "{} line{s} refused",
}
"""What an order's columns say, in words."""
_HEADINGS: Final = {"bad": "🔴 bad", "warn": "🟠 warnings", "ok": "🟢 ok"}
"""The headings of the doctor's findings, by their words."""
_NEEDS_START: Final = "The provider itself blocks their number until they text START to the sender: ask them to."
_UNMARKED: Final = (
    "Customers who are not marked yet: {}, because their rows are locked, or a trigger refuses it. No text goes out to "
    "them. The next runs mark them."
)


class Answer(Value):
    """What a person is told: the first line says it, and the others explain."""

    def tell(self) -> Iterator[Block]:
        """The whole answer."""
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        """The whole answer, as lines."""
        return in_lines(self.tell())

    def to_dict(self) -> dict[str, Any]:
        """The whole answer, for programs."""
        return {"name": self.name, **self.model_dump(mode="json")}

    @property
    def name(self) -> str:
        """The answer in a few words, for the list of runs."""
        headline = next(self.lines())
        return headline[:1].lower() + headline[1:].removesuffix(".")

    @property
    def fails(self) -> bool:
        """Whether nothing came of an order, or something needs somebody."""
        return False

    @property
    def exit_code(self) -> int:
        return int(self.fails)


class Done(Answer):
    """What an order did, or would do: the columns that its SQL function answered."""

    model_config = ConfigDict(extra="allow")

    form: Annotated[Form, Field(exclude=True, repr=False)]

    if TYPE_CHECKING:

        def __getattr__(self, column: str) -> Any: ...

    @property
    def columns(self) -> Mapping[str, Any]:
        """The answer of its function, by column. An answer without columns is in `answer`."""
        return self.model_extra or {}

    @property
    def fails(self) -> bool:
        return self.columns.get("answer", True) in _UNDONE

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "dry_run": self.form.changes_nothing}

    def tell(self) -> Iterator[Block]:
        """What was done, with the numbers of it."""
        numbers = ", ".join(
            words.format(value, s="" if value == 1 else "s")
            for name, words in _COLUMNS.items()
            if (value := self.columns.get(name)) is not None
        )
        sentence = _UNDONE.get(
            self.columns.get("answer", True), capitalized(self.form.deed)
        )
        yield f"{sentence}: {numbers}." if numbers else f"{sentence}."
        if self.columns.get("needs_start"):
            yield _NEEDS_START
        if unmarked := self.columns.get("unmarked"):
            yield _UNMARKED.format(unmarked)


def capitalized(sentence: str) -> str:
    """A sentence with a capital letter; the others stay, unlike by `str.capitalize`."""
    return sentence[:1].upper() + sentence[1:]


# Several texts


def _texts(texts: Iterable[TextRecord]) -> Iterator[Block]:
    """Texts with what they wait for or why they ended. A number links to the text's story."""
    for text in texts:
        reason = f": {text.why}" if text.why else ""
        at = on_clock(text.next_at or text.since)
        yield (
            Remedy.story(text.retry_id, text.number or "without a number"),
            f" of {text.business or NAMELESS}, {spaced(text.state)}, {at}{reason}",
        )
        yield f"    row {text.retry_id}, customer {text.customer_id or 'is gone'}"


class TextList(Answer):
    """The texts that match."""

    texts: tuple[TextRecord, ...]
    more: bool
    """Whether there may be more than were asked for."""

    @property
    def fails(self) -> bool:
        return not self.texts

    def tell(self) -> Iterator[Block]:
        verb = "matches" if len(self.texts) == 1 else "match"
        note = "; there may be more" if self.more else ""
        yield f"{counted(len(self.texts), 'text')} {verb}{note}"
        yield from _texts(self.texts)


class Change(Done):
    """What a change of texts did, or would do."""

    form: Annotated[Order, Field(exclude=True, repr=False)]
    matched: int
    changed: int
    skipped: dict[str, int]
    """How many were left alone, by reason."""
    sample: tuple[TextRecord, ...]

    @property
    def fails(self) -> bool:
        if isinstance(self.form, ReportRestore) and not self.form.dry_run:
            # The restore is on record, even if no text waits.
            return False
        return not self.changed

    def tell(self) -> Iterator[Block]:
        # More texts may be left alone than match.
        matched = max(self.matched, sum(self.skipped.values()))
        headline = f"{capitalized(self.form.deed)} {self.changed} of {matched}"
        if not self.changed:
            reasons = "; ".join(islice(self.skipped, 3))
            headline += f": {reasons or 'no text matches all that was given'}"
        yield headline
        if self.form.dry_run and self.changed:
            values = self.form.model_dump(
                mode="json", exclude_unset=True, exclude={"dry_run"}
            )
            remedy = Remedy.of(type(self.form), values, "Do it")
            yield "Nothing was changed: it was only tried. ", remedy
        if self.changed or len(self.skipped) > 1:
            for reason, texts in self.skipped.items():
                yield f"  {texts} left alone: {reason}"
        yield from _texts(self.sample)
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"
        if self.matched == getattr(self.form, "limit", None):
            yield f"These are the newest {self.matched}; there may be more: order it again."


class Examination(Answer):
    """What the doctor found: what is bad first, then the warnings, then what is in order."""

    findings: tuple[Finding, ...]

    def tell(self) -> Iterator[Block]:
        groups = [
            (heading, [finding for finding in self.findings if finding.word == word])
            for word, heading in _HEADINGS.items()
        ]
        yield " · ".join(f"{heading} {len(group)}" for heading, group in groups)
        yield "Seen from where the runs happen: their environment, their network, their clock."
        for heading, group in groups:
            for finding in group:
                yield f"{heading}: {finding}"
