"""The flow that runs every minute: recover → claim → process each row.

Overlapping runs are safe because a claimed row belongs to one worker; that does not depend on any limit of Prefect's.
Prefect retries, caches and persists nothing here: the queue alone retries, and the database alone keeps the record.
"""

from collections.abc import Sequence
from signal import SIGTERM
from typing import Annotated, Any

from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.ending import ends_soon
from flows.orphans import crash_orphaned_task_runs
from flows.telling import tell_completed, tell_failed
from smsretry.gate import stopped_by
from smsretry.retry.models import Claim, ItemResult, Recovered
from smsretry.run import CONCURRENCY, ItemFailed, Run
from smsretry.summary import RunSummary
from smsretry.wiring import services


class TextFailed(Exception):
    """A text was given up; the run itself succeeded."""

    def __init__(self, result: ItemResult) -> None:
        super().__init__(result.detail)
        self.result = result


@task(cache_policy=NO_CACHE, persist_result=False)
def recover(run: Run, stale_minutes: int) -> list[Recovered]:
    """Take back the rows whose worker has been silent for `stale_minutes`."""
    return run.recover(stale_minutes)


@task(cache_policy=NO_CACHE, persist_result=False)
def claim(run: Run, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of as many in doubt whose next look is due."""
    return run.claim(limit)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="sms-{claim.id}")
def process_retry(claim: Claim, run: Run) -> State[ItemResult]:
    """See one row to its next state. The name of the task run's state says what became of the text."""
    result = run.process(claim)
    if result.fate == "Failed":
        return Failed(message=str(result), data=TextFailed(result))
    return Completed(name=result.fate, message=str(result), data=result)


_runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=CONCURRENCY)


@flow(
    name="process-sms-retries",
    task_runner=_runner,
    persist_result=False,
    on_running=[crash_orphaned_task_runs],
    on_completion=[tell_completed],
    on_failure=[tell_failed],
    on_crashed=[tell_failed],
)
@ends_soon
def process_sms_retries(
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
    stale_minutes: Annotated[int, Field(ge=1, le=1440)] = 10,
) -> State[RunSummary]:
    """Recover stuck texts, claim the due ones and process each one.

    Args:
        limit: How many due texts to take at most (1 to 500).
        stale_minutes: After how many minutes a silent worker's texts are taken back (1 to 1440).
    """
    with services() as connected:
        run = Run(connected)
        with stopped_by(run.gate, SIGTERM):
            recover(run, stale_minutes)
            claims = claim(run, limit)
            states = process_retry.map(claims, unmapped(run), return_state=True)
            for suspect in run.suspects():
                claims.append(suspect)
                states.append(process_retry(suspect, run, return_state=True))
            summary = run.report(_items(claims, states))
    if summary.needs_somebody:
        return Failed(message=str(summary))
    return Completed(message=str(summary), data=summary)


def _items(claims: Sequence[Claim], states: Sequence[State[Any]]) -> list[ItemResult | ItemFailed]:
    """What became of each row, or the error that its processing raised."""
    return [_item(claim, state.result(raise_on_failure=False)) for claim, state in zip(claims, states, strict=True)]


def _item(claim: Claim, value: object) -> ItemResult | ItemFailed:
    match value:
        case ItemResult():
            return value
        case TextFailed():
            return value.result
        case _:
            return ItemFailed(claim.id, str(value))


if __name__ == "__main__":
    process_sms_retries()
