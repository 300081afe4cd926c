"""The circuit breaker of one sender: whose trouble is it, when sends fail?

Trouble counts by business. One whose texts fail is put off while everybody else's go on. It is everybody's trouble only
when texts of innocents, of other businesses than the failing ones, were tried and failed as well.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from smsretry.quiet_hours.numbers import destination
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Refusal
from smsretry.sending.in_flight import InFlight

IN_A_ROW: Final = 3
"""Failures to reach the provider, or to get an answer from it, after which it is asked whose trouble they are."""
PROBES: Final = 3
"""Innocents whose texts must fail, one after the other, before it is everybody's trouble."""
AT_FIRST: Final = 10
"""Sends under way at once before the first was answered: an outage costs no more than these and the probes."""
NEWLY_OPENED: Final = timedelta(minutes=10)
"""So long after a circuit was opened a run tries that many; then one, for each may cost a text in doubt."""
SEVERAL_BUSINESSES: Final = 2
SEVERAL_RECIPIENTS: Final = 3
"""To whom texts must be refused at least before a refusal that may concern one destination is the account's."""


class Tally:
    """Whose texts went well in this run, and whose have failed since the last that went well."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._own = Counter[UUID]()
        self.well = set[UUID]()
        self.failing = set[UUID]()
        self.in_a_row = 0

    def goes_well(self, business_id: UUID) -> None:
        self.well.add(business_id)
        self.failing.clear()
        self.in_a_row = 0
        del self._own[business_id]

    def fails(self, business_id: UUID) -> None:
        self.failing.add(business_id)
        self.in_a_row += 1
        self.fails_by_itself(business_id)

    def fails_by_itself(self, business_id: UUID) -> None:
        """It is known to be the business's own trouble."""
        self._own[business_id] += 1

    def own(self, business_id: UUID) -> int:
        """How many of its texts have failed in a row."""
        return self._own[business_id]

    @property
    def suspects(self) -> set[UUID]:
        """Whose texts have failed several times in a row, whatever became of the others'."""
        return {business_id for business_id, count in self._own.items() if count >= IN_A_ROW}

    @property
    def innocents(self) -> set[UUID]:
        """Whose texts might go, for all that is known."""
        return (self._in_flight.businesses | self.well) - self.failing


class Breaker:
    """One per sender and run. The flow_control holds its lock around every call."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.sends = Tally(in_flight)
        self.probing = False
        """Whether one text goes at a time, and the others wait for what becomes of it."""
        self.circuit: str | None = None
        """What is wrong with everybody's sends, and what to do about it."""
        self.everybody = True
        """Whether all who have a text due have one among those that were claimed."""
        self.why = ""
        """What became of the last send that came to nothing."""
        self._probes = set[UUID]()
        self._probes_left = PROBES
        self.was_open = False
        """Whether the circuit was open before this run."""
        self._refused = set[tuple[UUID, str]]()
        self._recipients = set[str]()
        self._refusal: Refusal | None = None
        self._limited = set[UUID]()
        self._under_way = Counter[UUID]()
        self._tried = set[UUID]()
        self._remembered = set[UUID]()

    def begin_probing(self, opened_for: timedelta | None) -> None:
        """The circuit was open before this run, for so long."""
        self.probing = self.was_open = True
        self._probes_left = 1 if opened_for and opened_for >= NEWLY_OPENED else PROBES

    def puts_off(self, claim: Claim) -> str | None:
        """Why this text must wait while other businesses' go; None: it need not."""
        business_id = claim.business_id
        if self.probing:
            return None
        if business_id in self.sends.suspects:
            return f"Several texts of this business in a row came to nothing ({self.why}), others go out"
        if self._had_trouble(claim) and business_id in self._tried - self.sends.well:
            return "Texts of this business came to nothing, others go out: one of them is tried each time"
        return None

    def comes_to_nothing(self, business_id: UUID) -> bool:
        """Whether its texts have failed since the last that went well, or several of them in a row."""
        return business_id in self.sends.failing or self.sends.own(business_id) >= IN_A_ROW

    def is_fit(self, claim: Claim) -> bool:
        """Whether it may be the probe: none of those in flight is a better one."""
        if self.comes_to_nothing(claim.business_id):
            return False
        others = (one for one in self._in_flight.to_send if not self.comes_to_nothing(one.business_id))
        return all(self._rank(claim) <= self._rank(one) for one in others)

    def _rank(self, claim: Claim) -> tuple[bool, float, bool]:
        """What has met no trouble goes first; then, of those who have, who was tried longest ago."""
        refused_now = not self.was_open and claim.business_id in {business_id for business_id, _ in self._refused}
        return refused_now, *rank(claim)

    def _had_trouble(self, claim: Claim) -> bool:
        """Whether its business's own texts came to nothing before this run, while others' went out.

        What is remembered from an outage is no business's own trouble. It says only who need not be the first probe.
        """
        return claim.business_circuit_opened_at is not None and not self.was_open

    def may_tell(self, claims: Iterable[Claim]) -> bool:
        """Whether there is one among them that may tell whose the trouble is."""
        return any(
            claim.business_id not in self.sends.failing and _kind(claim) not in self._refused for claim in claims
        )

    def has_enough_under_way(self, business_id: UUID) -> bool:
        """Whether this business, or everybody, has as many sends under way as may be lost before one was answered."""
        may_fail = self._under_way[business_id] + self.sends.own(business_id)
        own = business_id not in self.sends.well and may_fail >= IN_A_ROW
        return own or (not self.sends.well and self._under_way.total() >= AT_FIRST)

    @property
    def under_way(self) -> int:
        """Sends that were let in and have not been answered."""
        return self._under_way.total()

    @property
    def may_probe(self) -> bool:
        """Whether another probe may go. The more were refused, which costs nothing, the more go at once."""
        return self.under_way < min(1 + len(self._refused), AT_FIRST)

    def ends(self, claim: Claim) -> None:
        """It was answered, or did not begin."""
        self._under_way[claim.business_id] = max(self._under_way[claim.business_id] - 1, 0)

    def begins(self, claim: Claim) -> None:
        """It is let in."""
        self._under_way[claim.business_id] += 1
        self._tried.add(claim.business_id)
        if claim.business_circuit_opened_at:
            self._remembered.add(claim.business_id)
        if self.probing:
            self._probes.add(claim.id)

    def works(self, claim: Claim) -> None:
        """The provider took it, or refused it for its own sake."""
        self.sends.goes_well(claim.business_id)
        self._limited.discard(claim.business_id)
        self.probing = False

    def fails(self, claim: Claim, why: str) -> None:
        """The provider could not be reached, or gave no clear answer."""
        self.why = why
        if self._had_trouble(claim):
            self.sends.fails_by_itself(claim.business_id)
            return
        self.sends.fails(claim.business_id)
        if self.probing:
            self._probes_left -= claim.id in self._probes
        elif self.sends.in_a_row >= IN_A_ROW:
            self.probing, self._probes_left = True, PROBES
        self.judge()

    def refuses(self, claim: Claim, refusal: Refusal) -> None:
        """The account is refused, or a destination that it cannot reach."""
        if refusal.certain:
            self.open(f"The account is refused, not the text: {refusal}. Run `smsretry doctor`")
            return
        self._refusal = refusal
        self._refused.add(_kind(claim))
        self._recipients.add(claim.phone or "")
        self.judge()

    def is_everybodys_limit(self, claim: Claim) -> bool:
        """Whether everybody was asked to go slower. One business's recipients may have limits of their own."""
        if self._had_trouble(claim):
            return False
        self._limited.add(claim.business_id)
        return self.everybody and not self.sends.innocents - self._limited

    @property
    def to_remember(self) -> set[UUID]:
        """Whose texts came to nothing: the next run tries one of each, and another business's first."""
        if self.circuit:
            return self.sends.suspects | self.sends.failing
        return self.sends.suspects | {each for each in self._remembered if self.sends.own(each)}

    @property
    def to_forget(self) -> set[UUID]:
        """Whose texts go out again."""
        return self._remembered & self.sends.well - self.to_remember

    @property
    def is_unsure(self) -> bool:
        """Whether it is open whose the trouble is: nothing is claimed then before the rows in flight have told."""
        return self.probing or (len(self._recipients) >= SEVERAL_RECIPIENTS and not self.sends.well)

    def judge(self) -> None:
        """Open the circuit if innocents' texts have failed, too, or nobody is innocent."""
        if self.probing and self.sends.failing and (self._probes_left <= 0 or self._nobody_else()):
            self.open(f"Sending does not work: {self.why}. The provider's status page and the network tell more")
        elif self._refusal and self._proves_the_account():
            self.open(f"No business's texts are taken, wherever they go: {self._refusal}. Run `smsretry doctor`")

    def _nobody_else(self) -> bool:
        return self.everybody and not self.sends.innocents

    def _proves_the_account(self) -> bool:
        """One refusal may be a destination's: all of them are the account's, if every kind that is due was tried."""
        return (
            self.everybody
            and not self.sends.well
            and len({business_id for business_id, _ in self._refused}) >= SEVERAL_BUSINESSES
            and len(self._recipients) >= SEVERAL_RECIPIENTS
            and all(_kind(claim) in self._refused for claim in self._in_flight.to_send)
        )

    def open(self, why: str) -> None:
        """Whoever's text is sent, it fails."""
        self.circuit = self.circuit or why


def _kind(claim: Claim) -> tuple[UUID, str]:
    return claim.business_id, destination(claim.phone or "")


def rank(claim: Claim) -> tuple[float, bool]:
    """Whose text is tried first when the circuit is open: what has met no trouble; then what was tried longest ago."""
    tried_at = claim.business_circuit_tried_at
    return tried_at.timestamp() if tried_at else 0.0, claim.account_refusal_count > 0
