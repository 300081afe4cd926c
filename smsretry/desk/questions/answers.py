"""Answers to a person's questions and orders. None has more than the last four digits of a phone number."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import ConfigDict, Field

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import AfterRestore, ExplainText, Order
from smsretry.desk.questions.blocks import Block, Remedy, in_lines
from smsretry.desk.questions.records import TextRecord
from smsretry.instants import on_clock
from smsretry.retry.models import Finding, Value

_NO_DOUBT: Final = (
    "it is not in doubt, or a worker looks for it at this moment: try again in a minute"
)
_NEEDS_START: Final = "The provider itself blocks their number until they text START to the sender: ask them to."
_UNMARKED: Final = (
    "Customers who are not marked yet: {}, because their rows are locked, or a trigger refuses it. No text goes out to "
    "them. The next runs mark them."
)


class Answer(Value):
    """What a person is told: the first line says it, and the others explain."""

    def tell(self) -> Iterator[Block]:
        """All of it."""
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        """All of it, as lines."""
        return in_lines(self.tell())

    def to_dict(self) -> dict[str, Any]:
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
    """What an order did, or would do: the columns that its SQL function answered."""

    model_config = ConfigDict(extra="allow")

    form: Annotated[Form, Field(exclude=True, repr=False)]

    if TYPE_CHECKING:

        def __getattr__(self, column: str) -> Any: ...

    @property
    def came_to(self) -> Mapping[str, Any]:
        """What its function answered: the names of its columns, or `answer`."""
        return self.model_extra or {}

    def tell(self) -> Iterator[Block]:
        """What was done, with the numbers of it."""
        numbers = (
            f"{name} {value}"
            for name, value in self.came_to.items()
            if name not in ("answer", "needs_start") and value is not None
        )
        did = (
            _NO_DOUBT if self.came_to.get("answer") == "not_in_doubt" else self.form.did
        )
        yield (
            f"{did[:1].upper()}{did[1:]}: {', '.join(numbers)}".removesuffix(": ") + "."
        )
        if self.came_to.get("needs_start"):
            yield _NEEDS_START
        if self.came_to.get("unmarked"):
            yield _UNMARKED.format(self.came_to["unmarked"])

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "dry_run": self.form.is_question}

    @property
    def fails(self) -> bool:
        return self.came_to.get("answer") == "not_in_doubt"


# Several texts


def _texts(texts: Sequence[TextRecord]) -> Iterator[Block]:
    """Each with what it waits for or why it ended. From its number a link leads to its story."""
    for text in texts:
        story = Remedy.see(
            ExplainText, {"id": str(text.retry_id)}, text.number or "without a number"
        )
        when, explanation = (
            on_clock(text.next_at or text.since),
            f": {text.why}" if text.why else "",
        )
        yield (
            story,
            f" of {text.business or 'a business without a name'}, {text.state.replace('_', ' ')}, {when}{explanation}",
        )
        yield f"    row {text.retry_id}, customer {text.customer_id or 'is gone'}"


class Listed(Answer):
    """The texts that match."""

    texts: tuple[TextRecord, ...]
    more: bool = Field(description="Whether there may be more than were asked for.")

    @property
    def fails(self) -> bool:
        return not self.texts

    def tell(self) -> Iterator[Block]:
        note = "; there may be more" if self.more else ""
        yield f"{len(self.texts)} text{' matches' if len(self.texts) == 1 else 's match'}{note}"
        yield from _texts(self.texts)


class Change(Done):
    """What a change of texts did, or would do."""

    form: Annotated[Order, Field(exclude=True, repr=False)]
    matched: int
    changed: int
    skipped: dict[str, int] = Field(description="How many were left alone, by reason.")
    sample: tuple[TextRecord, ...]

    @property
    def fails(self) -> bool:
        """A restore is on record though no text waits."""
        return not self.changed and (
            self.form.dry_run or not isinstance(self.form, AfterRestore)
        )

    def tell(self) -> Iterator[Block]:
        reason = (
            ""
            if self.changed
            else f": {'; '.join(islice(self.skipped, 3)) or 'no text matches all that was given'}"
        )
        yield f"{self.form.did.capitalize()} {self.changed} of {max(self.matched, sum(self.skipped.values()))}{reason}"
        if self.form.dry_run and self.changed:
            values = self.form.model_dump(
                mode="json", exclude_unset=True, exclude={"dry_run"}
            )
            yield (
                "Nothing was changed: it was only tried. ",
                Remedy.of(type(self.form), values, "Do it"),
            )
        if self.changed or len(self.skipped) > 1:
            yield from (
                f"  {texts} left alone: {reason}"
                for reason, texts in self.skipped.items()
            )
        yield from _texts(self.sample)
        if len(self.sample) < self.matched:
            yield f"… and {self.matched - len(self.sample)} more"
        if self.matched == getattr(self.form, "limit", None):
            yield f"These are the newest {self.matched}; there may be more: order it again."


class Examined(Answer):
    """What the doctor found: what is bad first, then the warnings, then what is in order."""

    findings: tuple[Finding, ...]

    def tell(self) -> Iterator[Block]:
        findings_by_word = {
            "🔴 bad": [finding for finding in self.findings if not finding.ok],
            "🟠 warnings": [
                finding for finding in self.findings if finding.ok and finding.advice
            ],
            "🟢 ok": [
                finding
                for finding in self.findings
                if finding.ok and not finding.advice
            ],
        }
        yield " · ".join(
            f"{word} {len(findings)}" for word, findings in findings_by_word.items()
        )
        yield "Seen from where the runs happen: their environment, their network, their clock."
        yield from (
            f"{word}: {finding}"
            for word, findings in findings_by_word.items()
            for finding in findings
        )
