"""How a run obeys a provider that asks to go slower: the sends wait, and then fewer of them are under way at once."""

import math
from time import monotonic
from typing import Final

SLOWER_SECONDS: Final = 1.0
"""How long the sends wait when the provider asks to go slower and does not say how long. Its limits are per second."""


class Throttle:
    """One per flow control, which holds its lock around every call."""

    def __init__(self) -> None:
        self._at_once = math.inf
        self._waits_until = 0.0

    def is_full(self, under_way: int) -> bool:
        """Whether no further send may begin beside so many."""
        return under_way >= self._at_once or self.is_waiting

    @property
    def is_waiting(self) -> bool:
        """Whether it was asked to go slower just now."""
        return monotonic() < self._waits_until

    @property
    def seconds(self) -> float:
        """How long to wait before looking again, unless one of those under way has ended before that.

        Never for ever: the time may be over between two looks at the clock, with nobody under way to wake us.
        """
        return max(self._waits_until - monotonic(), 0) or SLOWER_SECONDS

    def slow_down(self, under_way: int, seconds: float, *, may_wait_until: float) -> bool:
        """Wait as long as it says, and then send half as many at once. False: the run may not wait that long.

        Args:
            under_way: sends that have not been answered yet.
            seconds: how long it asks to wait; 0 if it does not say.
            may_wait_until: how long the run may wait, by `time.monotonic`.
        """
        wait = max(seconds, SLOWER_SECONDS)
        if not self.is_waiting:  # else it is of the same burst, which was answered by waiting
            self._at_once = max(1, min(self._at_once, under_way + 1) / 2)
        self._waits_until = max(self._waits_until, monotonic() + wait)
        return self._waits_until < may_wait_until

    def release(self) -> None:
        """One was taken: one more at once, for as many that were taken."""
        self._at_once += 1 / self._at_once
