"""The database: can it be reached, is its schema right, would a text go out, and does one wait too long?"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from smsretry.adapters.migrations.checksums import Checksums, findings
from smsretry.adapters.migrations.fitting import missing_parts
from smsretry.adapters.migrations.schemas import api_functions
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.doctor.clocks import DATABASE, ClockOffsets
from smsretry.doctor.parts import Findings
from smsretry.errors import QueueError, SettingsError
from smsretry.retry.customers import customer_findings
from smsretry.retry.models import Finding
from smsretry.settings import ReadingSettings, load

_WRITERS_KEY: Final = (
    "is a key that can write: make a token of the role smsretry_reader"
)
_STALE: Final = (
    "the API does not find them, so calls of them fail: run `smsretry migrate`, which has it look anew. If that "
    "changes nothing, restart the project (without Supabase: PostgREST), which may not listen"
)
_AT_ONCE: Final = 8
"""How many functions are asked for at once."""
PATIENCE: Final = 10.0
"""The most seconds that the doctor waits for one answer, however long a run would."""


def database_findings(settings: ReadingSettings, offsets: ClockOffsets) -> Findings:
    """Findings; the connection comes first. A part that cannot be examined hides no other."""
    with SupabaseOperators(settings.with_timeouts_up_to(PATIENCE)) as database:
        try:
            checksums = database.checksums()
        except QueueError as error:
            yield Finding(subject="Supabase", ok=False, advice=str(error))
            return
        yield Finding(subject="Supabase connection and key", ok=True)
        parts: dict[str, Callable[[], Iterable[Finding]]] = {
            "functions, tables and the like": lambda: _schema_findings(checksums),
            "functions at the API": lambda: _api_findings(database),
            "rehearsal of a text": lambda: database.rehearse(settings.audience.send_to),
            "customers' numbers and zones": lambda: customer_findings(
                database.customers()
            ),
            "whom texts go to": lambda: _audience_findings(settings),
            "state of the queue": lambda: _queue_findings(database, offsets),
        }
        for subject, part in parts.items():
            try:
                yield from part()
            except QueueError as error:
                yield Finding(subject=subject, ok=False, advice=str(error))


def reader_finding(environment: Mapping[str, str]) -> Findings:
    """A finding about the key for questions, if there is one: can it read, and nothing more?"""
    key = environment.get("SUPABASE_READER_KEY")
    if not key:
        return
    writes = key == environment.get("SUPABASE_SERVICE_ROLE_KEY")
    can_write = writes or key.startswith("sb_secret_")
    advice = _WRITERS_KEY if can_write else None
    try:
        with SupabaseOperators(load(ReadingSettings), reads=True) as reader:
            reader.status()
    except (QueueError, SettingsError) as error:
        advice = advice or str(error)
    yield Finding(subject="reader's key", ok=advice is None, advice=advice)


def _schema_findings(checksums: Checksums) -> Iterable[Finding]:
    """The parts that are missing. If none is, the parts that differ from this version's."""
    missing = list(missing_parts(checksums))
    return missing or findings(checksums)


def _api_findings(database: SupabaseOperators) -> Findings:
    """The functions that the API does not find although the database may have them."""
    functions = api_functions()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        known = pool.map(database.is_known, functions, functions.values())
        unknown = [
            function
            for function, is_known in zip(functions, known, strict=True)
            if not is_known
        ]
    subject = f"functions at the API ({len(functions)})"
    advice = f"{', '.join(unknown)}: {_STALE}" if unknown else None
    yield Finding(subject=subject, ok=not unknown, advice=advice)


def _audience_findings(settings: ReadingSettings) -> Findings:
    restriction = settings.audience.description
    advice = "what else is due is cancelled, unsent: right in staging; in production, unset SMSRETRY_SEND_TO"
    yield Finding(
        subject=f"whom texts go to: {restriction or 'texts everybody'}",
        ok=True,
        advice=advice if restriction else None,
    )


def _queue_findings(database: SupabaseOperators, offsets: ClockOffsets) -> Findings:
    """What needs attention, as the queue's page has it."""
    status = database.status()
    offsets.record(DATABASE, status.at)
    yield Finding(subject=f"state of the queue: {status.numbers}", ok=True)
    failures = {"stop"}
    if status.silent_seconds is not None:
        # Before the first run everything is late, which is no failure.
        failures.add("late")
    for need in status.needs():
        if need.of == "sender":
            # The provider's findings name it.
            continue
        advice = str(need.remedy)
        if need.remedy.form == "sms-doctor":
            advice = need.remedy.preparation or "see what is bad here"
        yield Finding(
            subject="".join(map(str, status.say(need))),
            ok=need.of not in failures,
            advice=advice,
        )
    for stop in status.orders_to_stop:
        yield Finding(subject=stop.order, ok=True, advice=str(stop.remedy))
