"""When the database cannot be asked whether a text may go: is it that business's rows, or the database?"""

from smsretry.retry import trouble
from smsretry.retry.decision import PutOff
from smsretry.retry.models import Claim
from smsretry.sending.in_flight import InFlight
from smsretry.sending.tally import IN_A_ROW, Tally


class DatabaseTrouble:
    """Of one run. The flow control holds its lock around every call."""

    def __init__(self, in_flight: InFlight) -> None:
        self._calls = Tally(in_flight)
        self.why: str | None = None
        """Why it cannot be asked: what was first said."""

    def met(self, claim: Claim, why: str) -> None:
        self.why = self.why or why
        self._calls.failed(claim.business_id)

    def over(self, claim: Claim) -> None:
        """It could be asked about this text: what failed before was a row's own trouble, or has passed."""
        self._calls.succeeded(claim.business_id)

    def put_off(self, claim: Claim) -> PutOff | None:
        """Where a text waits about whose business it could not be asked several times in a row."""
        if claim.business_id in self._calls.failing_repeatedly:
            return trouble.unasked(claim.claimed_at, self.why or "")
        return None

    @property
    def cause_is_unknown(self) -> bool:
        """Whether the rows in flight must tell whose trouble it is, before others are claimed."""
        return self._calls.in_a_row >= IN_A_ROW

    def is_everybodys(self, *, nobody_else_is_due: bool) -> bool:
        """Whether it could be asked about no business of all that have a text due."""
        return bool(self._calls.failing) and nobody_else_is_due and not self._calls.innocents
