"""What a planted misconfiguration is, and what it may stand on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from smsretry.local.stack import Stack
from tests.e2e.registry import Registry

NOWHERE: Final = "http://127.0.0.1:9"
OPEN: Final = "{open}"
CLOSED: Final = "{closed}"
"""Addresses of two Prefect servers: one that answers anyone, and one that wants an auth string."""
ELSEWHERE: Final = "{elsewhere}"
"""The address of `tests.e2e.planted.elsewhere`."""
HOME: Final = "{home}"
"""A folder for what a plant writes, which is Prefect's home, too."""


@dataclass(frozen=True)
class Misconfiguration:
    """One thing that is not as it should be."""

    what: str
    line: str
    """How the doctor's line begins."""
    variables: Mapping[str, str | None] = field(default_factory=dict)
    """Of the environment; None takes one away."""
    database: str = ""
    """Done to the application's database."""
    prefect: Callable[[Registry], object] | None = None
    """Done to the Prefect server."""
    stack: Callable[[Stack], object] | None = None
    """Done to the stand-ins of the stack, or to its clock."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Written into HOME."""
    slow: Literal["Supabase", "Twilio", "Prefect"] | None = None
    """Whose every answer comes late."""
    each: int = 16
    """One in so many of its kind is planted every day."""

    @property
    def environment(self) -> dict[str, str | None]:
        """What it needs of the environment: of database and Prefect only the one that it is about is asked."""
        if self.prefect:
            return {"SUPABASE_URL": None, **self.variables}
        return {"PREFECT_API_URL": None, **self.variables}

    @property
    def needs_prefect(self) -> bool:
        """Whether a Prefect server must be there: it is about one, or names one."""
        named = any(name.startswith("PREFECT_") for name in self.variables)
        values = " ".join(filter(None, self.variables.values()))
        placed = any(place in values for place in ("{open", CLOSED, ELSEWHERE))
        return self.prefect is not None or self.slow == "Prefect" or named or placed

    @property
    def needs_closed(self) -> bool:
        """Whether it takes a second Prefect server, which asks for an auth string."""
        return any(CLOSED in (value or "") for value in self.variables.values())


def ahead(**by: float) -> Callable[[Stack], object]:
    """The stack's time, which database and Twilio share, is ahead of this machine's."""
    return lambda stack: stack.move_clock(timedelta(**by))
