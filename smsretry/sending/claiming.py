"""What one run claims, what each claim tells the flow control, and how long the run goes on."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final
from uuid import UUID

from smsretry.retry.models import Claim
from smsretry.sending.ports import Claims
from smsretry.sending.probes import probe_rank
from smsretry.sending.senders import Senders

LOOK_SECONDS: Final = 1.0
"""How often rows in doubt are claimed, unless there are more. Other claims may come several times a second."""
FEWEST_SUSPECTS: Final = 50
"""Rows under suspicion that a run takes, one after the other, even when its time is over by then."""
POLL_SECONDS: Final = 1.0
"""How often a run that waits for what comes due looks for what has come meanwhile."""
ATTENTIVE_SECONDS: Final = 0.25
"""The same while it lingers: where a text was due at once, the next one often is."""
BUSY_SECONDS: Final = 5.0
"""How long a run waits at most for a sender that is busy, as long as it has texts of one in flight."""
LONGEST_SECONDS: Final = 600.0
"""How long a run that waits for nothing goes on claiming while it finds something due."""
LINGER_SECONDS: Final = 5.0
"""How long a run that had something to do waits for more, although it knows of nothing that will be due."""


class Claiming:
    """The claims of one run, whose time begins now."""

    def __init__(self, queue: Claims, senders: Senders, *, in_flight: int) -> None:
        """Prepare.

        Args:
            in_flight: the next rows are claimed when this many rows or fewer are in flight.
        """
        self._queue = queue
        self._senders = senders
        self._in_flight = in_flight
        self._started = self._until = self._looks_again_at = monotonic()
        """`_until`: when the run claims no more, by `time.monotonic`."""
        self._seen = set[UUID]()
        """Rows that the run has drained."""
        self._more_is_due = False
        """Whether the last claim took as many as it might."""
        self._claimed_of_all = False
        """Whether every business with a text due had one in the last claim, apart from suspects."""
        self._may_identify_outage = False

    @property
    def nobody_else_is_due(self) -> bool:
        """Whether every business with a text due had one in the last claim, apart from suspects, and none went back."""
        return self._claimed_of_all and not self._senders.run.gave_back

    def claim(self, limit: int) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        doubtful = self._claim_doubtful(limit)  # first: if the second claim fails, recovery brings these back unharmed
        without = self._senders.without
        self._senders.run.gave_back = False  # before the claim: what goes back meanwhile may not be in it
        due = self._queue.claim_due(
            limit, default=self._senders.default, segments_per_second=self._senders.per_second, without=without
        )
        self._more_is_due = len(due) == limit
        self._claimed_of_all = not self._others_wait(due)
        suspects_wait = any(claim.suspects_wait for claim in due)
        nobody_else_is_due = self.nobody_else_is_due and not suspects_wait
        self._senders.claimed([*due, *doubtful], nobody_else_is_due=nobody_else_is_due, without=without)
        self._may_identify_outage = self._senders.run.outage.may_identify_cause(due)
        # Python's sort is stable: while nobody had trouble, each keeps its turn.
        return [*(sorted(due, key=probe_rank) if any(claim.circuit_open for claim in due) else due), *doubtful]

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
        # An empty claim cannot say so. It matters only to what was claimed before it. Also of senders that it left out:
        # a text of theirs that is due is still somebody's who was not tried.
        return bool(self._seen) and self._queue.next_due(default=self._senders.default) == 0

    def drain(
        self, claim: Callable[[int], list[Claim]], first: Sequence[Claim], *, limit: int, size: int, seconds: float
    ) -> Iterator[list[Claim]]:
        """Give `first`, then what `claim` brings, up to `size` rows each time: see `Run.drain`.

        Raises:
            QueueError: the database could not be asked.
        """
        ends = self._senders.run.may_wait_until = self._started + seconds
        self._until = ends if seconds else self._started + LONGEST_SECONDS
        claims, left = list(first), limit
        at_once = True
        while True:
            new = {each.id for each in claims} - self._seen
            self._seen |= new
            if claims:
                yield claims
            left -= sum(each.in_doubt_since is None for each in claims)
            at_once = at_once or bool(new) or self._senders.are_unsettled
            # An empty claim may have met senders that are busy with what is in flight.
            pause = 0.0 if at_once else POLL_SECONDS
            at_once = at_once or (not claims and self._senders.keep_to_a_rate)
            if not (left and self._has_room(idle=not new) and self._comes_due(ends, at_once=at_once, pause=pause)):
                return
            claims, at_once = claim(min(size, left)), False

    def _has_room(self, *, idle: bool) -> bool:
        """Wait until the workers have little left, or nothing while the cause of trouble is unknown.

        Args:
            idle: whether the last claim brought nothing new.
        """
        senders, run = self._senders, self._senders.run
        while not run.stopped_because and monotonic() < self._until:
            if run.in_flight.wait_until(lambda: senders.have_room(self._in_flight, idle=idle)):
                # A claim helps if it may bring a text that shows whose trouble it is, and not only what was given back.
                hopeless = run.cause_is_unknown and run.outage.probes.was_open and not self._may_identify_outage
                # Where a sender has ended, one claim without it tells whether another has anything due.
                over = senders.have_ended and (idle or self.nobody_else_is_due)
                return not (hopeless or over)
        return False

    def _comes_due(self, ends: float, *, at_once: bool, pause: float) -> bool:
        """Wait until something is due; false when nothing will be before `ends`, or nothing may be claimed any more.

        Args:
            at_once: whether what is due may be claimed: the last claim brought new rows, and not given-back ones.
            pause: seconds before the database is asked.
        """
        idle_from = now = monotonic()
        if at_once and self._more_is_due:
            return True
        until = self._until if at_once else ends
        while now < until:
            self._senders.run.wait(pause)
            due_in = self._queue.next_due(default=self._senders.default, without=self._senders.without)
            now = monotonic()
            if self._senders.run.stopped_because or now >= until:
                return False
            if due_in == 0:
                return True
            lingers = bool(self._seen) and now < idle_from + LINGER_SECONDS
            # Its sender is busy for a moment, perhaps with texts of this run: it is due, whether or not the run waits.
            soon = due_in is not None and due_in < (BUSY_SECONDS if self._senders.keep_to_a_rate else POLL_SECONDS)
            if not soon and (now >= ends or (not lingers and (due_in is None or now + due_in >= ends))):
                return False
            look = ATTENTIVE_SECONDS if lingers else POLL_SECONDS
            pause = look if due_in is None else min(look, due_in)
        return False

    def suspects(self) -> Iterator[Claim]:
        """Rows whose claims have died more than once, each claimed when the one before it is done.

        One of them may be what kills its worker, which has nothing else in flight then.

        Raises:
            QueueError: the database could not be asked.
        """
        seen = set[UUID]()
        self._senders.run.claims_one_by_one = True
        while (len(seen) < FEWEST_SUSPECTS or monotonic() < self._until) and not self._senders.stopped_because:
            claims = self._queue.claim_suspect()
            self._senders.claimed(claims, nobody_else_is_due=False)
            yield from claims
            if not claims or claims[0].id in seen:  # it was given back, and would only come again
                return
            seen.add(claims[0].id)
