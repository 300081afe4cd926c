"""What a run has in flight: the rows that it claimed and has not seen to their next state."""

import threading
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from smsretry.retry.models import Claim

_LOOK_UP_SECONDS: Final = 0.5
"""How often a waiting thread checks: a signal that stops the run cannot wake it."""


class InFlight:
    """Shared by the threads of one run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rows = dict[UUID, Claim]()
        self._left = 0
        """How many rows have left."""

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, claims: Iterable[Claim]) -> None:
        """These were claimed."""
        with self._changed:
            self._rows.update({claim.id: claim for claim in claims})

    def remove(self, claim: Claim) -> None:
        """It has come to its next state."""
        with self._changed:
            if self._rows.get(claim.id) is claim:  # else it was given back, and has been claimed again
                del self._rows[claim.id]
            self._left += 1
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Wait a moment until this holds or a row leaves, and return whether it holds.

        It is checked outside the lock, because it may take locks whose holders ask what is in flight.
        """
        left = self._left
        if holds():
            return True
        with self._changed:
            self._changed.wait_for(lambda: self._left != left, _LOOK_UP_SECONDS)
        return holds()

    @property
    def to_send(self) -> list[Claim]:
        """Rows that may come to a send. A text in doubt is looked for, and not sent."""
        with self._changed:
            return [claim for claim in self._rows.values() if claim.in_doubt_since is None]
