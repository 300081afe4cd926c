"""The part of the queue's state that a person must look at: what is overdue or held, and when a run last finished."""

from collections.abc import Iterator
from typing import Final

from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.instants import span
from smsretry.retry.before import LIFE
from smsretry.retry.models import Finding

_START: Final = "start `smsretry serve` under a supervisor, or let cron run `smsretry process`"


def queue_findings(status: QueueStatus) -> Iterator[Finding]:
    """Findings by the database's clock and its record of runs, which has every run, whoever started it."""
    yield _oldest(status)
    yield _last_run(status)
    if status.held:
        advice = f"{status.held_texts} wait for something that a person can fix: `smsretry status` says for what"
        yield Finding(subject="held texts", ok=True, advice=advice)
    for line in status.scheduled:
        late = (status.at - line.oldest).total_seconds() if line.oldest else 0.0
        if line.name == "held":
            advice = f"{line.texts} wait for something that a person can fix: `smsretry explain --row {line.told}`"
            yield Finding(subject="held scheduled sends", ok=True, advice=f"{advice} says for what one does")
        if line.name == "late" and late >= status.late_seconds:
            advice = (
                f"{line.texts} wait though their time has passed, the first for {span(late)}: the next run lets those "
                f"go that are late by less than {span(LIFE.total_seconds())}, and cancels the others. Cancel before it "
                "what is not wanted"
            )
            yield Finding(subject="late scheduled sends", ok=True, advice=advice)


def _oldest(status: QueueStatus) -> Finding:
    overdue, before_any_run = span(status.overdue_seconds), status.silent_seconds is None
    if status.overdue_seconds < status.late_seconds:
        late = f", due for {overdue}" if status.overdue_seconds else ": none"
        return Finding(subject=f"oldest due text{late}", ok=True)
    why = (
        "the first run takes it" if before_any_run else "runs do not take it, or sending is stopped: `smsretry status`"
    )
    return Finding(subject="oldest due text", ok=before_any_run, advice=f"has been due for {overdue}: {why}")


def _last_run(status: QueueStatus) -> Finding:
    if status.silent_seconds is None:
        return Finding(subject="last finished run", ok=True, advice=f"there is none yet: {_START}")
    silent = span(status.silent_seconds)
    if status.silent_seconds < status.late_seconds:
        return Finding(subject=f"last finished run, {silent} ago", ok=True)
    return Finding(subject="last finished run", ok=False, advice=f"was {silent} ago: {_START}")
