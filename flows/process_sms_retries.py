"""The every-minute flow: recover → claim → process each row.

Overlapping runs are safe because a claimed row belongs to one worker; Prefect's own limits play no part in it.
Nothing is retried, cached or persisted by Prefect: the queue is the only retrier, and the database the only record.
"""

from signal import SIGTERM
from time import monotonic
from typing import Annotated, Any

from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.wiring import Services, services
from smsretry.gate import Gate, stopped_by
from smsretry.pipeline import process_sms_retry_item
from smsretry.retry.models import Claim, ItemResult, Recovered
from smsretry.run import CONCURRENCY, claim_all, report_circuit
from smsretry.summary import RunSummary


class TextFailed(Exception):
    """A text was given up. The run that found that out did its work."""

    def __init__(self, result: ItemResult) -> None:
        super().__init__(result.detail)
        self.result = result


@task(cache_policy=NO_CACHE, persist_result=False)
def recover(services: Services, stale_minutes: int) -> list[Recovered]:
    """Take back the rows whose worker has been silent for `stale_minutes`."""
    return services.queue.recover(stale_minutes)


@task(cache_policy=NO_CACHE, persist_result=False)
def claim(services: Services, gate: Gate, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of rows in doubt whose next look has come."""
    return claim_all(services.queue, gate, limit=limit)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="sms-{claim.id}")
def process_retry(claim: Claim, services: Services, gate: Gate) -> State[ItemResult]:
    """See one row to its next state. The state's name is what it came to."""
    result = process_sms_retry_item(
        claim, queue=services.queue, sender=services.sender, gate=gate, profile=services.profile
    )
    if result.fate == "Failed":
        return Failed(message=str(result), data=TextFailed(result))
    return Completed(name=result.fate, message=str(result), data=result)


_runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=CONCURRENCY)


@flow(name="process-sms-retries", task_runner=_runner, persist_result=False)
def process_sms_retries(
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
    stale_minutes: Annotated[int, Field(ge=1, le=1440)] = 10,
) -> State[RunSummary]:
    """Recover stuck texts, claim the due ones and process each.

    Args:
        limit: How many due texts to take at most (1 to 500).
        stale_minutes: After how many minutes a silent worker's texts are taken back (1 to 1440).
    """
    started = monotonic()
    gate = Gate()
    with services() as connected, stopped_by(gate, SIGTERM):
        recovered = recover(connected, stale_minutes)
        claims = claim(connected, gate, limit)
        states = process_retry.map(claims, unmapped(connected), unmapped(gate), return_state=True)
        report_circuit(connected.queue, gate, claims)
    results = [result for state in states if (result := _result(state))]
    summary = RunSummary.of(
        recovered=recovered,
        results=results,
        errors=len(states) - len(results),
        duration_seconds=monotonic() - started,
    )
    message = f"Stopped sending: {gate.shut_because}. {summary}" if gate.shut_because else str(summary)
    if summary.errors or gate.circuit:
        return Failed(message=message)
    return Completed(message=message, data=summary)


def _result(state: State[Any]) -> ItemResult | None:
    """What a row came to; None when its processing itself went wrong."""
    value = state.result(raise_on_failure=False)
    match value:
        case ItemResult():
            return value
        case TextFailed():
            return value.result
        case _:
            return None


if __name__ == "__main__":
    process_sms_retries()
