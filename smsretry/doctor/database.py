"""The database: can it be reached, is its schema right, would a text go out, and does one wait too long?"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from smsretry.adapters.migrations.checksums import Checksums, findings
from smsretry.adapters.migrations.fitting import missing_parts
from smsretry.adapters.migrations.schemas import api_functions
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.doctor.clocks import DATABASE, ClockOffsets
from smsretry.doctor.parts import Findings, Part, remark, verdict
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
            yield verdict("Supabase", str(error))
            return
        yield remark("Supabase connection and key")
        parts: dict[str, Part] = {
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
                yield verdict(subject, str(error))


def reader_finding(environment: Mapping[str, str]) -> Findings:
    """A finding about the key for questions, if there is one: can it read, and nothing more?"""
    key = environment.get("SUPABASE_READER_KEY")
    if not key:
        return
    problem = None
    try:
        with SupabaseOperators(load(ReadingSettings), reads=True) as reader:
            reader.status()
    except (QueueError, SettingsError) as error:
        problem = str(error)
    is_writers = key == environment.get("SUPABASE_SERVICE_ROLE_KEY")
    if is_writers or key.startswith("sb_secret_"):
        problem = _WRITERS_KEY
    yield verdict("reader's key", problem)


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
    advice = f"{', '.join(unknown)}: {_STALE}" if unknown else None
    yield verdict(f"functions at the API ({len(functions)})", advice)


def _audience_findings(settings: ReadingSettings) -> Findings:
    restriction = settings.audience.description
    advice = "what else is due is cancelled, unsent: right in staging; in production, unset SMSRETRY_SEND_TO"
    yield remark(
        f"whom texts go to: {restriction or 'texts everybody'}",
        advice if restriction else None,
    )


def _queue_findings(database: SupabaseOperators, offsets: ClockOffsets) -> Findings:
    """What needs attention, as the queue's page has it."""
    status = database.status()
    offsets.record(DATABASE, status.at)
    yield remark(f"state of the queue: {status.numbers}")
    failures = {"stop"}
    if status.silent_seconds is not None:
        # Before the first run everything is late, which is no failure.
        failures |= {"run", "late"}
    for need in (*status.needs(), *status.orders()):
        advice = str(need.remedy)
        if need.remedy.form == "sms-doctor":
            advice = need.remedy.preparation or "see what is bad here"
        # The provider's findings name the senders.
        if need.of != "sender":
            finding = verdict if need.of in failures else remark
            yield finding("".join(map(str, status.say(need))), advice)
