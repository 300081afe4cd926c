"""The numbers of one run, for the run history and the command line."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

from smsretry.retry.models import ItemResult, Recovered, Value


class RunSummary(Value):
    """The numbers of one run."""

    recovered: int
    claimed: int
    sent: int
    deferred: int
    retrying: int
    in_doubt: int
    failed: int
    cancelled: int
    given_back: int
    lost: int
    errors: int
    """Rows whose processing itself went wrong; they are recovered or failed, and the run is marked failed."""
    duration_seconds: float

    @classmethod
    def of(
        cls, *, recovered: Sequence[Recovered], results: Sequence[ItemResult], errors: int, duration_seconds: float
    ) -> Self:
        """Count what a run came to. A row recovered into doubt, or given up by recovery, counts there as well."""
        fates = Counter(result.fate for result in results)
        return cls(
            recovered=len(recovered),
            claimed=len(results) + errors,
            sent=fates["Sent"],
            deferred=fates["Deferred"],
            retrying=fates["RetryScheduled"],
            in_doubt=fates["InDoubt"] + sum(row.in_doubt_since is not None for row in recovered),
            failed=fates["Failed"] + sum(row.status == "failed" for row in recovered),
            cancelled=fates["Cancelled"],
            given_back=fates["GivenBack"],
            lost=fates["Lost"],
            errors=errors,
            duration_seconds=round(duration_seconds, 3),
        )

    def __str__(self) -> str:
        counts = self.model_dump(exclude={"recovered", "claimed", "duration_seconds"})
        parts = [f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count]
        return (
            f"recovered {self.recovered}, claimed {self.claimed}"
            f"{': ' + ', '.join(parts) if parts else ''} in {self.duration_seconds:.1f} s"
        )
