"""The circuit breaker of one sender.

While it is closed, texts go out. Trouble counts by business: a business whose texts fail is put off while all others'
go on.
"""

from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.retry.outcome import Refusal
from smsretry.sending.circuit import Circuit
from smsretry.sending.in_flight import InFlight
from smsretry.sending.tally import IN_A_ROW, by_business


class Breaker(Circuit[UUID]):
    """One per sender and run. The flow control holds its lock around every call."""

    def __init__(self, in_flight: InFlight) -> None:
        super().__init__(in_flight, by_business)
        self._rate_limited = set[UUID]()
        self._tried = set[UUID]()
        self._remembered = set[UUID]()

    # Before a send

    def must_wait(self, claim: Claim) -> bool:
        """Whether it may be a later probe, or one of the first. Else it would keep a thread from one that may go."""
        return not self.reason_to_wait(claim) and super().must_wait(claim)

    def reason_to_wait(self, claim: Claim) -> str | None:
        """Why this text must wait while other businesses' go; None: it need not."""
        business_id = claim.business_id
        if self.probes.half_open:
            return None
        if business_id in self.sends.failing_repeatedly:
            return f"Several texts of this business in a row came to nothing ({self.last_failure}), others go out"
        if self._had_trouble(claim) and business_id in self._tried - self.sends.successful:
            return "Texts of this business came to nothing, others go out: one of them is tried each time"
        return None

    def _had_trouble(self, claim: Claim) -> bool:
        """Whether its business's own texts came to nothing before this run, while others' went out.

        What is remembered from an outage is no business's own trouble. It only says which need not be the first probe.
        """
        in_outage = self.probes.was_open or claim.provider_circuit_opened_at is not None
        return claim.business_circuit_opened_at is not None and not in_outage

    def _has_enough_under_way(self, claim: Claim) -> bool:
        """Whether this business, or everybody, has as many sends under way as may be lost before one was answered."""
        business_id = claim.business_id
        may_fail = len(self._under_way[business_id]) + self.sends.failures_of(business_id)
        own = business_id not in self.sends.successful and may_fail >= IN_A_ROW
        return own or super()._has_enough_under_way(claim)

    # A send

    def began(self, claim: Claim) -> None:
        """It is let in."""
        self._tried.add(claim.business_id)
        if claim.business_circuit_opened_at:
            self._remembered.add(claim.business_id)
        super().began(claim)

    def succeeded(self, claim: Claim) -> None:
        """The provider took it, or refused it for its own sake."""
        super().succeeded(claim)
        self._rate_limited.discard(claim.business_id)

    def failed(self, claim: Claim, why: str) -> None:
        """The provider could not be reached, or gave no clear answer."""
        if self._had_trouble(claim):
            self.last_failure = why
            self.sends.failed_alone(claim)
        else:
            super().failed(claim, why)

    def refused(self, claim: Claim, refusal: Refusal) -> None:
        """The account is refused, or a destination that it cannot reach."""
        if refusal.certain:
            self.open(f"The account is refused, not the text: {refusal}. Run `smsretry doctor`")
            return
        self._refusals.add(claim, refusal)
        self.evaluate()

    def is_shared_limit(self, claim: Claim) -> bool:
        """Whether everybody was asked to go slower. The limit may be that of one business's recipients."""
        if self._had_trouble(claim):
            return False
        self._rate_limited.add(claim.business_id)
        return self.nobody_else_is_due and not self.sends.innocents - self._rate_limited

    # Whose trouble it is

    @property
    def cause_is_unknown(self) -> bool:
        """Whether nobody knows yet whose trouble it is. Nothing is claimed until the rows in flight have shown it."""
        return super().cause_is_unknown or (self._refusals.have_several_recipients and not self.sends.successful)

    def evaluate(self) -> None:
        """Open the breaker if innocents' texts have failed, too, or nobody is innocent."""
        super().evaluate()
        if not self.open_because and (refusal := self._refusals.last) and self._account_is_refused():
            self.open(f"No business's texts are taken, wherever they go: {refusal}. Run `smsretry doctor`")

    def _account_is_refused(self) -> bool:
        """One refusal may be a destination's. All of them are the account's, if every kind that is due was tried."""
        nothing_goes = self.nobody_else_is_due and not self.sends.successful
        return nothing_goes and self._refusals.concern_all(self._in_flight.to_send)

    @property
    def to_remember(self) -> set[UUID]:
        """Businesses whose texts came to nothing. The next run tries one of each, after other businesses' texts."""
        if self.open_because:
            return self.sends.failing_repeatedly | self.sends.failing
        failing = {each for each in self._remembered if self.sends.failures_of(each)}
        return self.sends.failing_repeatedly | failing

    @property
    def to_forget(self) -> set[UUID]:
        """Businesses whose texts go out again."""
        return self._remembered & self.sends.successful - self.to_remember
