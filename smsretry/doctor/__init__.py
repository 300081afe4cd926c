"""Would a text that is due now go out, and if not, what do I do? Each part that decides it is examined."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from smsretry.doctor.clocks import ClockOffsets, clock_findings
from smsretry.doctor.database import database_findings, reader_finding
from smsretry.doctor.facts import fact_findings
from smsretry.doctor.parts import Findings, Part, examine_parts, remark
from smsretry.doctor.prefect import prefect_findings
from smsretry.doctor.provider import provider_findings
from smsretry.doctor.variables import (
    callback_findings,
    expiry_findings,
    variable_findings,
)
from smsretry.settings import ReadingSettings, Settings, setting_problems, variables

_NOT_ASKED: Final = "was not asked: put the settings right first, then ask again"


def examine(*, now: Callable[[], datetime], environment: Mapping[str, str]) -> Findings:
    """Findings, in the order in which to mend them. The examination sends nothing, and undoes what it rehearses.

    Args:
        now: this machine's clock, which is compared with others and tells the age of the data.
        environment: all variables, to notice a misspelled one.
    """
    yield from fact_findings(now().date())
    problems = setting_problems()
    yield from variable_findings(problems, environment)
    yield from expiry_findings(environment, now())
    offsets = ClockOffsets(now)
    settings = _usable_settings(problems)
    parts: dict[str, Part] = {
        "reader's key": lambda: reader_finding(environment),
        "Prefect": lambda: prefect_findings(offsets),
        "callbacks": lambda: callback_findings(environment),
    }
    if settings:
        parts = {"Supabase": lambda: database_findings(settings, offsets), **parts}
    if isinstance(settings, Settings):
        parts["Twilio"] = lambda: provider_findings(settings, offsets)
    yield from examine_parts(parts)
    is_rehearsal = bool(environment.get("TWILIO_BASE_URL"))
    yield from clock_findings(offsets, rehearsal=is_rehearsal)
    for subject in ("Supabase", "Twilio"):
        if subject not in parts:
            yield remark(subject, _NOT_ASKED)


def _usable_settings(problems: Mapping[str, str]) -> ReadingSettings | None:
    """All settings if they are right, else the database's if those are."""
    if not problems:
        return Settings()
    # The reader's key is checked by these alone.
    problems = {**problems, **setting_problems(ReadingSettings)}
    if problems.keys() & variables(ReadingSettings):
        return None
    return ReadingSettings()
