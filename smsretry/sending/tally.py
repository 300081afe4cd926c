"""Whose calls went well, and whose failed: counted by business."""

from collections import Counter
from typing import Final
from uuid import UUID

from smsretry.sending.in_flight import InFlight

IN_A_ROW: Final = 3
"""Failures to reach somebody, or to get an answer, after which it is asked whose trouble they are."""


class Tally:
    """Whose texts went well in this run, and whose have failed since the last that went well."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._failures = Counter[UUID]()
        self.successful = set[UUID]()
        self.failing = set[UUID]()
        self.in_a_row = 0
        """Failures since the last that went well, whosever they were."""

    def succeeded(self, business_id: UUID) -> None:
        self.successful.add(business_id)
        self.failing.clear()
        self.in_a_row = 0
        del self._failures[business_id]

    def failed(self, business_id: UUID) -> None:
        self.failing.add(business_id)
        self.in_a_row += 1
        self.failed_alone(business_id)

    def failed_alone(self, business_id: UUID) -> None:
        """It is known to be the business's own trouble."""
        self._failures[business_id] += 1

    def failures_of(self, business_id: UUID) -> int:
        """How many of its texts have failed in a row."""
        return self._failures[business_id]

    def is_failing(self, business_id: UUID) -> bool:
        """Whether its texts have failed since the last that went well, or several of them in a row."""
        return business_id in self.failing or self._failures[business_id] >= IN_A_ROW

    @property
    def failing_repeatedly(self) -> set[UUID]:
        """Whose texts have failed several times in a row, whatever became of the others'."""
        return {business_id for business_id, count in self._failures.items() if count >= IN_A_ROW}

    @property
    def innocents(self) -> set[UUID]:
        """Whose texts might go, for all that is known."""
        return (self._in_flight.businesses | self.successful) - self.failing
