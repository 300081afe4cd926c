"""How old are the facts that the package contains: time zones, area codes, states, holidays?"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import tzdata

from smsretry.data import DATA_VERSION, TZDATA, clock, tables_age, zone_names
from smsretry.retry.models import Finding

MAX_AGE: Final = timedelta(days=90)
"""How old time zone data may be. Rules have changed with a few weeks' notice."""
MAX_TABLES_AGE: Final = timedelta(days=180)
"""How old the quiet-hours tables may be. A number from an area code that they lack waits for the strictest hours."""


def fact_findings(today: date, version: str = tzdata.IANA_VERSION) -> Iterator[Finding]:
    """Is every zone there, and how old are the rules and the tables?"""
    subject, (made_with, published) = f"time zone data (IANA {version}, pinned)", TZDATA
    try:
        for name in zone_names():
            clock(name)
    except Exception as error:  # noqa: BLE001 - of a package that is not as it was installed
        advice = f"cannot be read ({type(error).__name__}): pip install --force-reinstall tzdata"
        yield Finding(subject=subject, ok=False, advice=advice)
        return
    # A newer version tells only its year, so assume its last day.
    age = today - (
        published if version <= made_with else date(int(version[:4]), 12, 31)
    )
    stale = f"is {age.days} days old; governments change clocks at short notice: pip install --upgrade tzdata"
    older = f"is older than {made_with}, which this release was made with: pip install --upgrade tzdata"
    outdated = stale if age > MAX_AGE else None
    if version < made_with:
        outdated = older
    yield Finding(subject=subject, ok=version >= made_with, advice=outdated)
    subject, age = (
        f"quiet-hours tables of {DATA_VERSION}, {max(tables_age(today).days, 0)} days old",
        tables_age(today),
    )
    changed = "area codes and laws have changed since: upgrade smsretry, or see smsretry/quiet_hours/README.md"
    yield Finding(
        subject=subject, ok=True, advice=changed if age > MAX_TABLES_AGE else None
    )
