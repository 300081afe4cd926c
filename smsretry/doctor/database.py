"""The database: is it there, is everything in it as it should be, would a text go out, and does one wait too long?"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from smsretry.adapters.migrations.checksums import findings
from smsretry.adapters.migrations.fitting import missing_parts
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.doctor.clocks import DATABASE
from smsretry.errors import QueueError, SettingsError
from smsretry.retry.customers import customer_findings
from smsretry.retry.models import Finding
from smsretry.settings import ReadingSettings, load

_WRITERS_KEY: Final = (
    "is the service_role key, which can write: make a token of the role smsretry_reader"
)
PATIENCE: Final = 10.0
"""Seconds that the doctor waits for one answer at most, however long a run would."""


def database_findings(
    settings: ReadingSettings, ahead: dict[str, timedelta], now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Findings; the connection comes first. A part that cannot be examined hides no other."""
    with SupabaseOperators(settings.with_timeouts_up_to(PATIENCE)) as database:

        def state() -> Iterator[Finding]:
            status = database.status()
            ahead[DATABASE] = status.at - now()
            yield from _state(status)

        try:
            checksums = database.checksums()
        except QueueError as error:
            yield Finding(subject="Supabase", ok=False, advice=str(error))
            return
        yield Finding(subject="Supabase connection and key", ok=True)
        parts: dict[str, Callable[[], Iterable[Finding]]] = {
            "functions, tables and the like": lambda: (
                list(missing_parts(checksums)) or findings(checksums)
            ),
            "rehearsal of a text": lambda: database.rehearse(settings.audience.send_to),
            "customers' numbers and zones": lambda: customer_findings(
                database.customers()
            ),
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
    key = environment.get("SUPABASE_READER_KEY")
    if not key:
        return
    is_writers = key == environment.get("SUPABASE_SERVICE_ROLE_KEY")
    advice = _WRITERS_KEY if is_writers else None
    try:
        with SupabaseOperators(load(ReadingSettings), reads=True) as reader:
            reader.status()
    except (QueueError, SettingsError) as error:
        advice = str(error)
    yield Finding(subject="reader's key", ok=advice is None, advice=advice)


def _audience(settings: ReadingSettings) -> Iterator[Finding]:
    restriction = settings.audience.description
    advice = "what else is due is cancelled, unsent: right in staging; in production, unset SMSRETRY_SEND_TO"
    yield Finding(
        subject=f"whom texts go to: {restriction or 'texts everybody'}",
        ok=True,
        advice=advice if restriction else None,
    )


def _state(status: QueueStatus) -> Iterator[Finding]:
    """What needs somebody, as the queue's page has it. The provider is asked about the senders."""
    yield Finding(subject=f"state of the queue: {status.numbers}", ok=True)
    # Before the first run all is late.
    keeping = {"stop"} if status.silent_seconds is None else {"stop", "late"}
    for need in status.needs():
        if need.of != "sender":
            remedy = need.remedy
            advice = (
                str(remedy)
                if remedy.form != "sms-doctor"
                else remedy.preparation or "see what is bad here"
            )
            yield Finding(
                subject="".join(map(str, status.say(need))),
                ok=need.of not in keeping,
                advice=advice,
            )
    for stop in status.orders_to_stop:
        yield Finding(subject=stop.order, ok=True, advice=str(stop.remedy))
