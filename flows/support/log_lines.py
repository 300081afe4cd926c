"""What Prefect logs of our runs: one error line for each thing that went wrong, and no traceback where we said why.

Prefect's loggers are shared by all flows of a process, so each filter drops lines of our own runs alone.
"""

import logging
import os
from typing import Final
from uuid import UUID

from prefect.exceptions import FailedRun

from smsretry.errors import SmsRetryError

_runs: Final = set[str]()
"""Ids of our runs in this process."""


class _OurRuns(logging.Filter):
    """Drops lines of our runs that say nothing new."""

    def filter(self, record: logging.LogRecord) -> bool:
        # A line without a run is of the process, which a runner starts for one run alone.
        run = getattr(record, "flow_run_id", None) or os.environ.get("PREFECT__FLOW_RUN_ID")
        return run not in _runs or not (_is_routine(record) or _repeats_error(record))


def _is_routine(record: logging.LogRecord) -> bool:
    """Whether a task or a hook ended as always. An idle minute would have several such lines."""
    routine = ("Running hook ", "Hook ", "Finished in state Completed()")
    return record.levelno <= logging.INFO and record.getMessage().startswith(routine)


def _repeats_error(record: logging.LogRecord) -> bool:
    """Whether a state has said it already.

    Prefect logs every state of a task but a completed one as an error, and a failed one twice; a line costs half
    of what a task run costs. Where a run returned a failed state, its process logs a traceback through Prefect, twice;
    where one of its tasks raised an error of ours, Prefect logs another, and the run says in words what it was.
    """
    if record.exc_info and isinstance(record.exc_info[1], FailedRun | SmsRetryError):
        return True
    if getattr(record, "task_name", None) not in ("process_retry", "process_slice"):
        return False
    message = record.getMessage()
    failed = "type=FAILED" in message or "state Failed(" in message
    return message.startswith("Task run failed with state") or (message.startswith("Finished in state") and not failed)


_FILTER: Final = _OurRuns()


def shorten_logs(run_id: UUID) -> None:
    """Keep this run's log short. To be called when it begins, from any thread."""
    _runs.add(str(run_id))
    for name in ("prefect.task_runs", "prefect.flow_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_FILTER)  # does nothing if it is there
