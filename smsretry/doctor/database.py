"""The database: is it there, is everything in it as it should be, would a text go out, and does one wait too long?"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from smsretry.adapters.migrations.checksums import findings
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.doctor.clocks import DATABASE
from smsretry.errors import QueueError, SettingsError
from smsretry.instants import span
from smsretry.retry.before import LIFE
from smsretry.retry.models import Finding
from smsretry.settings import ReadingSettings, load

PATIENCE: Final = 10.0
"""Seconds that the doctor waits for one answer at most, however long a run would."""
_START: Final = "start `smsretry serve` under a supervisor, or let cron run `smsretry process`"


def database_findings(
    settings: ReadingSettings, ahead: dict[str, timedelta], now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Findings; the connection comes first. A part that cannot be examined hides no other."""
    limited = {"supabase_timeout_seconds": min(settings.supabase_timeout_seconds, PATIENCE)}
    with SupabaseOperators(settings.model_copy(update=limited)) as database:

        def state() -> Iterator[Finding]:
            status = QueueStatus.of(database.status())
            ahead[DATABASE] = status.at - now()
            for check in (_stopped, _oldest, _last_run, _held, _late):
                yield from check(status)

        try:
            checksums = database.checksums()
        except QueueError as error:
            yield Finding(subject="Supabase", ok=False, advice=str(error))
            return
        yield Finding(subject="Supabase connection and key", ok=True)
        parts: dict[str, Callable[[], Iterable[Finding]]] = {
            "functions, tables and the like": lambda: findings(checksums),
            "rehearsal of a text": lambda: database.rehearse(settings.audience.send_to),
            "whom texts go to": lambda: _audience(settings),
            "state of the queue": state,
        }
        for subject, part in parts.items():
            try:
                yield from part()
            except QueueError as error:
                yield Finding(subject=subject, ok=False, advice=str(error))


def reader_finding(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the key for questions reads, if there is one."""
    if not environment.get("SUPABASE_READER_KEY"):
        return
    advice = None
    try:
        with SupabaseOperators(load(ReadingSettings), reads=True) as reader:
            reader.status()
    except (QueueError, SettingsError) as error:
        advice = str(error)
    yield Finding(subject="reader's key", ok=advice is None, advice=advice)


def _audience(settings: ReadingSettings) -> Iterator[Finding]:
    told = settings.audience.told
    advice = "what else is due is cancelled, unsent: right in staging; in production, unset SMSRETRY_SEND_TO"
    yield Finding(subject=f"whom texts go to: {told or 'texts everybody'}", ok=True, advice=advice if told else None)


def _stopped(status: QueueStatus) -> Iterator[Finding]:
    for line in status.part("stopped"):
        of_state = line.name not in ("sending", "environment")
        goes_on = f"`smsretry stop {line.name} --lift` lets them go" if of_state else "each run tries one text"
        subject = f"texts to {line.name}" if of_state else line.name
        advice = f"stopped: {line.told or 'no reason was kept'}; {goes_on}"
        yield Finding(subject=subject, ok=of_state, advice=advice)


def _oldest(status: QueueStatus) -> Iterator[Finding]:
    overdue, before_any_run = span(status.overdue_seconds), status.silent_seconds is None
    if status.overdue_seconds < status.late_seconds:
        late = f", due for {overdue}" if status.overdue_seconds else ": none"
        yield Finding(subject=f"oldest due text{late}", ok=True)
        return
    why = "the first run takes it" if before_any_run else "runs do not take it, or it is stopped: `smsretry status`"
    yield Finding(subject="oldest due text", ok=before_any_run, advice=f"has been due for {overdue}: {why}")


def _last_run(status: QueueStatus) -> Iterator[Finding]:
    if status.silent_seconds is None:
        yield Finding(subject="last finished run", ok=True, advice=f"there is none yet: {_START}")
        return
    silent, ok = span(status.silent_seconds), status.silent_seconds < status.late_seconds
    advice = None if ok else f"was {silent} ago: {_START}"
    yield Finding(subject=f"last finished run, {silent} ago" if ok else "last finished run", ok=ok, advice=advice)


def _held(status: QueueStatus) -> Iterator[Finding]:
    planned = sum(line.texts or 0 for line in status.part("scheduled") if line.name == "held")
    for subject, texts in (("held texts", status.held_texts), ("held scheduled sends", planned)):
        if texts:
            advice = f"{texts} wait for something that a person can fix: `smsretry status` says for what"
            yield Finding(subject=subject, ok=True, advice=advice)


def _late(status: QueueStatus) -> Iterator[Finding]:
    for line in status.part("scheduled"):
        late = (status.at - line.oldest).total_seconds() if line.oldest else 0.0
        if line.name == "late" and late >= status.late_seconds:
            advice = (
                f"{line.texts} wait though their time has passed, the first for {span(late)}: the next run lets those "
                f"go that are late by less than {span(LIFE.total_seconds())}, and cancels the others. Cancel before it "
                "what is not wanted"
            )
            yield Finding(subject="late scheduled sends", ok=True, advice=advice)
