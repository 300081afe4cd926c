"""What Prefect logs of our runs: one error line for each thing that went wrong, and no traceback where we said why."""

import logging
from typing import Final

from prefect.exceptions import FailedRun


class _OneLineATask(logging.Filter):
    """One error line for a text that failed, and none for any other: its state says all that is to be said.

    Prefect logs every state but a completed one as an error, and a failed one twice. A line costs half of what a task
    run costs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "task_name", None) not in ("process_retry", "process_slice"):
            return True
        message = record.getMessage()
        if message.startswith("Task run failed with state"):
            return False
        return not message.startswith("Finished in state") or "type=FAILED" in message or "state Failed(" in message


class _NothingOfCourse(logging.Filter):
    """No line that says that a task or a hook of the run went as always: an idle minute would have four of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        usual = ("Running hook ", "Hook ", "Finished in state Completed()")
        return record.levelno > logging.INFO or not record.getMessage().startswith(usual)


class _NoTraceback(logging.Filter):
    """A run that returns a failed state has said why. Its process then logs twice that it ended "unexpectedly", with a
    traceback through Prefect.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


_FILTERS: Final = (
    ("prefect.task_runs", _OneLineATask()),
    ("prefect.task_runs", _NothingOfCourse()),
    ("prefect.flow_runs", _NothingOfCourse()),
    ("prefect.flow_runs", _NoTraceback()),
    ("prefect.engine", _NoTraceback()),
)


def keep_short() -> None:
    """Let this process log so."""
    for logger, short in _FILTERS:
        logging.getLogger(logger).addFilter(short)
