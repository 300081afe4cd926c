"""How long a run goes on: it claims while there is something due, and waits for what comes due in its time."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final
from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.sending.claiming import Claiming
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Claims

POLL_SECONDS: Final = 1.0
"""How often a run that waits for what comes due looks for what has come meanwhile."""
LONGEST_SECONDS: Final = 600.0
"""How long a run claims that waits for nothing and still finds something due."""
LINGER_SECONDS: Final = 5.0
"""How long a run that had something to do waits for more, although it knows of nothing that will be due."""


class Drain:
    """Of one run, from now on."""

    def __init__(self, queue: Claims, claiming: Claiming, flow_control: FlowControl, *, in_flight: int) -> None:
        """Prepare.

        Args:
            in_flight: with so many rows or fewer in flight, the next ones are claimed.
        """
        self._queue = queue
        self._claiming = claiming
        self._flow_control = flow_control
        self._in_flight = in_flight
        self._started = self.until = monotonic()
        """`until`: when the run claims no more, by `time.monotonic`."""
        self._seen = set[UUID]()

    def claims(
        self, claim: Callable[[int], list[Claim]], first: Sequence[Claim], *, limit: int, size: int, seconds: float
    ) -> Iterator[list[Claim]]:
        """What `claim` brings, up to `size` each time: `Run.drain` has the rest.

        Raises:
            QueueError: the database could not be asked.
        """
        ends = self._flow_control.may_wait_until = self._started + seconds
        self.until = ends if seconds else self._started + LONGEST_SECONDS
        claims, left = list(first), limit
        at_once = True
        while True:
            new = {each.id for each in claims} - self._seen
            self._seen |= new
            if claims:
                yield claims
            left -= sum(each.in_doubt_since is None for each in claims)
            if not (left and self._has_room() and self._comes_due(ends, at_once=at_once or bool(new))):
                return
            claims, at_once = claim(min(size, left)), False

    def _has_room(self) -> bool:
        """Wait until the workers have little left; none, while it is open whose the trouble is."""
        control = self._flow_control
        while not control.stopped_because and monotonic() < self.until:
            if control.in_flight.wait_until(at_most=0 if control.cause_is_unknown else self._in_flight):
                return not control.cause_is_unknown or self._claiming.may_find_others
        return False

    def _comes_due(self, ends: float, *, at_once: bool) -> bool:
        """Wait until something is due; false when nothing will be before `ends`, or nothing may be claimed any more.

        Args:
            at_once: whether it may be claimed at once: what was claimed last was new, and not given back to come again.
        """
        idle_from = now = monotonic()
        if at_once and self._claiming.more_is_due:
            return True
        until, pause = (self.until, 0.0) if at_once else (ends, POLL_SECONDS)
        while now < until:
            self._flow_control.wait(pause)
            due_in, now = self._queue.next_due(), monotonic()
            if self._flow_control.stopped_because or now >= until:
                return False
            if due_in == 0:
                return True
            lingers = bool(self._seen) and now < idle_from + LINGER_SECONDS
            if now >= ends or (not lingers and (due_in is None or now + due_in >= ends)):
                return False
            pause = POLL_SECONDS if due_in is None else min(POLL_SECONDS, due_in)
        return False
