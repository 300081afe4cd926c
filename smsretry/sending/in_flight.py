"""What a run has in flight: the rows that it claimed and has not seen to their next state."""

import threading
from collections.abc import Iterable
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

    def add(self, claims: Iterable[Claim]) -> None:
        """These were claimed."""
        with self._changed:
            self._rows.update({claim.id: claim for claim in claims})

    def remove(self, claim: Claim) -> None:
        """It has come to its next state."""
        with self._changed:
            if self._rows.get(claim.id) is claim:  # else it was given back, and has been claimed again
                del self._rows[claim.id]
            self._changed.notify_all()

    def wait_until(self, *, at_most: int) -> bool:
        """Wait a moment until so few rows are in flight, and return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._rows) <= at_most, _LOOK_UP_SECONDS)

    @property
    def to_send(self) -> list[Claim]:
        """Rows that may come to a send. A text in doubt is looked for, and not sent."""
        with self._changed:
            return [claim for claim in self._rows.values() if claim.in_doubt_since is None]

    @property
    def businesses(self) -> set[UUID]:
        """The businesses they belong to."""
        return {claim.business_id for claim in self.to_send}
