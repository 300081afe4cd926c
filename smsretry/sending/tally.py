"""Which calls went well, and which failed: counted by group, such as the business."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar
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
K = TypeVar("K", bound=Hashable)


def by_business(claim: Claim) -> UUID:
    """The group of a text: its business."""
    return claim.business_id


class Tally(Generic[K]):
    """The groups whose calls went well in this run, and those whose calls have failed since the last success."""

    def __init__(self, in_flight: InFlight, group: Callable[[Claim], K]) -> None:
        self._in_flight = in_flight
        self.group: Final = group
        """What a text belongs to."""
        self._failures = Counter[K]()
        self.successful = set[K]()
        self.failing = set[K]()
        self.in_a_row = 0
        """Failures of all groups since the last success."""

    def succeeded(self, claim: Claim) -> None:
        group = self.group(claim)
        self.successful.add(group)
        self.failing.clear()
        self.in_a_row = 0
        del self._failures[group]

    def failed(self, claim: Claim) -> None:
        self.failing.add(self.group(claim))
        self.in_a_row += 1
        self.failed_alone(claim)

    def failed_alone(self, claim: Claim) -> None:
        """It is known to be its group's own trouble."""
        self._failures[self.group(claim)] += 1

    def failures_of(self, group: K) -> int:
        """How many of its calls have failed in a row."""
        return self._failures[group]

    def is_failing(self, claim: Claim) -> bool:
        """Whether its group's calls have failed since the last success of anybody, or several of them in a row."""
        group = self.group(claim)
        return group in self.failing or self._failures[group] >= IN_A_ROW

    @property
    def failing_repeatedly(self) -> set[K]:
        """Groups with several failures in a row, whatever became of the others' calls."""
        return {group for group, count in self._failures.items() if count >= IN_A_ROW}

    @property
    def innocents(self) -> set[K]:
        """Groups that have met no trouble, as far as is known."""
        return ({self.group(claim) for claim in self._in_flight.to_send} | self.successful) - self.failing


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
