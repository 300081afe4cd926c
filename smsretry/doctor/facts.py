"""How old are the facts that the package contains: time zones, area codes, states, holidays?"""

from datetime import date, timedelta
from typing import Final

import tzdata

from smsretry.data import DATA_VERSION, TZDATA, clock, tables_age, zone_names
from smsretry.doctor.parts import Findings, remark, verdict
from smsretry.retry.models import Finding

MAX_AGE: Final = timedelta(days=90)
"""How old time zone data may be. Rules have changed with a few weeks' notice."""
MAX_TABLES_AGE: Final = timedelta(days=180)
"""How old the quiet-hours tables may be. A number from an area code that they lack waits for the strictest hours."""


def fact_findings(today: date, version: str = tzdata.IANA_VERSION) -> Findings:
    """Whether every zone can be read, and how old the rules and the tables are."""
    yield _zone_finding(today, version)
    age = tables_age(today)
    advice = "area codes and laws have changed since: upgrade smsretry, or see smsretry/quiet_hours/README.md"
    yield remark(
        f"quiet-hours tables of {DATA_VERSION}, {max(age.days, 0)} days old",
        advice if age > MAX_TABLES_AGE else None,
    )


def _zone_finding(today: date, version: str) -> Finding:
    subject = f"time zone data (IANA {version}, pinned)"
    try:
        for name in zone_names():
            clock(name)
    except Exception as error:  # noqa: BLE001 - the package is not as it was installed
        advice = f"cannot be read ({type(error).__name__}): pip install --force-reinstall tzdata"
        return verdict(subject, advice)
    release_version, published = TZDATA
    if version < release_version:
        advice = f"is older than {release_version}, which this release was made with: pip install --upgrade tzdata"
        return verdict(subject, advice)
    if version > release_version:
        # A newer version tells only its year, so assume its last day.
        published = date(int(version[:4]), 12, 31)
    age = today - published
    advice = f"is {age.days} days old; governments change clocks at short notice: pip install --upgrade tzdata"
    return remark(subject, advice if age > MAX_AGE else None)
