"""A person's order while the database is away: how often it is given again, and what is said meanwhile.

An order that certainly did nothing is given again. After a lost answer only one is that may be given twice; see
`smsretry.adapters.supabase.advice.Ending`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person is told while an order is not through yet."""

    text: str
    state: str | None = None
    """What a list shows meanwhile; None if nothing waits."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long somebody waits for an order to get through."""

    pauses: tuple[float, ...]
    """Seconds before the second try, the third, and so on."""
    seconds: float
    """No try begins later than this after the first."""
    tell: Callable[[Notice], None]

    @property
    def tries(self) -> int:
        """How many there are at most."""
        return len(self.pauses) + 1

    def tell_of_wait(self, why: str, *, undone: bool, number: int, pause: float) -> None:
        """Say that another try follows. `undone`: no try so far can have had an effect. `number`: of the next one."""
        so_far = "Nothing is recorded so far." if undone else "It is not known yet whether it is recorded."
        coming = f"Try {number} of {self.tries} in {pause:g} s"
        self.tell(Notice(f"{why} {so_far} {coming}.", f"Waiting for the database, try {number} of {self.tries}"))

    def tell_of_lost_answer(self) -> None:
        """Say that the order is through, and that an earlier try may have been, too."""
        self.tell(Notice("It is recorded. The answer to an earlier try was lost: what that try did is not counted."))


COMMAND_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0)
"""Somebody looks on: a minute."""
FORM_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
"""Nobody need look on: four minutes."""


def at_a_terminal(tell: Callable[[Notice], None]) -> Patience:
    """For a command."""
    return Patience(COMMAND_PAUSES, 60, tell)


def in_a_form(tell: Callable[[Notice], None]) -> Patience:
    """For a form of Prefect's UI."""
    return Patience(FORM_PAUSES, 300, tell)
