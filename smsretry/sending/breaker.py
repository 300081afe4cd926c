"""The circuit breaker of one sender: whose trouble is it when sends fail?

While it is closed, texts go out. Trouble counts by business: a business whose texts fail is put off while all others'
go on. When several fail in a row, the breaker is half open: one text goes at a time, the probe, and the others wait to
see what becomes of it. It opens, for everybody, only when texts of innocents (businesses other than the failing ones)
were tried and failed as well.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from smsretry.retry import trouble
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Refusal
from smsretry.sending.in_flight import InFlight
from smsretry.sending.probes import AT_FIRST, Probes
from smsretry.sending.tally import IN_A_ROW, AccountRefusals, Tally

_PROBING: Final = "Sending had stopped: another text goes first, to see whether it works again"


class Breaker:
    """One per sender and run. The flow control holds its lock around every call."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.sends = Tally(in_flight)
        self._refusals = AccountRefusals()
        self.probes = Probes(in_flight, self.sends, self._refusals)
        self.open_because: str | None = None
        """What is wrong with everybody's sends, and what to do about it."""
        self.nobody_else_is_due = True
        """Whether every business with a text due has one among those that were claimed."""
        self.last_failure = ""
        """What became of the last send that came to nothing."""
        self._rate_limited = set[UUID]()
        self._under_way = Counter[UUID]()
        self._tried = set[UUID]()
        self._remembered = set[UUID]()

    # Before a send

    def put_off_for_probe(self, claim: Claim) -> PutOff | None:
        """Where the text waits because another one is the probe; None: it need not wait."""
        if not self.probes.half_open:
            return None
        if not self.probes.is_best(claim):
            # Given back, it would fill the claim that is to bring others.
            return trouble.suspected(claim, _PROBING, "sending_stopped")
        return None if self.probes.has_room(self.under_way) else GiveBack(_PROBING, "sending_stopped")

    def must_wait(self, claim: Claim) -> bool:
        """Whether it may be a later probe, or one of the first. Else it would keep a thread from one that may go."""
        if self.reason_to_wait(claim):
            return False
        if not self.probes.half_open:
            return self._has_enough_under_way(claim.business_id)
        if self.probes.is_best(claim):
            return not self.probes.has_room(self.under_way)
        # When the breaker was open, texts that go first were claimed first, and have threads of their own.
        return self.probes.was_open and not self.sends.is_failing(claim.business_id)

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
        return claim.business_circuit_opened_at is not None and not self.probes.was_open

    def may_identify_cause(self, claims: Iterable[Claim]) -> bool:
        """Whether one of them may tell whose trouble it is."""
        return any(
            claim.business_id not in self.sends.failing and not self._refusals.include(claim) for claim in claims
        )

    def _has_enough_under_way(self, business_id: UUID) -> bool:
        """Whether this business, or everybody, has as many sends under way as may be lost before one was answered."""
        may_fail = self._under_way[business_id] + self.sends.failures_of(business_id)
        own = business_id not in self.sends.successful and may_fail >= IN_A_ROW
        return own or (not self.sends.successful and self.under_way >= AT_FIRST)

    @property
    def under_way(self) -> int:
        """Sends that were let in and have not been answered."""
        return self._under_way.total()

    # A send

    def began(self, claim: Claim) -> None:
        """It is let in."""
        self._under_way[claim.business_id] += 1
        self._tried.add(claim.business_id)
        if claim.business_circuit_opened_at:
            self._remembered.add(claim.business_id)
        self.probes.began(claim)

    def ended(self, claim: Claim) -> None:
        """It was answered, or did not begin."""
        self._under_way[claim.business_id] = max(self._under_way[claim.business_id] - 1, 0)

    def succeeded(self, claim: Claim) -> None:
        """The provider took it, or refused it for its own sake."""
        self.sends.succeeded(claim.business_id)
        self._rate_limited.discard(claim.business_id)
        self.probes.half_open = False

    def failed(self, claim: Claim, why: str) -> None:
        """The provider could not be reached, or gave no clear answer."""
        self.last_failure = why
        if self._had_trouble(claim):
            self.sends.failed_alone(claim.business_id)
            return
        self.sends.failed(claim.business_id)
        if self.probes.half_open:
            self.probes.failed(claim)
        elif self.sends.in_a_row >= IN_A_ROW:
            self.probes.start()
        self.evaluate()

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
        return self.probes.half_open or (self._refusals.have_several_recipients and not self.sends.successful)

    def evaluate(self) -> None:
        """Open the breaker if innocents' texts have failed, too, or nobody is innocent."""
        nobody_is_innocent = self.nobody_else_is_due and not self.sends.innocents
        if self.probes.half_open and self.sends.failing and (self.probes.all_failed or nobody_is_innocent):
            self.open(
                f"Sending does not work: {self.last_failure}. The provider's status page and the network tell more"
            )
        elif (refusal := self._refusals.last) and self._account_is_refused():
            self.open(f"No business's texts are taken, wherever they go: {refusal}. Run `smsretry doctor`")

    def _account_is_refused(self) -> bool:
        """One refusal may be a destination's. All of them are the account's, if every kind that is due was tried."""
        nothing_goes = self.nobody_else_is_due and not self.sends.successful
        return nothing_goes and self._refusals.concern_all(self._in_flight.to_send)

    def open(self, why: str) -> None:
        """Remember that every send fails. The first reason stays."""
        self.open_because = self.open_because or why

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
