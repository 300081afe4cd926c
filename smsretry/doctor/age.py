"""How old are the facts that the package contains: time zones, area codes, states, holidays?"""

from datetime import date, timedelta
from typing import Final

import tzdata

from smsretry.data import DATA_VERSION, TZDATA, place, place_names, tables_age
from smsretry.retry.models import Finding

MAX_AGE: Final = timedelta(days=90)
"""How old time zone data may be. Rules have changed with a few weeks' notice."""
MAX_TABLES_AGE: Final = timedelta(days=180)
"""How old the quiet-hours tables may be. A number from an area code that they lack waits for the strictest hours."""


def zone_data_finding(today: date, version: str = tzdata.IANA_VERSION) -> Finding:
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
    advice = f"is {age.days} days old; governments change clocks at short notice: pip install --upgrade tzdata"
    return Finding(subject=subject, ok=True, advice=advice if age > MAX_AGE else None)


def tables_age_finding(today: date) -> Finding:
    """How old are the tables of area codes, states, holidays and countries?"""
    age = tables_age(today)
    subject = f"quiet-hours tables of {DATA_VERSION}, {max(age.days, 0)} days old"
    advice = "area codes and laws have changed since: upgrade smsretry, or see python -m smsretry.data.review"
    return Finding(subject=subject, ok=True, advice=advice if age > MAX_TABLES_AGE else None)
