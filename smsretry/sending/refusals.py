"""Refusals of the account that may concern one destination alone. Together they may prove that it is the account."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from smsretry.quiet_hours.numbers import destination
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Refusal

SEVERAL_BUSINESSES: Final = 2
SEVERAL_RECIPIENTS: Final = 3
"""To whom texts must be refused at least before a refusal that may concern one destination is the account's."""


class AccountRefusals:
    """Of one run. A kind of text is what one business sends to one destination."""

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
        """Whose texts were refused."""
        return {business_id for business_id, _ in self._kinds}

    @property
    def have_several_recipients(self) -> bool:
        return len(self._recipients) >= SEVERAL_RECIPIENTS

    def concern_all(self, others: Iterable[Claim]) -> bool:
        """Whether they are too many to be a destination's, and no kind among the others is still untried."""
        several = self.have_several_recipients and len(self.businesses) >= SEVERAL_BUSINESSES
        return several and all(self.include(claim) for claim in others)


def _kind(claim: Claim) -> tuple[UUID, str]:
    return claim.business_id, destination(claim.phone or "")
