"""Whose trouble is it when sends fail? What the breaker of a sender and that of the provider have in common.

Trouble counts by group: by business for one sender, by sender for the provider. When several sends fail in a row, the
circuit is half open: one text goes at a time, the probe, and the others wait to see what becomes of it. It opens only
when texts of innocents (groups other than the failing ones) were tried and failed as well, or nobody is innocent.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Generic
from uuid import UUID

from smsretry.retry import before
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.sending.in_flight import InFlight
from smsretry.sending.probes import AT_FIRST, Probes
from smsretry.sending.tally import IN_A_ROW, AccountRefusals, K, Tally

PROBING: Final = "Sending had stopped: another text goes first, to see whether it works again"


class Circuit(Generic[K]):
    """One per run and sender, and one for the provider. The flow control holds its lock around every call."""

    def __init__(
        self, in_flight: InFlight, group: Callable[[Claim], K], comes_last: Callable[[Claim], bool] = lambda _: False
    ) -> None:
        self._in_flight = in_flight
        self.sends: Final = Tally(in_flight, group)
        self._refusals = AccountRefusals()
        self.probes: Final = Probes(in_flight, self.sends, self._refusals, comes_last)
        self.open_because: str | None = None
        """What is wrong with everybody's sends, and what to do about it."""
        self.nobody_else_is_due = True
        """Whether every group with a text due has one among those that were claimed."""
        self.last_failure = ""
        """What became of the last send that came to nothing."""
        self._under_way = defaultdict[K, set[UUID]](set)

    # Before a send

    def put_off_for_probe(self, claim: Claim) -> PutOff | None:
        """Where the text waits because another one is the probe; None: it need not wait."""
        if not self.probes.half_open:
            return None
        if not self.probes.is_best(claim):
            # Given back, it would fill the claim that is to bring others.
            return before.suspected(claim, PROBING, "sending_stopped")
        return None if self.probes.has_room(self.under_way) else GiveBack(PROBING, "sending_stopped")

    def must_wait(self, claim: Claim) -> bool:
        """Whether it may be a later probe, or one of the first. Else it would keep a thread from one that may go."""
        if not self.probes.half_open:
            return self._has_enough_under_way(claim)
        if self.probes.is_best(claim):
            return not self.probes.has_room(self.under_way)
        # When the breaker was open, texts that go first were claimed first, and have threads of their own.
        return self.probes.was_open and not self.sends.is_failing(claim)

    def _has_enough_under_way(self, claim: Claim) -> bool:  # noqa: ARG002 - the breakers go by it
        """Whether as many sends are under way as may be lost before one was answered."""
        return self._all_have_enough

    @property
    def _all_have_enough(self) -> bool:
        return not self.sends.successful and self.under_way >= AT_FIRST

    def may_identify_cause(self, claims: Iterable[Claim]) -> bool:
        """Whether one of them may tell whose trouble it is."""
        return any(
            self.sends.group(claim) not in self.sends.failing and not self._refusals.include(claim) for claim in claims
        )

    @property
    def under_way(self) -> int:
        """Sends that were let in and have not been answered."""
        return sum(map(len, self._under_way.values()))

    # A send

    def began(self, claim: Claim) -> None:
        """It is let in."""
        self._under_way[self.sends.group(claim)].add(claim.id)
        self.probes.began(claim)

    def ended(self, claim: Claim) -> None:
        """It was answered, did not begin, or was never let in."""
        self._under_way[self.sends.group(claim)].discard(claim.id)

    def succeeded(self, claim: Claim) -> None:
        """The provider took it, or refused it for its own sake."""
        self.sends.succeeded(claim)
        self.probes.half_open = False

    def failed(self, claim: Claim, why: str) -> None:
        """The provider could not be reached, or gave no clear answer."""
        self.last_failure = why
        self.sends.failed(claim)
        if self.probes.half_open:
            self.probes.failed(claim)
        elif self._have_several_failed:
            self.probes.start()
        self.evaluate()

    @property
    def _have_several_failed(self) -> bool:
        return self.sends.in_a_row >= IN_A_ROW

    # Whose trouble it is

    @property
    def cause_is_unknown(self) -> bool:
        """Whether nobody knows yet whose trouble it is. Nothing is claimed until the rows in flight have shown it."""
        return self.probes.half_open

    @property
    def _nobody_is_innocent(self) -> bool:
        return self.nobody_else_is_due and not self.sends.innocents

    @property
    def _is_everybodys(self) -> bool:
        return self.probes.all_failed or self._nobody_is_innocent

    def evaluate(self) -> None:
        """Open the breaker if innocents' texts have failed, too, or nobody is innocent."""
        if self.probes.half_open and self.sends.failing and self._is_everybodys:
            self.open(
                f"Sending does not work: {self.last_failure}. The provider's status page and the network tell more"
            )

    def open(self, why: str) -> None:
        """Remember that every send fails. The first reason stays."""
        self.open_because = self.open_because or why
