"""One run: recover, then claim and process until nothing is due and nothing will be in the run's time, then report.

The flow makes Prefect tasks of the steps; `run_once` calls the same steps bare.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

from smsretry.errors import QueueError
from smsretry.retry.models import Claim, InterruptedRun, ItemResult, Recovered
from smsretry.retry.profile import STALE_MINUTES
from smsretry.sending.breaker import rank
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from smsretry.sending.rate_limit import RateLimit
from smsretry.sending.summary import RunSummary

CLAIM_SIZE: Final = 50
"""Due rows that one claim takes, and as many in doubt."""
POLL_SECONDS: Final = 1.0
"""How often a run that waits for what comes due looks for what has come meanwhile."""
LONGEST_SECONDS: Final = 600.0
"""How long a run claims that waits for nothing and still finds something due."""
LINGER_SECONDS: Final = 5.0
"""How long a run that had something to do waits for more, although it knows of nothing that will be due."""

FEWEST_SUSPECTS: Final = 50
"""Rows under suspicion that a run takes, one after the other, even when its time is over by then."""


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """A row whose processing raised. The other rows went on."""

    retry_id: UUID
    why: str


class Run:
    """One run over the queue, with the flow control that its rows share."""

    def __init__(self, services: Services, run_id: UUID | None = None) -> None:
        self._services = services
        self.concurrency: Final = services.concurrency
        self.id: Final = run_id or uuid4()
        """Kept with each of its attempts. In Prefect: the flow run's."""
        self.interrupted: list[InterruptedRun] = []
        """Earlier runs that fell silent, and were not told of before."""
        self._started = monotonic()
        self._claimed = set[UUID]()
        self._looks_again_at = self._until = self._started
        self._more_is_due = False
        self._ended_because: str | None = None
        self.recovered: list[Recovered] = []
        self.circuit_was_open = False
        """Whether sending had stopped before this run, so that one text went first."""
        self._rate_limit = RateLimit(
            partial(services.queue.lease, services.sender.sent_by), services.profile.segments_per_second
        )
        self.claim_size: Final = self._rate_limit.most_in_flight(CLAIM_SIZE)
        """Due rows that one claim takes at most."""
        self.flow_control = FlowControl(self._rate_limit)
        self._may_tell = False
        """Whether the last claim brought a text that may tell whose the trouble is."""
        self._complete = False
        """Whether everybody who has a text due had one in the last claim, but for suspects."""

    def recover(self, stale_minutes: int) -> list[Recovered]:
        """Begin the run, and take back the rows whose worker has been silent for `stale_minutes`."""
        self.interrupted = self._services.queue.start_run(self.id, stale_minutes)
        self.recovered = self._services.queue.recover(stale_minutes)
        return self.recovered

    def claim(self, limit: int = CLAIM_SIZE) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        doubtful = self._claim_doubtful(limit)  # first: if the second claim fails, recovery brings these back unharmed
        due = self._services.queue.claim_due(limit)
        self._more_is_due = len(due) == limit
        self._rate_limit.expect((claim.id, claim.body or "") for claim in due)
        businesses = {claim.business_id for claim in due}
        # Claims go round: whoever has a second text in one has let everybody have a first.
        self._complete = len(due) < limit or len(businesses) < len(due)
        suspects_wait = any(claim.suspects_wait for claim in due)
        self.flow_control.take([*due, *doubtful], everybody=self._complete and not suspects_wait)
        self._may_tell = self.flow_control.breaker.may_tell(due)
        self._notice_circuit([*due, *doubtful])
        return [*(sorted(due, key=rank) if self.circuit_was_open else due), *doubtful]

    def _notice_circuit(self, claims: Sequence[Claim]) -> None:
        opened = next((claim for claim in claims if claim.circuit_open), None)
        if opened and not self.circuit_was_open:
            self.circuit_was_open = True
            self.flow_control.probe(opened)

    def _claim_doubtful(self, limit: int) -> list[Claim]:
        """At most once a second, unless there are more: in a drain, claims come several times a second."""
        if monotonic() < self._looks_again_at:
            return []
        found = self._services.queue.claim_doubtful(limit)
        self._looks_again_at = monotonic() + (POLL_SECONDS if len(found) < limit else 0)
        return found

    def drain(self, first: Sequence[Claim], *, limit: int, seconds: float) -> Iterator[list[Claim]]:
        """Claims to process: `first`, then, as workers get free, what is due and what comes due in the run's time.

        The caller has them processed meanwhile; `process` tells when one is done.

        Args:
            limit: how many due rows the run takes at most.
            seconds: the run's time, from its start on. 0: it takes what is due, and waits for nothing.
        """
        ends = self.flow_control.patient_until = self._started + seconds
        until = self._until = ends if seconds else self._started + LONGEST_SECONDS
        claims, left = list(first), limit
        at_once = True
        while True:
            new = {claim.id for claim in claims} - self._claimed
            self._claimed |= new
            if claims:
                yield claims
            left -= sum(claim.in_doubt_since is None for claim in claims)
            try:
                if not (left and self._has_room(until) and self._comes_due(ends, until, at_once=at_once or bool(new))):
                    return
                claims, at_once = self.claim(min(self.claim_size, left)), False
            except QueueError as error:  # what is in flight is seen to; the next run asks again
                self._ended_because = str(error)
                return

    def _has_room(self, until: float) -> bool:
        """Wait until the workers have little left; none, while it is open whose the trouble is."""
        while not self.flow_control.shut_because and monotonic() < until:
            at_most = 0 if self.flow_control.is_unsure else self._rate_limit.most_in_flight(self.concurrency)
            if self.flow_control.in_flight.wait(at_most=at_most):
                return not self.flow_control.is_unsure or self._may_find_others
        return False

    @property
    def _may_find_others(self) -> bool:
        """Whether a claim may bring a text that tells whose the trouble is, and not only what was given back."""
        return not self.circuit_was_open or self._may_tell

    def _comes_due(self, ends: float, until: float, *, at_once: bool) -> bool:
        """Wait until something is due; false when nothing will be before `ends`, or nothing may be claimed any more.

        Args:
            at_once: whether it may be claimed at once: what was claimed last was new, and not given back to come again.
        """
        idle_from = now = monotonic()
        if at_once and self._more_is_due:
            return True
        until, pause = (until, 0.0) if at_once else (ends, POLL_SECONDS)
        while now < until:
            self.flow_control.wait(pause)
            due_in, now = self._services.queue.next_due(), monotonic()
            if self.flow_control.shut_because or now >= until:
                return False
            if due_in == 0:
                return True
            lingers = bool(self._claimed) and now < idle_from + LINGER_SECONDS
            if now >= ends or (not lingers and (due_in is None or now + due_in >= ends)):
                return False
            pause = POLL_SECONDS if due_in is None else min(POLL_SECONDS, due_in)
        return False

    def suspects(self) -> Iterator[Claim]:
        """Rows whose claims have died more than once, each claimed when the one before it is done.

        One of them may be what kills its worker. Nothing else is in that worker's hands then.
        """
        seen = set[UUID]()
        while (len(seen) < FEWEST_SUSPECTS or monotonic() < self._until) and not self.flow_control.shut_because:
            try:
                claims = self._services.queue.claim_suspect()
            except QueueError as error:  # as in `drain`
                self._ended_because = self._ended_because or str(error)
                return
            self.flow_control.take(claims, everybody=False)
            self._notice_circuit(claims)
            yield from claims
            if not claims or claims[0].id in seen:  # it was given back, and would only come again
                return
            seen.add(claims[0].id)

    def process(self, claim: Claim) -> ItemResult:
        """See one row to its next state."""
        queue, sender, profile = self._services.queue, self._services.sender, self._services.profile
        try:
            return process_sms_retry_item(
                claim, queue=queue, sender=sender, flow_control=self.flow_control, profile=profile, run_id=self.id
            )
        finally:
            self._rate_limit.forget(claim.id)
            self.flow_control.done(claim)

    @property
    def circuit_closed(self) -> bool:
        """Whether this run found that sending works again."""
        return self.circuit_was_open and self.flow_control.healthy and not self.flow_control.circuit

    def report(self, items: Sequence[ItemResult | ItemFailed]) -> RunSummary:
        """Remember for the next run whether sending works, and add up this one."""
        self.flow_control.take([], everybody=self._complete)  # the suspects have had their turn, too
        self._remember()
        results = [item for item in items if isinstance(item, ItemResult)]
        summary = RunSummary.of(
            recovered=self.recovered,
            results=results,
            errors=len(items) - len(results),
            duration_seconds=monotonic() - self._started,
            stopped_because=self.flow_control.shut_because or self._ended_because,
            circuit_open=self.flow_control.circuit is not None,
            database_broken=self.flow_control.broken is not None,
        )
        self._services.queue.finish_run(self.id, str(summary), needs_somebody=summary.needs_somebody)
        return summary

    def _remember(self) -> None:
        set_circuit = partial(self._services.queue.set_circuit, sender=self._services.sender.sent_by)
        breaker = self.flow_control.breaker
        if breaker.circuit:
            set_circuit(breaker.circuit)
        elif self.circuit_closed:
            set_circuit(None)
        if breaker.to_remember:
            set_circuit(breaker.why, businesses=breaker.to_remember)
        if breaker.to_forget:
            set_circuit(None, businesses=breaker.to_forget)


def run_once(
    run: Run, *, limit: int = CLAIM_SIZE, seconds: float = 0, stale_minutes: int = STALE_MINUTES
) -> tuple[list[ItemResult | ItemFailed], RunSummary]:
    """Make a whole run without Prefect: what each row came to, and the numbers. `limit` and `seconds`: see `drain`."""
    run.recover(stale_minutes)

    def process(claim: Claim) -> ItemResult | ItemFailed:
        try:
            return run.process(claim)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemFailed(claim.id, str(error))

    with ThreadPoolExecutor(run.concurrency) as pool:
        first = run.claim(min(limit, run.claim_size))
        under_way = [
            pool.submit(process, claim) for claims in run.drain(first, limit=limit, seconds=seconds) for claim in claims
        ]
    items = [each.result() for each in under_way]
    items += map(process, run.suspects())
    return items, run.report(items)
