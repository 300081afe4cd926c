"""What a run has in hand: the rows that it claimed and has not seen to their next state."""

import threading
from typing import Final

_LOOK_UP_SECONDS: Final = 0.5
"""How often who waits looks up: a signal that stops the run cannot wake it."""


class Hand:
    """Counted by the threads of one run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rows = 0

    def take(self, rows: int) -> None:
        """So many were claimed."""
        with self._changed:
            self._rows += rows

    def done(self) -> None:
        """One has come to its next state."""
        with self._changed:
            self._rows -= 1
            self._changed.notify_all()

    def wait(self, *, at_most: int) -> bool:
        """Wait a moment for this few. Whether it is that few."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rows <= at_most, _LOOK_UP_SECONDS)
