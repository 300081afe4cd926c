"""One run: recover, claim and process until nothing is due or will be in the run's time, and report.

The flow makes Prefect tasks of the steps; `run_once` calls the same steps bare.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar
from uuid import UUID, uuid4

from smsretry.errors import QueueError
from smsretry.retry.answers import InterruptedRun, Recovered
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import STALE_MINUTES
from smsretry.sending.breaker import Breaker
from smsretry.sending.claiming import Claiming
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.outage import Outage
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from smsretry.sending.remembering import remember, resumed_senders, stopped_senders
from smsretry.sending.senders import Senders
from smsretry.sending.summary import RunSummary

CLAIM_SIZE: Final = 50
"""Due rows that one claim takes, and as many in doubt."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """A row whose processing raised. The other rows went on."""

    retry_id: UUID
    why: str


class Run:
    """One run over the queue, with the flow controls that its rows share."""

    def __init__(self, services: Services, run_id: UUID | None = None) -> None:
        queue, profile = services.queue, services.profile
        self._services = services
        self._started = monotonic()
        self.id: Final = run_id or uuid4()
        """Stored with each of its attempts. In Prefect it is the flow run's."""
        self.concurrency: Final = services.concurrency
        """Threads. Each sees its text through, from the begin to the record. A text that had begun and waited for its
        send would have a permission that grows old, and in a pause of its sender's it would keep others waiting.
        """
        self.interrupted: list[InterruptedRun] = []
        """Earlier runs that fell silent and were not reported before."""
        self.recovered: list[Recovered] = []
        self.claim_size: Final = CLAIM_SIZE
        """Due rows that one claim takes at most."""
        self.senders: Final = Senders(
            queue.lease, services.sender.default, profile.segments_per_second, threads=self.concurrency
        )
        self._claiming = Claiming(queue, self.senders, in_flight=self.concurrency)
        self._ended_because: str | None = None

    @property
    def flow_control(self) -> FlowControl:
        """That of the environment's sender."""
        return self.senders.environment

    def recover(self, stale_minutes: int) -> list[Recovered]:
        """Begin the run, and take back the rows whose worker has been silent for `stale_minutes`."""
        self.interrupted = self._services.queue.start_run(
            self.id, stale_minutes, self._services.sender.audience.send_to
        )
        self.recovered = self._services.queue.recover(stale_minutes)
        return self.recovered

    def claim(self, limit: int = CLAIM_SIZE) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        return self._claiming.claim(limit)

    def drain(self, first: Sequence[Claim], *, limit: int, seconds: float) -> Iterator[list[Claim]]:
        """Give the claims to process: `first`, then, as workers get free, what is due or comes due in the run's time.

        The caller processes them meanwhile by `process`, which frees the workers.

        Args:
            limit: the most due rows that the run takes.
            seconds: the run's time, counted from its start. 0: it takes what is due and waits for nothing.
        """
        return self._until_an_error(
            self._claiming.drain(self.claim, first, limit=limit, size=self.claim_size, seconds=seconds)
        )

    def suspects(self) -> Iterator[Claim]:
        """Rows whose claims have died more than once, each claimed when the one before it is done."""
        return self._until_an_error(self._claiming.suspects())

    def _until_an_error(self, claims: Iterator[_T]) -> Iterator[_T]:
        """If the database cannot be asked, the rows in flight are finished, and the next run asks again."""
        try:
            yield from claims
        except QueueError as error:
            self._ended_because = self._ended_because or str(error)

    def process(self, claim: Claim) -> ItemResult:
        """Bring one row to its next state."""
        queue, sender, profile = self._services.queue, self._services.sender, self._services.profile
        try:
            return process_sms_retry_item(
                claim, queue=queue, sender=sender, flow_control=self.senders.of(claim), profile=profile, run_id=self.id
            )
        finally:
            self.senders.done(claim)

    @property
    def circuit_was_open(self) -> bool:
        """Whether sending had stopped before this run, of everybody or of the environment's sender."""
        return any(circuit.probes.was_open for circuit in self._circuits)

    @property
    def circuit_closed(self) -> bool:
        """Whether this run found that it works again."""
        were_open = [circuit for circuit in self._circuits if circuit.probes.was_open]
        return bool(were_open) and all(each.sends.successful and not each.open_because for each in were_open)

    @property
    def _circuits(self) -> tuple[Outage, Breaker]:
        return self.senders.run.outage, self.senders.environment.breaker

    def report(self, items: Sequence[ItemResult | ItemFailed]) -> RunSummary:
        """Store for the next run whether sending works, and add up this run."""
        # The suspects have had their turn, too.
        self.senders.claimed([], nobody_else_is_due=self._claiming.nobody_else_is_due)
        remember(self.senders, self._services.queue)
        results = [item for item in items if isinstance(item, ItemResult)]
        summary = RunSummary.of(
            recovered=self.recovered,
            results=results,
            errors=len(items) - len(results),
            duration_seconds=monotonic() - self._started,
            stopped_because=self.flow_control.stopped_because or self._ended_because,
            circuit_open=any(circuit.open_because for circuit in self._circuits),
            database_broken=self.senders.run.database_trouble is not None,
            stopped_senders=stopped_senders(self.senders),
            resumed_senders=resumed_senders(self.senders),
            texts_only=self._services.sender.audience.told,
        )
        self._services.queue.finish_run(self.id, str(summary), needs_somebody=summary.needs_somebody)
        return summary


def run_once(
    run: Run, *, limit: int = CLAIM_SIZE, seconds: float = 0, stale_minutes: int = STALE_MINUTES
) -> tuple[list[ItemResult | ItemFailed], RunSummary]:
    """Make a whole run without Prefect: what became of each row, and the numbers. The limits are those of `drain`."""
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
