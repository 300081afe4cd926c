"""Is everything in place? Settings, connections, functions, grants, queue, zone data, provider, Prefect."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.doctor.age import tables_age_finding, zone_data_finding
from smsretry.doctor.callback import callback_findings
from smsretry.doctor.clocks import clock_findings
from smsretry.doctor.key import key_problem
from smsretry.doctor.look import Look
from smsretry.doctor.surroundings import surroundings
from smsretry.doctor.together import together
from smsretry.doctor.usable import usable_settings
from smsretry.doctor.variables import contradictions, each_variable, misspelled, quoted
from smsretry.errors import QueueError, SettingsError
from smsretry.retry.models import Finding
from smsretry.settings import load_reading_settings, setting_problems


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
    look = Look(settings, lacking, problems, now)
    yield from together(
        {
            "proxies and certificates": lambda: surroundings(environment),
            "TWILIO_STATUS_CALLBACK_URL": lambda: callback_findings(settings),
            "Supabase": look.at_database,
            "reader's key": lambda: reader_finding(environment),
            "Twilio": look.at_provider,
            "senders of the businesses": look.at_senders,
            "Prefect": lambda: look.at_prefect(environment),
        }
    )
    yield from clock_findings(look.ahead, rehearsal=settings.twilio_base_url is not None)


def _data(today: date) -> Iterator[Finding]:
    try:
        yield zone_data_finding(today)
    except Exception as error:  # noqa: BLE001 - of a package that is not as it was installed
        advice = f"cannot be read ({type(error).__name__}): pip install --force-reinstall tzdata"
        yield Finding(subject="time zone data", ok=False, advice=advice)
    yield tables_age_finding(today)


def reader_finding(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the key for questions reads, if there is one."""
    if not environment.get("SUPABASE_READER_KEY"):
        return
    advice = None
    try:
        with SupabaseOperators(load_reading_settings()) as reader:
            reader.status()
    except (QueueError, SettingsError) as error:
        advice = str(error)
    yield Finding(subject="reader's key", ok=advice is None, advice=advice)
