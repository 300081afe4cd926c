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
        """Whether the provider asked to go slower just now."""
        return monotonic() < self._waits_until

    @property
    def seconds(self) -> float:
        """How long to wait before checking again, unless a send under way ends before that.

        It is never 0, which would wait for ever: the time may end between two looks at the clock, and no send under way
        would wake the thread.
        """
        return max(self._waits_until - monotonic(), 0) or SLOWER_SECONDS

    def slow_down(self, under_way: int, seconds: float, *, may_wait_until: float) -> bool:
        """Wait as long as the provider says, then send half as many at once. False: the run may not wait that long.

        Args:
            under_way: sends that have not been answered yet.
            seconds: how long the provider asks to wait; 0 if it does not say.
            may_wait_until: how long the run may wait, by `time.monotonic`.
        """
        wait = max(seconds, SLOWER_SECONDS)
        if not self.is_waiting:  # else it is of the same burst, which was answered by waiting
            self._at_once = max(1, min(self._at_once, under_way + 1) / 2)
        self._waits_until = max(self._waits_until, monotonic() + wait)
        return self._waits_until < may_wait_until

    def release(self) -> None:
        """A text was taken: one more may go at once for each full round of texts taken."""
        self._at_once += 1 / self._at_once
