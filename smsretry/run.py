"""One run, as steps in order: recover, claim, process each row, report.

The flow makes a Prefect task of each step; `run_once` calls the same steps bare.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

from smsretry.gate import Gate
from smsretry.pipeline import process_sms_retry_item
from smsretry.ports import Services
from smsretry.retry.models import Claim, InterruptedRun, ItemResult, Recovered
from smsretry.summary import RunSummary

CONCURRENCY: Final = 10
"""Rows of one run processed at once, and so requests to the provider under way."""

MAX_SUSPECTS: Final = 50
"""Rows under suspicion that one run takes, one after the other."""


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """A row whose processing raised. The other rows went on."""

    retry_id: UUID
    why: str


class Run:
    """One run over the queue, with the gate that its rows share."""

    def __init__(self, services: Services, run_id: UUID | None = None) -> None:
        self._services = services
        self.id: Final = run_id or uuid4()
        """Kept with each of its attempts. In Prefect: the flow run's."""
        self.interrupted: list[InterruptedRun] = []
        """Earlier runs that fell silent, and were not told of before."""
        self._started = monotonic()
        self.recovered: list[Recovered] = []
        self.circuit_was_open = False
        """Whether sending had stopped before this run, so that one text went first."""
        self.gate = Gate()

    def recover(self, stale_minutes: int) -> list[Recovered]:
        """Begin the run, and take back the rows whose worker has been silent for `stale_minutes`."""
        self.interrupted = self._services.queue.start_run(self.id, stale_minutes)
        self.recovered = self._services.queue.recover(stale_minutes)
        return self.recovered

    def claim(self, limit: int) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        queue = self._services.queue
        doubtful = queue.claim_doubtful(limit)  # first: if the second claim fails, recovery brings these back unharmed
        claims = [*queue.claim_due(limit), *doubtful]
        self.gate.expect(len({claim.business_id for claim in claims if claim.in_doubt_since is None}))
        self.circuit_was_open = any(claim.circuit_open for claim in claims)
        if self.circuit_was_open:
            refused = frozenset(claim.id for claim in claims if claim.account_refusal_count)
            fit = any(claim.in_doubt_since is None and claim.id not in refused for claim in claims)
            self.gate.probe(unfit=refused if fit else frozenset())
        return claims

    def suspects(self) -> Iterator[Claim]:
        """Rows whose claims have died more than once, each claimed when the one before it is done.

        One of them may be what kills its worker. Nothing else is in that worker's hands then.
        """
        seen = set[UUID]()
        while len(seen) < MAX_SUSPECTS and not self.gate.shut_because:
            claims = self._services.queue.claim_suspect()
            yield from claims
            if not claims or claims[0].id in seen:  # it was given back, and would only come again
                return
            seen.add(claims[0].id)

    def process(self, claim: Claim) -> ItemResult:
        """See one row to its next state."""
        queue, sender, profile = self._services.queue, self._services.sender, self._services.profile
        return process_sms_retry_item(
            claim, queue=queue, sender=sender, gate=self.gate, profile=profile, run_id=self.id
        )

    @property
    def circuit_closed(self) -> bool:
        """Whether this run found that sending works again."""
        return self.circuit_was_open and self.gate.healthy and not self.gate.circuit

    def report(self, items: Sequence[ItemResult | ItemFailed]) -> RunSummary:
        """Remember for the next run whether sending works, and add up this one."""
        if self.gate.circuit:
            self._services.queue.set_circuit(self.gate.circuit)
        elif self.circuit_closed:
            self._services.queue.set_circuit(None)
        results = [item for item in items if isinstance(item, ItemResult)]
        summary = RunSummary.of(
            recovered=self.recovered,
            results=results,
            errors=len(items) - len(results),
            duration_seconds=monotonic() - self._started,
            stopped_because=self.gate.shut_because,
            circuit_open=self.gate.circuit is not None,
            database_broken=self.gate.broken is not None,
        )
        self._services.queue.finish_run(self.id, str(summary), needs_somebody=summary.needs_somebody)
        return summary


def run_once(run: Run, *, limit: int, stale_minutes: int = 10) -> tuple[list[ItemResult | ItemFailed], RunSummary]:
    """Make a whole run without Prefect: what each row came to, and the numbers."""
    run.recover(stale_minutes)
    claims = run.claim(limit)

    def process(claim: Claim) -> ItemResult | ItemFailed:
        try:
            return run.process(claim)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemFailed(claim.id, str(error))

    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        items = list(pool.map(process, claims))
    items += map(process, run.suspects())
    return items, run.report(items)
