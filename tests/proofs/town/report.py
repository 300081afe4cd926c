"""What a proof came to: what was done, what was found, and one table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Finding = tuple[str, str]
"""What kind it is, and a line about it."""


@dataclass(slots=True)
class Verdict:
    """Everything that was found. Nothing should be."""

    kinds: Sequence[str]
    """What was asked, in the order in which it is shown."""
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding], *, name: str = "") -> None:
        """Keep those of the kinds that are asked."""
        for kind, line in findings:
            if kind in self.kinds:
                self.found.setdefault(kind, []).append(
                    f"{name}: {line}" if name else line
                )

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def __getitem__(self, kind: str) -> int:
        return len(self.found.get(kind, ()))


@dataclass(frozen=True, slots=True)
class Report:
    """Prints as the table that the READMEs show."""

    numbers: dict[str, object]
    verdict: Verdict
    lines: Sequence[str] = ()
    """More to show between the two."""

    @property
    def clean(self) -> bool:
        """Whether the run kept every promise."""
        return self.verdict.clean

    @property
    def found(self) -> list[str]:
        """All of it, as `kind: line`."""
        return [
            f"{kind}: {line}"
            for kind, lines in self.verdict.found.items()
            for line in lines
        ]

    def __str__(self) -> str:
        rule = "─" * 60
        done = [f"{name:<44}{value!s:>16}" for name, value in self.numbers.items()]
        found = [f"{kind:<44}{self.verdict[kind]:>16}" for kind in self.verdict.kinds]
        between = [*self.lines, rule] if self.lines else []
        return "\n".join([rule, *done, rule, *between, *found, rule])

    def details(self) -> str:
        """Some of what was found, in words."""
        return "\n".join(
            f"{kind}: {line[:400]}"
            for kind, lines in self.verdict.found.items()
            for line in lines[:5]
        )

    def tell(self) -> str:
        """The table, and what was found."""
        return f"{self}\n{self.details()}".rstrip() + "\n"
