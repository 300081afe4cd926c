"""Which calls went well, and which failed: counted by business."""

from collections import Counter
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from smsretry.quiet_hours.numbers import destination
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Refusal
from smsretry.sending.in_flight import InFlight

IN_A_ROW: Final = 3
"""Failures in a row, to reach somebody or to get an answer, that raise the question whose trouble it is."""
SEVERAL_BUSINESSES: Final = 2
SEVERAL_RECIPIENTS: Final = 3
"""Businesses and recipients that must be refused before a refusal that may concern one destination is the account's."""


class Tally:
    """The businesses whose calls went well in this run, and those whose calls have failed since the last success."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._failures = Counter[UUID]()
        self.successful = set[UUID]()
        self.failing = set[UUID]()
        self.in_a_row = 0
        """Failures of all businesses since the last success."""

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
        """How many of its calls have failed in a row."""
        return self._failures[business_id]

    def is_failing(self, business_id: UUID) -> bool:
        """Whether its calls have failed since the last success of anybody, or several of them in a row."""
        return business_id in self.failing or self._failures[business_id] >= IN_A_ROW

    @property
    def failing_repeatedly(self) -> set[UUID]:
        """Businesses with several failures in a row, whatever became of the others' calls."""
        return {business_id for business_id, count in self._failures.items() if count >= IN_A_ROW}

    @property
    def innocents(self) -> set[UUID]:
        """Businesses that have met no trouble, as far as is known."""
        return (self._in_flight.businesses | self.successful) - self.failing


class AccountRefusals:
    """Refusals of the account that may concern one destination alone. Together they may prove that it is the account.

    A kind of text is what one business sends to one destination.
    """

    def __init__(self) -> None:
        self._kinds = set[tuple[UUID, str]]()
        self._recipients = set[str]()
        self.last: Refusal | None = None

    def add(self, claim: Claim, refusal: Refusal) -> None:
        self.last = refusal
        self._kinds.add(_kind(claim))
        self._recipients.add(claim.phone or "")

    def include(self, claim: Claim) -> bool:
        """Whether a text of the same kind was refused."""
        return _kind(claim) in self._kinds

    @property
    def kinds(self) -> int:
        """How many kinds were refused."""
        return len(self._kinds)

    @property
    def businesses(self) -> set[UUID]:
        return {business_id for business_id, _ in self._kinds}

    @property
    def have_several_recipients(self) -> bool:
        return len(self._recipients) >= SEVERAL_RECIPIENTS

    def concern_all(self, others: Iterable[Claim]) -> bool:
        """Whether they are too many to be one destination's, and every kind among the others was refused."""
        several = self.have_several_recipients and len(self.businesses) >= SEVERAL_BUSINESSES
        return several and all(map(self.include, others))


def _kind(claim: Claim) -> tuple[UUID, str]:
    return claim.business_id, destination(claim.phone or "")
