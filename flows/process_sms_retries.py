"""The flow that runs every minute: recover → claim → process each row → report.

Overlapping runs are safe because a claimed row belongs to one worker; no limit of Prefect's is needed for it.
Prefect retries and caches nothing here: the queue alone retries, and the database alone keeps the record. What Prefect
keeps of it is for reading: flows/support/results.py.

After a SIGTERM a run claims nothing more, gives back what has not begun, and lets sends under way end.
"""

from concurrent.futures import ThreadPoolExecutor
from signal import SIGTERM
from typing import Annotated, Any, Final

from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from smsretry.desk.actions.requests import ExplainText
from smsretry.desk.pages.runs import of_texts
from smsretry.retry.answers import Recovered
from smsretry.retry.models import Claim
from smsretry.retry.profile import MOST_TEXTS, STALE_MINUTES
from smsretry.sending.run import CLAIM_SIZE, Run, threads_for
from smsretry.settings import Settings, load, read_concurrency
from smsretry.wiring import desk, services

from .support.forms import check_parameters
from .support.history import accepted_at, earlier_runs
from .support.schedule import SCHEDULED_FLOW, conclude
from .support.show import QUIET_TASK, EventEmitter, queue_status, this_run
from .support.task_runs import TaskRuns

DRAIN_SECONDS: Final = 70
"""How long a run goes on claiming. It overlaps the next minute's run, which starts late where a machine is busy."""


@task(**QUIET_TASK)
def recover(run: Run, stale_minutes: int, address: str) -> list[Recovered]:
    """Start the run, and take back the rows whose worker has been silent for `stale_minutes`.

    Args:
        address: of the database.
    """
    run.start(stale_minutes, earlier_runs(address))
    return run.recovered


@task(**QUIET_TASK)
def claim(run: Run, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
    return run.claim(limit)


_text_task_runner: TaskRunner[Any] = ThreadPoolTaskRunner(
    max_workers=threads_for(read_concurrency())
)
"""Threads for texts that have a task run each. The texts of slices have threads of their own."""


@flow(
    name="process-sms-retries",
    task_runner=_text_task_runner,
    **SCHEDULED_FLOW,
)
@check_parameters
def process_sms_retries(
    limit: Annotated[int, Field(ge=1, le=MOST_TEXTS)] = MOST_TEXTS,
    stale_minutes: Annotated[int, Field(ge=1, le=1440)] = STALE_MINUTES,
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = DRAIN_SECONDS,
) -> State[Any]:
    """Recover stuck texts, claim the due ones and process each one, until nothing is due now or soon.

    Args:
        limit: How many due texts to take at most (1 to 100,000).
        stale_minutes: After how many minutes a silent worker's texts are taken back (1 to 1440).
        drain_seconds: How long the run goes on claiming and waits for what comes due (0 to 3600; 0: it does not wait).
    """
    settings = load(Settings)
    with services(settings) as connected, desk(settings) as at_desk:
        run = Run(connected, this_run().id)
        with (
            run.stopped_by(SIGTERM),
            ThreadPoolExecutor(run.threads) as slice_threads,
            EventEmitter() as emitter,
        ):
            address = settings.address
            recover.with_options(tags={accepted_at(address)})(
                run, stale_minutes, address
            )
            status_before = queue_status(at_desk)
            texts = TaskRuns(
                run,
                slice_threads,
                emitter,
                task_run_limit=settings.task_runs,
                due=status_before.queue.get("due", 0) if status_before else 0,
            )
            first_claims = claim(run, limit)
            for claims in run.drain(
                first_claims,
                limit=limit,
                seconds=drain_seconds,
            ):
                texts.process(claims)
            texts.wait()
            for suspect in run.suspects():
                texts.process([suspect])
                texts.wait()
            processed = texts.processed()
            summary = run.report([text.result for text in processed])
        status = status_before if summary.idle else queue_status(at_desk)
        report = of_texts(
            summary,
            processed,
            interrupted=run.interrupted,
            status=status or status_before,
            explain=lambda row: at_desk.explain(ExplainText(id=row)),
        )
        result = summary.model_dump(mode="json")
        return conclude(
            report,
            message=str(summary),
            failed=summary.needs_attention,
            result=result,
            queue=status,
        )


if __name__ == "__main__":
    process_sms_retries(limit=CLAIM_SIZE, drain_seconds=0)
