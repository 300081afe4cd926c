"""What a proof came to: what was done, what was found, and one table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "after an opt-out",
    "arrived twice",
    "astray",
    "bugs",
    "delivery forgotten",
    "doubled",
    "due at a closed hour",
    "extra rows",
    "failed",
    "late",
    "lost",
    "misreported",
    "out of hours",
    "over the daily cap",
    "retried for good",
    "retried too often",
    "retried twice",
    "sent wrongly",
    "stuck",
    "told wrongly",
    "too many attempts",
    "unanswered",
    "unexplained",
    "unsettled",
    "untrue end",
    "valid past its closing",
    "without text",
    "woke and wrote",
    "wrong in the end",
    "wrong sender",
    "wrongly marked",
]
"""late: by more than one run; in a fortnight, not tried in time. untrue end: also one that a neighbor would not
believe. unanswered: calls on which the worker gave up. valid past its closing: the provider might still send it then.
unexplained: not for the reason that the check gives.
"""
Finding = tuple[Kind, str]
"""What kind it is, and a line about it."""


@dataclass(slots=True)
class Verdict:
    """Everything that was found. Nothing should be."""

    excused: Mapping[Kind, str] = field(default_factory=dict)
    """Kinds that are no finding in this proof, each with the reason. Every other one is kept."""
    findings: dict[Kind, list[str]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding], *, name: str = "") -> None:
        """Keep each that is not excused."""
        for kind, line in findings:
            if kind not in self.excused:
                self.findings.setdefault(kind, []).append(
                    f"{name}: {line}" if name else line
                )

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __getitem__(self, kind: Kind) -> int:
        return len(self.findings.get(kind, ()))


@dataclass(frozen=True, slots=True)
class ProofReport:
    """Prints as the table that the READMEs show."""

    numbers: dict[str, object]
    verdict: Verdict

    @property
    def clean(self) -> bool:
        """Whether the run kept every promise."""
        return self.verdict.clean

    @property
    def findings(self) -> list[str]:
        """All of it, as `kind: line`."""
        return [
            f"{kind}: {line}"
            for kind, lines in self.verdict.findings.items()
            for line in lines
        ]

    def __str__(self) -> str:
        rule = "─" * 60
        numbers = [f"{name:<44}{value!s:>16}" for name, value in self.numbers.items()]
        counts = [
            f"{kind:<44}{self.verdict[kind]:>16}"
            for kind in get_args(Kind)
            if kind not in self.verdict.excused
        ]
        return "\n".join([rule, *numbers, rule, *counts, rule])

    def details(self) -> str:
        """Some of what was found, in words."""
        return "\n".join(
            f"{kind}: {line[:2000]}"
            for kind, lines in self.verdict.findings.items()
            for line in lines[:5]
        )

    def tell(self) -> str:
        """The table, and what was found."""
        return f"{self}\n{self.details()}".rstrip() + "\n"
