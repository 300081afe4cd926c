"""The numbers of one run, for the run history and the command line."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Self

from smsretry.retry.models import ItemResult, Recovered, Value

_COUNTS: Final = (
    "sent",
    "deferred",
    "held",
    "retrying",
    "in_doubt",
    "failed",
    "cancelled",
    "given_back",
    "lost",
    "errors",
)


class RunSummary(Value):
    """The numbers of one run, and whether somebody must look at it."""

    recovered: int
    """Rows taken back from silent workers. They are claimed like others once they are due."""
    recovered_in_doubt: int
    """How many of the recovered may have gone out: they are looked for first."""
    claimed: int
    sent: int
    deferred: int
    held: int
    retrying: int
    in_doubt: int
    failed: int
    cancelled: int
    given_back: int
    lost: int
    errors: int
    """Rows whose processing itself went wrong. A later run recovers them."""
    duration_seconds: float
    stopped_because: str | None
    """Why the run stopped sending before its end."""
    circuit_open: bool
    """Sending does not work for a reason beyond this run; the next one probes with one text."""
    database_broken: bool
    """The database could not be asked whether a text may go; the claims went back to the queue."""

    @classmethod
    def of(
        cls,
        *,
        results: Sequence[ItemResult],
        errors: int = 0,
        recovered: Sequence[Recovered] = (),
        duration_seconds: float = 0,
        stopped_because: str | None = None,
        circuit_open: bool = False,
        database_broken: bool = False,
    ) -> Self:
        """Count what a run came to. What follows `claimed` adds up to it."""
        fates = Counter(result.fate for result in results)
        return cls(
            recovered=len(recovered),
            recovered_in_doubt=sum(row.in_doubt_since is not None for row in recovered),
            claimed=len(results) + errors,
            sent=fates["Sent"],
            deferred=fates["Deferred"],
            held=fates["Held"],
            retrying=fates["RetryScheduled"],
            in_doubt=fates["InDoubt"],
            failed=fates["Failed"],
            cancelled=fates["Cancelled"],
            given_back=fates["GivenBack"],
            lost=fates["Lost"],
            errors=errors,
            duration_seconds=round(duration_seconds, 3),
            stopped_because=stopped_because,
            circuit_open=circuit_open,
            database_broken=database_broken,
        )

    @property
    def idle(self) -> bool:
        """There was nothing to do."""
        return not (self.claimed or self.recovered or self.needs_somebody)

    @property
    def needs_somebody(self) -> bool:
        """A row's processing itself went wrong, or sending stopped for a reason that somebody must mend."""
        return bool(self.errors) or self.circuit_open or self.database_broken

    def __str__(self) -> str:
        counts = [(name.replace("_", " "), getattr(self, name)) for name in _COUNTS]
        parts = ", ".join(f"{name} {count}" for name, count in counts if count)
        stopped = f"Stopped sending: {self.stopped_because}. " if self.stopped_because else ""
        doubtful = f" (in doubt {self.recovered_in_doubt})" if self.recovered_in_doubt else ""
        numbers = f"recovered {self.recovered}{doubtful}, claimed {self.claimed}{': ' + parts if parts else ''}"
        return f"{stopped}{numbers} in {self.duration_seconds:.1f} s"
