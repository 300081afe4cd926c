"""What Prefect logs of our runs: one error line for each thing that went wrong, and no traceback where we said why."""

import logging
from typing import Final

from prefect.exceptions import FailedRun


class _OneLineATask(logging.Filter):
    """One error line for a text that failed, and none for one that did not: Prefect logs every state but a completed
    one as an error, and a failed one twice.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "task_name", None) != "process_retry":
            return True
        message = record.getMessage()
        if message.startswith("Task run failed with state"):
            return False
        failed = "type=FAILED" in message or message.startswith("Finished in state Failed(")
        if message.startswith("Finished in state") and not failed:
            record.levelno, record.levelname = logging.INFO, "INFO"
            return logging.getLogger(record.name).isEnabledFor(logging.INFO)
        return True


class _NoTraceback(logging.Filter):
    """A run that returns a failed state has said why. Its process then logs twice that it ended "unexpectedly", with a
    traceback through Prefect.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


_FILTERS: Final = (
    ("prefect.task_runs", _OneLineATask()),
    ("prefect.flow_runs", _NoTraceback()),
    ("prefect.engine", _NoTraceback()),
)


def keep_short() -> None:
    """Let this process log so."""
    for logger, short in _FILTERS:
        logging.getLogger(logger).addFilter(short)
