"""What an import of opt-outs came to, as values. They contain no phone number: lines have numbers of their own."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from smsretry.retry.models import Value

_MOST_NOTES: Final = 1000
"""Lines that are listed. Of more, only the count is told."""


class ImportNote(Value):
    """A line that was not recorded."""

    line: int
    what: Literal["unreadable", "outlived"]
    lines: int
    """How many lines have this number."""
    customer_id: UUID | None = None
    business_id: UUID | None = None


class ImportedOptOuts(Value):
    """Answer of `import_sms_opt_outs`."""

    businesses: int
    recorded: int
    known: int
    customers: int
    cancelled: int
    unmarked: int
    undated: int
    notes: tuple[ImportNote, ...]
    next_after: UUID | None
    time_zone: str | None


@dataclass(slots=True)
class ImportTally:
    """A whole file's import. Each count is of numbers at businesses, if nothing else is said."""

    dry_run: bool
    number_column: str = ""
    """Which column was read as that of the numbers."""
    date_column: str | None = None
    lines: int = 0
    """Of the file, without its header."""
    left_out: int = 0
    recorded: int = 0
    known: int = 0
    outlived: int = 0
    refused: int = 0
    undated: int = 0
    odd_dates: int = 0
    customers: int = 0
    cancelled: int = 0
    unmarked: int = 0
    listed: list[str] = field(default_factory=list)
    """Lines that somebody should look at, and why."""
    _more: Counter[str] = field(default_factory=Counter)

    def refuse(self, line: int, why: str) -> None:
        """Count a line that could not be read."""
        self.refused += 1
        self._list(line, f"not imported: {why}", "not imported")

    def doubt_date(self, line: int) -> None:
        """Count a line whose date could not be read."""
        self.odd_dates += 1
        self._list(line, "the date cannot be read, so it counts as now: write 2026-11-24T08:15-05:00", "date not read")

    def add(self, answer: ImportedOptOuts, *, first: bool) -> None:
        """Count what a call came to.

        Args:
            first: whether the lines are counted for the first time. For other businesses they come again.
        """
        self.recorded += answer.recorded
        self.known += answer.known
        self.customers += answer.customers
        self.cancelled += answer.cancelled
        self.unmarked += answer.unmarked
        self.undated += answer.undated if first else 0
        for note in answer.notes:
            if note.what == "unreadable":
                self.refuse(note.line, "the database reads no number in it")
                continue
            self.outlived += note.lines
            why = f"customer {note.customer_id} opted in later than that, which stays"
            self._list(note.line, why, "opted in later")

    @property
    def needs_somebody(self) -> bool:
        """Whether lines are left that somebody must mend, or customers that the same order again marks."""
        return bool(self.refused or self.unmarked)

    def summary(self) -> Iterator[str]:
        """What it came to, a line each."""
        would = "would be " if self.dry_run else ""
        if self.recorded:
            yield f"Opt-outs that {would or 'were '}recorded: {self.recorded}. Known already: {self.known}."
            yield f"Customers {would}marked: {self.customers}; waiting texts {would}cancelled: {self.cancelled}."
        else:
            yield f"Nothing {'would change' if self.dry_run else 'was changed'}. Known already: {self.known}."
        if self.outlived:
            yield f"Left alone, because somebody opted in later: {self.outlived}."
        if self.undated:
            yield (
                "Lines without a date, or with one that has not come, is before 2000 or cannot be read: "
                f"{self.undated}. They count as now."
            )
        if self.left_out:
            yield f"Lines that --only leaves out: {self.left_out}."
        if self.unmarked:
            yield (
                f"Customers who are not marked yet: {self.unmarked}. Their rows are locked, or a trigger refuses it. "
                "No text goes out to them. Give the same order again later."
            )
        date = f"the column {self.date_column}" if self.date_column else "no column, so all count as now"
        yield f"Numbers were read from the column {self.number_column}, dates from {date}."
        yield f"Lines: {self.lines}. Not imported: {self.refused}."

    def details(self) -> Iterator[str]:
        """The lines that somebody should look at."""
        yield from self.listed
        yield from (f"… and {count} more lines: {what}" for what, count in self._more.items())

    def _list(self, line: int, why: str, kind: str) -> None:
        if len(self.listed) < _MOST_NOTES:
            self.listed.append(f"line {line}: {why}")
        else:
            self._more[kind] += 1
