"""The probes of a half-open breaker: which text goes while the others wait, and how many may fail."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Generic
from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.sending.in_flight import InFlight
from smsretry.sending.tally import AccountRefusals, K, Tally

PROBES: Final = 3
"""Texts of innocents that must fail, one after the other, before the trouble is everybody's."""
NEWLY_OPENED: Final = timedelta(minutes=10)
"""For this long after a breaker was opened, a run tries that many; then one, because each may cost a text in doubt."""
AT_FIRST: Final = 10
"""Sends under way at once before the first was answered: an outage costs no more than these and the probes."""


def probe_rank(claim: Claim) -> tuple[bool, float, bool]:
    """The order in which texts are tried after trouble.

    Senders that had none go first, then businesses that had none, then who was tried longest ago.
    """
    tried_at = claim.business_circuit_tried_at
    return claim.circuit_opened_at is not None, tried_at.timestamp() if tried_at else 0, claim.account_refusal_count > 0


class Probes(Generic[K]):
    """The probes of one breaker."""

    def __init__(
        self,
        in_flight: InFlight,
        sends: Tally[K],
        refusals: AccountRefusals,
        comes_last: Callable[[Claim], bool] = lambda _: False,
    ) -> None:
        """`comes_last`: whether a text is tried only when there is no other."""
        self._in_flight = in_flight
        self._sends = sends
        self._refusals = refusals
        self._comes_last = comes_last
        self.half_open = False
        """Whether one text goes at a time, and the others wait for what becomes of it."""
        self.was_open = False
        """Whether the breaker was open before this run."""
        self._begun = set[UUID]()
        self._left = PROBES

    def start(self, *, open_for: timedelta | None = None) -> None:
        """Let one text go at a time from now on.

        Args:
            open_for: how long the breaker has been open.
        """
        self.half_open = True
        self._left = 1 if open_for and open_for >= NEWLY_OPENED else PROBES

    def began(self, claim: Claim) -> None:
        if self.half_open:
            self._begun.add(claim.id)

    def failed(self, claim: Claim) -> None:
        self._left -= claim.id in self._begun

    @property
    def all_failed(self) -> bool:
        return self._left <= 0

    def has_room(self, under_way: int) -> bool:
        """Whether another may go. Refused probes cost nothing, so each refused kind lets one more go at once."""
        return under_way < min(1 + self._refusals.kinds, AT_FIRST)

    def is_best(self, claim: Claim) -> bool:
        """Whether it may be the probe: none of those in flight is a better one."""
        if self._sends.is_failing(claim):
            return False
        others = (one for one in self._in_flight.to_send if not self._sends.is_failing(one))
        return all(self._rank(claim) <= self._rank(one) for one in others)

    def _rank(self, claim: Claim) -> tuple[bool, bool, tuple[bool, float, bool]]:
        refused_now = not self.was_open and claim.business_id in self._refusals.businesses
        return self._comes_last(claim), refused_now, probe_rank(claim)
