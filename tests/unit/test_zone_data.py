"""Whose time zone data decides, and how old it is."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import tzdata

from smsretry.data import DATA_VERSION, TZDATA
from smsretry.doctor.facts import MAX_TABLES_AGE, fact_findings

QUESTION = """
import json, zoneinfo
from datetime import UTC, datetime
from smsretry.data import clock
from smsretry.quiet_hours.check import check_quiet_hours
at = datetime(2027, 1, 12, 17, tzinfo=UTC)
check = check_quiet_hours("America/New_York", at=at.astimezone(clock("America/New_York")), phone="+12125550123")
local = check.closes_at.in_timezone(clock("America/New_York"))
system = at.astimezone(zoneinfo.ZoneInfo("America/New_York"))
print(json.dumps([check.can_send, check.closes_at.isoformat(), local.hour, local.add(hours=12).hour, system.hour]))
"""


def test_the_pinned_data_decides_where_the_systems_is_wrong(tmp_path: Path) -> None:
    """The system says that New York is on Honolulu's clock; `zoneinfo` believes it, and we do not."""
    wrong = files("tzdata").joinpath("zoneinfo", "Pacific", "Honolulu").read_bytes()
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "New_York").write_bytes(wrong)
    answer = subprocess.run(
        [sys.executable, "-c", QUESTION],
        env=os.environ | {"PYTHONTZPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout) == [True, "2027-01-13T02:00:00+00:00", 21, 9, 7]


def test_old_zone_data_is_reported_with_what_to_do() -> None:
    """Older than 90 days: a warning. Older than what the release was made with: an error."""
    for version, today, ok, advises in (
        ("2026f", date(2026, 11, 24), True, False),
        ("2026f", date(2027, 1, 26), True, False),
        ("2026f", date(2027, 1, 27), True, True),
        ("2027a", date(2028, 3, 30), True, False),
        ("2027a", date(2028, 3, 31), True, True),
        ("2026e", date(2026, 11, 24), False, True),
    ):
        finding, _ = fact_findings(today, version)
        assert (finding.ok, version in finding.subject) == (ok, True)
        assert ("pip install --upgrade tzdata" in (finding.advice or "")) is advises


def test_old_tables_are_reported_with_what_to_do() -> None:
    """Half a year after they were reviewed: a warning. The pinned zone data is the one whose day is written down."""
    assert TZDATA[0] == tzdata.IANA_VERSION
    released = date.fromisoformat(DATA_VERSION)
    (_, young), (_, outdated) = (
        fact_findings(released + MAX_TABLES_AGE + timedelta(days=days))
        for days in (0, 1)
    )
    assert (young.ok, young.advice, outdated.ok) == (True, None, True)
    assert "upgrade smsretry" in (outdated.advice or "")
