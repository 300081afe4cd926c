"""Whose turn is it at the sender? A number of ours sends so many segments a second, whoever asks it to.

All workers of all machines share the sender's time: each leases a little of it at a time from the database, and its
threads take turns within. Twilio would queue what comes faster, up to ten hours long, past the closing of any window.
"""

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

from smsretry.retry.segments import segments

LEASE_SECONDS: Final = 0.5
"""The sender's time that is leased at once. What a worker does not use of it is lost to the others."""
HAND_SECONDS: Final = 5.0
"""The sender's time for which a run has texts in hand: the others stay for other workers."""


class Pace:
    """One per run; shared by its threads."""

    def __init__(self, lease: Callable[[int, float], float], per_second: float | None) -> None:
        """Prepare.

        Args:
            lease: takes so many segments of the sender's time, at so many a second; in how many seconds they begin.
            per_second: segments the sender makes a second; None: nobody has to wait.
        """
        self._lease = lease
        self._per_second = per_second
        self._lock = threading.Lock()
        self._left = 0
        self._next = 0.0

    def in_hand(self, most: int) -> int:
        """How many texts a run takes in hand, of at most so many."""
        if self._per_second is None:
            return most
        return max(1, min(most, int(self._per_second * HAND_SECONDS)))

    def turn(self, body: str) -> float:
        """Take the text's turn. In how many seconds it comes.

        Raises:
            QueueError: the database could not be asked.
        """
        if self._per_second is None:
            return 0.0
        size = segments(body)
        with self._lock:
            now = monotonic()
            if self._next < now - LEASE_SECONDS:
                self._left = 0  # taken late, these turns would come on top of other workers'
            if size > self._left:
                self._left = max(size, math.ceil(self._per_second * LEASE_SECONDS))
                self._next = now + self._lease(self._left, self._per_second)
            turn = self._next
            self._left -= size
            self._next += size / self._per_second
        return max(turn - now, 0.0)
