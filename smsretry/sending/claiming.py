"""Where the rows of one run come from, and what each claim tells the flow control."""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final
from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Claims
from smsretry.sending.probes import probe_rank
from smsretry.sending.rate_limit import RateLimit

LOOK_SECONDS: Final = 1.0
"""How often rows in doubt are claimed, unless there are more: in a drain, claims come several times a second."""
FEWEST_SUSPECTS: Final = 50
"""Rows under suspicion that a run takes, one after the other, even when its time is over by then."""


class Claiming:
    """The claims of one run."""

    def __init__(self, queue: Claims, flow_control: FlowControl, rate_limit: RateLimit) -> None:
        self._queue = queue
        self._flow_control = flow_control
        self._rate_limit = rate_limit
        self._looks_again_at = monotonic()
        self._any = False
        """Whether a row was claimed in this run."""
        self.circuit_was_open = False
        """Whether sending had stopped before this run, so that one text goes first."""
        self.more_is_due = False
        """Whether the last claim took as many as it might."""
        self.nobody_else_is_due = False
        """Whether everybody who has a text due had one in the last claim, but for suspects."""
        self._may_identify_cause = False

    def claim(self, limit: int) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        doubtful = self._claim_doubtful(limit)  # first: if the second claim fails, recovery brings these back unharmed
        due = self._queue.claim_due(limit)
        self.more_is_due = len(due) == limit
        self._rate_limit.expect((claim.id, claim.body or "") for claim in due)
        self.nobody_else_is_due = not self._others_wait(due)
        suspects_wait = any(claim.suspects_wait for claim in due)
        self._take([*due, *doubtful], nobody_else_is_due=self.nobody_else_is_due and not suspects_wait)
        self._may_identify_cause = self._flow_control.breaker.may_identify_cause(due)
        return [*(sorted(due, key=probe_rank) if self.circuit_was_open else due), *doubtful]

    def _claim_doubtful(self, limit: int) -> list[Claim]:
        if monotonic() < self._looks_again_at:
            return []
        found = self._queue.claim_doubtful(limit)
        self._looks_again_at = monotonic() + (LOOK_SECONDS if len(found) < limit else 0)
        return found

    def _others_wait(self, due: Sequence[Claim]) -> bool:
        """Whether the claim was cut short, so that a business has a text due and none in it."""
        if due:
            return any(claim.others_wait for claim in due)
        # An empty claim cannot say so. It matters only to what was claimed before it.
        return self._any and self._queue.next_due() == 0

    def _take(self, claims: Sequence[Claim], *, nobody_else_is_due: bool) -> None:
        self._any = self._any or bool(claims)
        self._flow_control.claimed(claims, nobody_else_is_due=nobody_else_is_due)
        opened = next((claim for claim in claims if claim.circuit_open), None)
        if opened and not self.circuit_was_open:
            self.circuit_was_open = True
            self._flow_control.start_half_open(opened)

    @property
    def may_find_others(self) -> bool:
        """Whether a claim may bring a text that tells whose the trouble is, and not only what was given back."""
        return not self.circuit_was_open or self._may_identify_cause

    def suspects(self, until: float) -> Iterator[Claim]:
        """Rows whose claims have died more than once, each claimed when the one before it is done.

        One of them may be what kills its worker. Nothing else is in that worker's hands then.

        Args:
            until: by `time.monotonic`, when the run's time is over.

        Raises:
            QueueError: the database could not be asked.
        """
        seen = set[UUID]()
        while (len(seen) < FEWEST_SUSPECTS or monotonic() < until) and not self._flow_control.stopped_because:
            claims = self._queue.claim_suspect()
            self._take(claims, nobody_else_is_due=False)
            yield from claims
            if not claims or claims[0].id in seen:  # it was given back, and would only come again
                return
            seen.add(claims[0].id)
