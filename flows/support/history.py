"""Earlier runs in Prefect's history. A database that does not know them any more was restored."""

from datetime import datetime
from time import monotonic, sleep
from typing import Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from smsretry.retry.answers import EarlierRun

RUNS: Final = 20
"""How many of the last runs are asked for."""
ASK_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 2.0


def accepted_at(address: str) -> str:
    """The tag of the task run whose success says that the database at that address has accepted the run."""
    return f"sms-accepted-at:{address}"


def earlier_runs(address: str) -> list[EarlierRun] | None:
    """The last runs that the database at this address accepted, whatever became of them afterwards.

    They are several, because the last may have failed to ask. They are ordered by when they were to begin: that is the
    server's clock, and no runner's. None: the server did not say, although it was asked again and again.
    """
    accepted = TaskRunFilter(
        tags=TaskRunFilterTags(all_=[accepted_at(address)]),
        state=TaskRunFilterState(
            type=TaskRunFilterStateType(any_=[StateType.COMPLETED])
        ),
    )
    until = monotonic() + ASK_SECONDS
    while True:
        try:
            runs = get_client(sync_client=True).read_flow_runs(
                task_run_filter=accepted,
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=RUNS,
            )
            return [
                _earlier(run, at) for run in runs if (at := run.expected_start_time)
            ]
        except Exception:  # noqa: BLE001 - whatever it is, it may pass
            if monotonic() > until:
                return None
        sleep(PAUSE_SECONDS)


def _earlier(run: FlowRun, due_at: datetime) -> EarlierRun:
    # A person may set a state; only a run that ends by itself has a result.
    result = run.state and run.state.is_completed() and run.state.data
    return EarlierRun(
        id=run.id,
        due_at=due_at,
        finished=bool(result),
    )
