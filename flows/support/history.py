"""Earlier runs in Prefect's history. A database that does not know them any more was restored."""

from typing import Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterName,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger

from smsretry.retry.answers import EarlierRun

BEGUN: Final = "recover at {address}"
"""Name of the task run whose success says that the database at that address has accepted the run."""


def last_begun(address: str) -> EarlierRun | None:
    """The last run that the database at this address accepted, whatever became of it afterwards.

    Runs are ordered by when they were to begin: that is the server's clock, and no runner's. If the server does not
    say, the run goes on without.
    """
    accepted = TaskRunFilter(
        name=TaskRunFilterName(any_=[BEGUN.format(address=address)]),
        state=TaskRunFilterState(
            type=TaskRunFilterStateType(any_=[StateType.COMPLETED])
        ),
    )
    try:
        runs = get_client(sync_client=True).read_flow_runs(
            task_run_filter=accepted,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=1,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, texts are sent
        get_run_logger().warning(
            "Prefect did not say which run was the last (%s), so a database that was restored is not noticed",
            type(error).__name__,
        )
        return None
    run = runs[0] if runs else None
    if run is None or run.expected_start_time is None:
        return None
    # A person may set a state; only a run that ends by itself has a result.
    result = run.state and run.state.is_completed() and run.state.data
    return EarlierRun(id=run.id, due_at=run.expected_start_time, finished=bool(result))
