"""What a run drops from Prefect's log: lines of its own that say nothing new, and nothing of anybody else's. And how a
red run's name says why.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from prefect.exceptions import FailedRun

from flows.support.log_lines import shorten_logs
from flows.support.run_display import in_short
from smsretry.errors import QueueUnreachable

LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
ROUTINE = "Finished in state Completed()"


@pytest.fixture
def run() -> Iterator[UUID]:
    """A run of ours that has begun. Its filter is gone afterwards."""
    before = {name: list(logging.getLogger(name).filters) for name in LOGGERS}
    run_id = uuid4()
    shorten_logs(run_id)
    yield run_id
    for name, filters in before.items():
        logging.getLogger(name).filters = filters


def passes(logger: str, message: str, *, run: UUID | None, error: Exception | None = None, task: str = "") -> bool:
    """Whether a line of a run comes through."""
    level = logging.ERROR if error else logging.INFO
    exc_info = (type(error), error, None) if error else None
    record = logging.getLogger(logger).makeRecord(
        logger, level, "", 0, message, (), exc_info, extra={"task_name": task}
    )
    if run:
        record.flow_run_id = str(run)
    return bool(logging.getLogger(logger).filter(record))


@pytest.mark.parametrize("logger", ["prefect.flow_runs", "prefect.task_runs"])
def test_a_run_drops_its_own_routine_lines_and_nobody_elses(run: UUID, logger: str) -> None:
    """An application's own flow in the same process logs as ever."""
    assert not passes(logger, ROUTINE, run=run)
    assert passes(logger, ROUTINE, run=uuid4())
    assert passes(logger, "sent 2", run=run)


def test_the_state_of_a_text_is_logged_once_and_only_if_it_failed(run: UUID) -> None:
    """Its badge says the rest."""
    assert not passes("prefect.task_runs", "Finished in state Held()", run=run, task="process_retry")
    assert not passes("prefect.task_runs", "Task run failed with state", run=run, task="process_retry")
    assert passes("prefect.task_runs", "Finished in state Failed('no', type=FAILED)", run=run, task="process_retry")
    assert passes("prefect.task_runs", "Finished in state Held()", run=run, task="another")


def test_the_traceback_of_a_failed_run_is_dropped_only_in_its_own_process(
    run: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's engine logs it without the run's id; a runner starts a process for each run."""
    assert passes("prefect.engine", "Execution exited", run=None, error=FailedRun("refused"))
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run))
    assert not passes("prefect.engine", "Execution exited", run=None, error=FailedRun("refused"))
    assert passes("prefect.engine", "Execution exited", run=None, error=ValueError("a bug"))


def test_a_task_that_raised_an_error_of_ours_leaves_no_traceback(run: UUID) -> None:
    """The run says in words what it was. A bug keeps its traceback."""
    assert not passes("prefect.task_runs", "Task run failed", run=run, error=QueueUnreachable("away"), task="claim")
    assert passes("prefect.task_runs", "Task run failed", run=run, error=ValueError("a bug"), task="claim")
    assert passes("prefect.task_runs", "Task run failed", run=uuid4(), error=QueueUnreachable("away"))


def test_the_filter_is_set_once_however_many_runs_begin_at_once(run: UUID) -> None:
    """From any thread."""
    before = [len(logging.getLogger(name).filters) for name in LOGGERS]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(shorten_logs, [uuid4() for _ in range(40)]))
    assert [len(logging.getLogger(name).filters) for name in LOGGERS] == before


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("It is down. Run `smsretry doctor`.", "It is down. Run `smsretry doctor`"),
        (f"It is down. {'Check all of it ' * 8}now.", "It is down"),
        ("word " * 30, f"{'word ' * 19}…"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_red_run_s_name_ends_with_a_whole_word(why: str, short: str) -> None:
    """The whole sentences that there is room for; the rest is in the state's message."""
    assert in_short(why) == short
