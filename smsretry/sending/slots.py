"""How many texts a run sends at once, and how many others have begun by then.

The database is asked before a send and told after it. A text that begins while all slots are taken goes out as soon as
one is free, so no slot stands empty meanwhile.
"""

import sys
from collections.abc import Callable
from threading import Condition, RLock
from time import monotonic
from typing import Final
from uuid import UUID

QUICK_SECONDS: Final = 1.0
"""While sends take no longer than this, others begin before a slot is free. They wait for half as long, on average."""


def threads_for(sends_at_once: int) -> int:
    """How many texts a run processes at once: half as many again as it sends."""
    return sends_at_once + sends_at_once // 2


class Slots:
    """One per run, which holds its lock around every call."""

    def __init__(self, lock: RLock, sends_at_once: int | None) -> None:
        self.most: Final = sends_at_once or sys.maxsize
        """Texts that are sent at once."""
        self._freed = Condition(lock)
        self._begun = set[UUID]()
        self._taken = dict[UUID, float]()
        """Since when, by `time.monotonic`."""
        self._is_quick = False

    @property
    def are_promised(self) -> bool:
        """Whether so many have begun that one more would wait for long."""
        return len(self._begun) >= (threads_for(self.most) if self._is_quick else self.most)

    def promise(self, claim_id: UUID) -> None:
        """A text begins: it will need a slot."""
        self._begun.add(claim_id)

    def take(self, claim_id: UUID, seconds: float, *, unless: Callable[[], object]) -> bool:
        """Wait for a slot, at most so long and while it may go. False: it got none. `free` gives it back."""
        self._freed.wait_for(lambda: unless() or len(self._taken) < self.most, seconds)
        if unless() or len(self._taken) >= self.most:
            self._freed.notify()  # the next one may go
            return False
        self._taken[claim_id] = monotonic()
        return True

    def free(self, claim_id: UUID) -> None:
        """It was answered, or does not go."""
        self._begun.discard(claim_id)
        since = self._taken.pop(claim_id, None)
        if since is not None:
            self._is_quick = monotonic() - since < QUICK_SECONDS
            self._freed.notify()

    def wake_all(self) -> None:
        """Something has stopped: whoever waits for a slot, looks."""
        self._freed.notify_all()
