"""Instants as a person reads them."""

from uuid import UUID
from zoneinfo import ZoneInfo

from smsretry.instants import on_clock, span
from smsretry.retry.models import ItemResult
from tests.support.builders import NOON

TOKYO = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
"""The same instant, as a database session in another zone answers it."""
SHOWN = "Tue 12 Jan 17:00 UTC"


def test_an_instant_is_shown_on_utcs_clock_unless_a_zone_is_named() -> None:
    """Whatever zone it came in. The zone is always beside it."""
    assert on_clock(TOKYO) == SHOWN
    assert on_clock(TOKYO, ZoneInfo("America/New_York")) == "Tue 12 Jan 12:00 EST"
    result = ItemResult(
        retry_id=UUID(int=1), fate="Deferred", why="Quiet hours", due_at=TOKYO
    )
    assert str(result) == f"Quiet hours — next at {SHOWN}"


def test_a_span_is_written_in_the_largest_unit_that_fits() -> None:
    """With the next smaller one, if it has any."""
    texts = [span(seconds) for seconds in (40, 720, 3600, 12_000, 86_400, 190_800)]
    assert texts == ["40 s", "12 min", "1 h", "3 h 20 min", "1 d", "2 d 5 h"]
