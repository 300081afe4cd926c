"""Instants as a person reads them."""

from uuid import UUID
from zoneinfo import ZoneInfo

from smsretry.desk.questions.forecast import Forecast, HourAhead
from smsretry.instants import on_clock, span
from smsretry.retry.answers import InterruptedRun
from smsretry.retry.models import ItemResult
from tests.support.builders import NOON

TOKYO = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
"""The same instant, as a database session in another zone answers it."""
SHOWN = "Tue 12 Jan 17:00 UTC"


def test_an_instant_is_shown_on_utcs_clock_unless_a_zone_is_named() -> None:
    """Whatever zone it came in. The zone is always beside it."""
    assert on_clock(TOKYO) == SHOWN
    assert on_clock(TOKYO, ZoneInfo("America/New_York")) == "Tue 12 Jan 12:00 EST"


def test_results_runs_and_hours_name_the_zone_of_the_clock_that_they_show() -> None:
    """They had the session's hour, with UTC behind it."""
    assert str(ItemResult(retry_id=UUID(int=1), fate="Deferred", detail="Quiet hours", next_at=TOKYO)) == (
        f"Quiet hours — next at {SHOWN}"
    )
    run = InterruptedRun(id=UUID(int=1), started_at=TOKYO, accepted=1, in_doubt=0, refused=0)
    assert f" of {SHOWN} was interrupted" in str(run)
    ahead = Forecast(made_at=TOKYO, hours=(HourAhead(starts_at=TOKYO, texts=1),), businesses=(), complete=True)
    assert f"  from {SHOWN} " in list(ahead.lines())[2]


def test_a_span_is_told_in_the_largest_unit_that_fits() -> None:
    """With the next smaller one, if it has any."""
    shown = [span(seconds) for seconds in (40, 720, 3600, 12_000, 86_400, 190_800)]
    assert shown == ["40 s", "12 min", "1 h", "3 h 20 min", "1 d", "2 d 5 h"]
