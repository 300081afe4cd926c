"""What the senders of one run share: why the run stops, whether the database answers, and whether the provider does."""

import threading
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.sending.in_flight import InFlight
from smsretry.sending.outage import Outage
from smsretry.sending.tally import IN_A_ROW, Tally, by_business


class RunControl:
    """One per run; shared by its senders and threads."""

    def __init__(
        self,
        sender_of: Callable[[Claim], str] = lambda _: "",
        account_of: Callable[[Claim], str] = lambda _: "",
        *,
        threads: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            threads: texts that the run processes at once; None: each has a thread.
        """
        # Reentrant, because a signal handler may stop the run while its own thread holds the lock.
        lock = threading.RLock()
        self.lock: Final = threading.Condition(lock)
        self.stops: Final = threading.Condition(lock)
        """The same lock. Who waits for a time waits here: only what stops the run or a sender wakes these threads."""
        self.in_flight: Final = InFlight()
        """What the run has claimed, whatever the sender, and has not seen to its next state."""
        self.outage: Final = Outage(self.in_flight, sender_of, account_of)
        """What the run has learned of the provider."""
        self._database: Final = Tally(self.in_flight, by_business)
        self._threads = threads
        self.database_trouble: str | None = None
        """Why the database could not be asked. The next run asks again; nothing is remembered where nothing can be."""
        self.may_wait_until = 0.0
        """By `time.monotonic`: how long the run may wait when the provider asks to go slower, instead of stopping."""
        self.claims_one_by_one = False
        """Whether each claim brings one row, and the same one again if it is given back: others wait behind it."""
        self.gave_back = False
        """Whether a text went back untried since the last claim."""
        self.stopped_because: str | None = None
        """Why no further send may begin, whatever the sender."""

    @property
    def cause_is_unknown(self) -> bool:
        """Whether nobody knows yet whose trouble it is: the rows in flight must show it before others are claimed."""
        with self.lock:
            return self.outage.cause_is_unknown or self._database.in_a_row >= IN_A_ROW

    @property
    def is_short_of_threads(self) -> bool:
        """Whether some text in flight waits for a thread."""
        return self._threads is not None and len(self.in_flight) > self._threads

    @property
    def failing_at_the_database(self) -> set[UUID]:
        """Businesses about which the database could not be asked, several times in a row."""
        return self._database.failing_repeatedly

    def claimed(self, claims: Sequence[Claim], *, nobody_else_is_due: bool) -> None:
        """Take note of rows that were claimed."""
        self.in_flight.add(claims)
        with self.lock:
            self.outage.nobody_else_is_due = nobody_else_is_due
            self.evaluate()

    def went_back(self) -> None:
        """A text went back untried, and is due."""
        self.gave_back = True
        self.outage.nobody_else_is_due = False

    def database_failed(self, claim: Claim, why: str) -> None:
        """The database could not be asked about this text."""
        with self.lock:
            self.database_trouble = self.database_trouble or why
            self._database.failed(claim)
            self.evaluate()

    def database_answered(self, claim: Claim) -> None:
        """The database could be asked about this text."""
        with self.lock:
            self._database.succeeded(claim)

    def evaluate(self) -> None:
        """Stop if the trouble is everybody's."""
        self.outage.evaluate()
        if self.outage.open_because:
            self.stop(self.outage.open_because)
        calls = self._database
        if self.database_trouble and calls.failing and self.outage.nobody_else_is_due and not calls.innocents:
            self.stop(self.database_trouble)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the run is stopped."""
        with self.stops:
            self.stops.wait_for(lambda: self.stopped_because, seconds)

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self.lock:
            self.stopped_because = self.stopped_because or why
            self.wake_all()

    def wake_all(self) -> None:
        """A sender, or the run, has stopped: whoever waits, looks. The caller has the lock."""
        self.lock.notify_all()
        self.stops.notify_all()
