"""Is everything in place? Each setting, connection, function, grant, the zone data, Twilio's account and the sender."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import tzdata

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.data import DATA_VERSION, TZDATA, place, place_names, tables_age
from smsretry.errors import QueueError, SettingsError
from smsretry.retry.models import Finding
from smsretry.settings import load_settings

MAX_AGE: Final = timedelta(days=90)
"""How old time zone data may be. Rules have changed with a few weeks' notice."""
MAX_TABLES_AGE: Final = timedelta(days=180)
"""How old the quiet-hours tables may be. A number from an area code that they lack waits for the strictest hours."""


def examine(*, today: date) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Sends nothing, and keeps nothing of what it rehearses."""
    yield _zone_data(today)
    yield _tables(today)
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding(subject="settings", ok=False, advice=str(error))
        return
    yield Finding(subject="settings", ok=True)
    with SupabaseOperators(settings) as operators:
        yield from _database(operators)
    with TwilioSender(settings) as sender:
        yield from sender.check()


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
    ):
        try:
            yield from ask()
        except QueueError as error:
            yield Finding(subject=subject, ok=False, advice=str(error))


def _zone_data(today: date, version: str = tzdata.IANA_VERSION) -> Finding:
    """Is every zone there, and how old are the rules?"""
    for name in place_names():
        place(name)
    subject = f"time zone data (IANA {version}, pinned)"
    made_with, published = TZDATA
    if version < made_with:
        advice = f"is older than {made_with}, which this release was made with: pip install --upgrade tzdata"
        return Finding(subject=subject, ok=False, advice=advice)
    # A newer version tells only its year, so assume its last day.
    age = today - (published if version == made_with else date(int(version[:4]), 12, 31))
    if age > MAX_AGE:
        advice = f"is {age.days} days old; governments change clocks at short notice: pip install --upgrade tzdata"
        return Finding(subject=subject, ok=True, advice=advice)
    return Finding(subject=subject, ok=True)


def _tables(today: date) -> Finding:
    """How old are the tables of area codes, states, holidays and countries?"""
    age = tables_age(today)
    subject = f"quiet-hours tables of {DATA_VERSION}, {max(age.days, 0)} days old"
    if age > MAX_TABLES_AGE:
        advice = "area codes and laws have changed since: upgrade smsretry, or see python -m smsretry.data.review"
        return Finding(subject=subject, ok=True, advice=advice)
    return Finding(subject=subject, ok=True)
