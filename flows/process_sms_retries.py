"""The flow that runs every minute: recover → claim → process each row → show.

Overlapping runs are safe because a claimed row belongs to one worker; that does not depend on any limit of Prefect's.
Prefect retries, caches and persists nothing here: the queue alone retries, and the database alone keeps the record.
"""

from signal import SIGTERM
from typing import Annotated, Any

from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.ending import end_soon, ends_soon
from flows.forms import form
from flows.orphans import crash_orphaned_task_runs
from flows.showing import queue_at, seen_in, show, state_of, this_run
from flows.telling import tell_completed, tell_failed
from smsretry.desk.outcomes import Seen
from smsretry.errors import SmsRetryError
from smsretry.gate import stopped_by
from smsretry.retry.models import Claim, Recovered
from smsretry.run import CONCURRENCY, ItemFailed, Run
from smsretry.summary import RunSummary
from smsretry.wiring import desk, services


@task(cache_policy=NO_CACHE, persist_result=False)
def recover(run: Run, stale_minutes: int) -> list[Recovered]:
    """Take back the rows whose worker has been silent for `stale_minutes`."""
    return run.recover(stale_minutes)


@task(cache_policy=NO_CACHE, persist_result=False)
def claim(run: Run, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of as many in doubt whose next look is due."""
    return run.claim(limit)


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    task_run_name="sms {claim.id} customer {claim.customer_id} {claim.masked}",
)
def process_retry(claim: Claim, run: Run) -> State[Seen]:
    """See one row to its next state. The name of the task run's state says what became of the text, and why."""
    try:
        return state_of(Seen(claim, run.process(claim)))
    except SmsRetryError as error:
        return state_of(Seen(claim, None, str(error)))


_runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=CONCURRENCY)


@flow(
    name="process-sms-retries",
    task_runner=_runner,
    persist_result=False,
    validate_parameters=False,
    on_running=[crash_orphaned_task_runs],
    on_completion=[tell_completed],
    on_failure=[tell_failed],
    on_crashed=[tell_failed],
)
@ends_soon
@form
def process_sms_retries(
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
    stale_minutes: Annotated[int, Field(ge=1, le=1440)] = 10,
) -> State[RunSummary]:
    """Recover stuck texts, claim the due ones and process each one.

    Args:
        limit: How many due texts to take at most (1 to 500).
        stale_minutes: After how many minutes a silent worker's texts are taken back (1 to 1440).
    """
    with services() as connected, desk() as at_desk:
        run = Run(connected, this_run())
        with stopped_by(run.gate, SIGTERM):
            recover(run, stale_minutes)
            before = queue_at(at_desk)
            claims = claim(run, limit)
            states = process_retry.map(claims, unmapped(run), return_state=True)
            for suspect in run.suspects():
                claims.append(suspect)
                states.append(process_retry(suspect, run, return_state=True))
            seen = seen_in(claims, states)
            summary = run.report([one.result or ItemFailed(one.claim.id, one.error) for one in seen])
        end_soon()
        show(run, summary, seen, before=before, desk=at_desk)
    if summary.needs_somebody:
        return Failed(message=str(summary))
    return Completed(message=str(summary), data=summary)


if __name__ == "__main__":
    process_sms_retries()
