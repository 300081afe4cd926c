"""Would a text that is due now go out, and if not, what do I do? What decides it is asked, part by part."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from smsretry.doctor.clocks import clock_findings
from smsretry.doctor.database import database_findings, reader_finding
from smsretry.doctor.facts import fact_findings
from smsretry.doctor.prefect import prefect_findings
from smsretry.doctor.provider import provider_findings
from smsretry.doctor.together import Part, together
from smsretry.doctor.variables import callback_findings, variable_findings
from smsretry.retry.models import Finding
from smsretry.settings import ReadingSettings, Settings, setting_problems, variables


def examine(
    *, now: Callable[[], datetime], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Sends nothing, and keeps nothing of what it rehearses.

    Args:
        now: this machine's clock, which is compared with others and tells the age of the data.
        environment: all variables, to notice a misspelled one.
    """
    yield from fact_findings(now().date())
    problems = setting_problems()
    yield from variable_findings(problems, environment)
    ahead = dict[str, timedelta]()
    parts: dict[str, Part] = {
        "reader's key": lambda: reader_finding(environment),
        "Prefect": lambda: prefect_findings(ahead, now),
        "callbacks": lambda: callback_findings(environment),
    }
    settings = None if problems else Settings()
    if not problems.keys() & variables(ReadingSettings):
        database = settings or ReadingSettings()
        parts = {"Supabase": lambda: database_findings(database, ahead, now), **parts}
    if settings:
        parts["Twilio"] = lambda: provider_findings(settings, ahead, now)
    yield from together(parts)
    yield from clock_findings(
        ahead, rehearsal=bool(settings and settings.twilio_base_url)
    )
    for unasked in sorted({"Supabase", "Twilio"} - parts.keys()):
        yield Finding(
            subject=unasked,
            ok=True,
            advice="was not asked: put the settings right first, then ask again",
        )
