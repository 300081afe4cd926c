"""What one run of the worker came to, for a test to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from smsretry.retry.answers import ScheduledSend
from smsretry.retry.models import ItemResult
from smsretry.sending.run import ItemFailed
from smsretry.sending.summary import RunSummary
from smsretry.vocabulary import Fate


class HasId(Protocol):
    """A text in the queue."""

    @property
    def id(self) -> UUID:
        """The id of its row in `sms_retry_queue`."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of the worker."""

    results: Sequence[ItemResult]
    """One for each claim of a row, in the order of the claims."""
    errors: Sequence[ItemFailed]
    """Rows whose processing itself went wrong, each with the reason."""
    scheduled: Sequence[ScheduledSend]
    """The scheduled sends whose time was near, and what became of each."""
    scheduled_stopped: str | None
    """Why no more scheduled sends were queued: the database could not be asked. None: all were."""
    summary: RunSummary
    """The numbers, as Prefect's run history has them."""

    @property
    def fates(self) -> list[Fate]:
        """What each claimed row came to."""
        return [result.fate for result in self.results]

    def of(self, text: UUID | HasId) -> ItemResult:
        """What one text came to.

        Args:
            text: what a seed returned, or the id of a row in `sms_retry_queue`.

        Raises:
            LookupError: the run did not take it, or failed over it; with the reason if it is known.
        """
        row = text if isinstance(text, UUID) else text.id
        for result in reversed(self.results):
            if result.retry_id == row:
                return result
        for failed in self.errors:
            if failed.retry_id == row:
                raise LookupError(f"The worker failed over row {row}: {failed.why}")
        raise LookupError(
            f"This run did not take row {row}. It takes what is pending and due by the stack's clock: look at status, "
            f"scheduled_for and why of the row. It took {[str(result.retry_id) for result in self.results]}"
        )
