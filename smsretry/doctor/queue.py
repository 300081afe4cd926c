"""How the queue stands, as far as a person must look: what is overdue or held, and when a run last finished."""

from collections.abc import Iterator
from typing import Final

from smsretry.desk.questions.clock import span
from smsretry.desk.questions.queue_status import Standing
from smsretry.retry.models import Finding
from smsretry.retry.policy import LIFE

_START: Final = "start `python -m flows.serve` under a supervisor, or let cron run `smsretry process`"


def queue_findings(standing: Standing) -> Iterator[Finding]:
    """Findings by the database's clock and books, which know of every run, whoever started it."""
    yield _oldest(standing)
    yield _last_run(standing)
    if standing.held:
        advice = f"{standing.held_texts} wait for something that a person can mend: `smsretry status` says for what"
        yield Finding(subject="held texts", ok=True, advice=advice)
    yield from _late_sends(standing)
    for line in standing.scheduled:
        if line.name == "held":
            advice = f"{line.texts} wait for something that a person can mend: `smsretry explain --row {line.told}`"
            yield Finding(subject="held scheduled sends", ok=True, advice=f"{advice} says for what one does")


def _late_sends(standing: Standing) -> Iterator[Finding]:
    for line in standing.scheduled:
        late = (standing.at - line.oldest).total_seconds() if line.oldest else 0.0
        if line.name == "late" and late >= standing.late_seconds:
            advice = (
                f"{line.texts} wait though their time has passed, the first for {span(late)}: the next run lets those "
                f"go that are late by less than {span(LIFE.total_seconds())}, and cancels the others. Cancel before it "
                "what is not wanted"
            )
            yield Finding(subject="late scheduled sends", ok=True, advice=advice)


def _oldest(standing: Standing) -> Finding:
    overdue, before_any_run = span(standing.overdue_seconds), standing.silent_seconds is None
    if standing.overdue_seconds < standing.late_seconds:
        told = f", due for {overdue}" if standing.overdue_seconds else ": none"
        return Finding(subject=f"oldest due text{told}", ok=True)
    why = (
        "the first run takes it" if before_any_run else "runs do not take it, or sending is stopped: `smsretry status`"
    )
    return Finding(subject="oldest due text", ok=before_any_run, advice=f"has been due for {overdue}: {why}")


def _last_run(standing: Standing) -> Finding:
    if standing.silent_seconds is None:
        return Finding(subject="last finished run", ok=True, advice=f"there is none yet: {_START}")
    silent = span(standing.silent_seconds)
    if standing.silent_seconds < standing.late_seconds:
        return Finding(subject=f"last finished run, {silent} ago", ok=True)
    advice = f"was {silent} ago: {_START}"
    return Finding(subject="last finished run", ok=False, advice=advice)
