"""Is everything in place? Settings, connections, functions, grants, queue, zone data, provider, metrics, Prefect."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from time import monotonic
from typing import Final

from pydantic import ValidationError

from smsretry.adapters.answering import slow_finding
from smsretry.adapters.prefect.api import PrefectApi
from smsretry.adapters.prefect.definition import declared
from smsretry.adapters.prefect.watch import watch
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.telemetry.export import ENDPOINTS, trouble, wanted
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.sender_checks import check_senders, sender_findings
from smsretry.doctor.age import tables_age_finding, zone_data_finding
from smsretry.doctor.callback import callback_findings
from smsretry.doctor.clocks import DATABASE, PREFECT, PROVIDER, clock_findings
from smsretry.doctor.key import key_problem
from smsretry.doctor.queue import queue_findings
from smsretry.doctor.surroundings import surroundings
from smsretry.doctor.together import together
from smsretry.doctor.variables import contradictions, each_variable, misspelled, quoted
from smsretry.errors import QueueError
from smsretry.retry.models import Finding
from smsretry.sending.ports import Provider
from smsretry.settings import PrefectSettings, Settings, setting_problems, usable_settings
from smsretry.wiring import provider

_PATIENCE: Final = 10.0
"""Seconds that the doctor waits for one answer at most, however long a run would."""


def examine(*, now: Callable[[], datetime], environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Sends nothing, and keeps nothing of what it rehearses.

    What is wrong in one place hides no other: each part is checked that has the settings for it.

    Args:
        now: this machine's clock, which is compared with others and tells the age of the data.
        environment: all variables, to notice a misspelled one.
    """
    yield from _data(now().date())
    problems, (settings, lacking) = setting_problems(), usable_settings()
    key = None if "SUPABASE_SERVICE_ROLE_KEY" in lacking else key_problem(settings, now())
    yield from each_variable({"SUPABASE_SERVICE_ROLE_KEY": key, **problems} if key else problems, environment)
    yield from misspelled(environment)
    yield from quoted(environment)
    yield from contradictions(settings, environment)
    look = _Look(_patient(settings), lacking, problems, now)
    yield from together(
        {
            "proxies and certificates": lambda: surroundings(environment),
            "metrics": lambda: [_metrics(environment)],
            "TWILIO_STATUS_CALLBACK_URL": lambda: callback_findings(settings),
            "Supabase": look.at_database,
            "Twilio": look.at_provider,
            "senders of the businesses": look.at_senders,
            "Prefect": lambda: look.at_prefect(environment),
        }
    )
    yield from clock_findings(look.ahead)


def _data(today: date) -> Iterator[Finding]:
    try:
        yield zone_data_finding(today)
    except Exception as error:  # noqa: BLE001 - of a package that is not as it was installed
        advice = f"cannot be read ({type(error).__name__}): pip install --force-reinstall tzdata"
        yield Finding(subject="time zone data", ok=False, advice=advice)
    yield tables_age_finding(today)


def _patient(settings: Settings) -> Settings:
    """The same, but nothing is waited for longer than a person would."""
    fields = ("supabase_timeout_seconds", "twilio_connect_timeout_seconds", "twilio_read_timeout_seconds")
    return settings.model_copy(update={name: min(getattr(settings, name), _PATIENCE) for name in fields})


class _Look:
    """A look at each part with the settings that are right. The parts are looked at by several threads."""

    def __init__(
        self, settings: Settings, lacking: frozenset[str], problems: Mapping[str, str], now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._lacking = lacking
        self._problems = problems
        self._now = now
        self.ahead: Final = dict[str, timedelta]()
        """By how much other clocks are ahead of this machine's."""

    def at_database(self) -> Iterator[Finding]:
        if without := self._without("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"):
            yield _unasked("Supabase", without)
            return
        answers = False
        with SupabaseOperators(self._settings) as operators:
            for finding in _database(operators):
                answers = answers or finding.ok
                yield finding
            if answers:
                yield from self._clock_and_speed(operators)

    def _clock_and_speed(self, operators: SupabaseOperators) -> Iterator[Finding]:
        """Asked anew: what else is asked may be slow because there is much to count."""
        try:
            asked = monotonic()
            operators.check_longest_answer()
            took, asked = monotonic() - asked, monotonic()
            at = QueueStatus.of(operators.status()).at
        except QueueError:  # it has been said
            return
        self.ahead[DATABASE] = at - self._now()
        fastest = min(took, monotonic() - asked)
        yield from slow_finding("Supabase", fastest, "look at the project's load and region, and the network from here")

    def at_provider(self) -> Iterator[Finding]:
        if without := self._without("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_BASE_URL"):
            yield _unasked("Twilio", without)
            return
        with provider(self._settings) as connected:
            yield from connected.check()
            if at := connected.clock():
                self.ahead[PROVIDER] = at - self._now()

    def at_senders(self) -> Iterator[Finding]:
        """The businesses' own senders. What database and provider lack, they say."""
        if self._without(
            "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_BASE_URL"
        ):
            return
        with SupabaseOperators(self._settings) as operators, provider(self._settings) as connected:
            yield from _senders(operators, connected)

    def at_prefect(self, environment: Mapping[str, str]) -> Iterator[Finding]:
        try:
            settings = PrefectSettings()
        except ValidationError:
            advice = "must be the address of Prefect's API: http://<host>:4200/api"
            yield Finding(subject="PREFECT_API_URL", ok=False, advice=advice)
            return
        with PrefectApi(settings) as api:
            yield from watch(api, declared(), environment)
            if api.fastest is not None:
                self.ahead[PREFECT] = api.now - self._now()

    def _without(self, *variables: str) -> list[str]:
        """Those of the variables without which the part cannot be asked."""
        needed_right = "TWILIO_BASE_URL"  # it is optional, but with a wrong one the real Twilio is not meant
        return [
            name for name in variables if name in self._lacking or (name == needed_right and name in self._problems)
        ]


def _unasked(subject: str, without: list[str]) -> Finding:
    return Finding(subject=subject, ok=True, advice=f"was not asked: it needs {' and '.join(without)}, see above")


def _metrics(environment: Mapping[str, str]) -> Finding:
    """Off, or whether an empty push arrives. What is wrong is a warning, because no text depends on metrics."""
    endpoint = wanted(environment)
    if endpoint is None:
        return Finding(subject=f"metrics (off: {ENDPOINTS[-1]} is not set, or they are switched off)", ok=True)
    advice = trouble(environment)
    if advice is None:
        from smsretry.adapters.telemetry.push import reach

        try:
            why = reach()
            advice = f"none arrives ({why}): check the collector, its port for HTTP (4318) and its key" if why else None
        except Exception as error:  # noqa: BLE001 - of somebody else's code, about somebody else's variables
            advice = str(error)
    return Finding(subject=f"metrics to {endpoint}", ok=True, advice=advice)


def _database(operators: SupabaseOperators) -> Iterator[Finding]:
    try:
        findings = operators.check()
    except QueueError as error:
        yield Finding(subject="Supabase", ok=False, advice=str(error))
        return
    yield Finding(subject="Supabase connection and key", ok=True)
    yield from findings
    for subject, ask in (
        ("shapes of the application's tables", operators.check_shapes),
        ("rehearsal of queue, claim, begin and finish", operators.rehearse),
        ("rows of an answer", operators.check_longest_answer),
        ("state of the queue", lambda: queue_findings(QueueStatus.of(operators.status()))),
    ):
        try:
            yield from ask()
        except QueueError as error:
            yield Finding(subject=subject, ok=False, advice=str(error))


def _senders(operators: SupabaseOperators, connected: Provider) -> Iterator[Finding]:
    """The businesses' own senders. If the database cannot be asked, that has been said."""
    try:
        senders = [one for one in operators.senders() if one.sender_id]
    except QueueError:
        return
    yield from sender_findings(check_senders(senders, connected.check_sender))
