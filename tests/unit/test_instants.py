"""Instants as a person reads them."""

import importlib
import pkgutil
from datetime import UTC
from uuid import UUID
from zoneinfo import ZoneInfo

import smsretry
from smsretry.instants import on_clock, span
from smsretry.retry.answers import Begun
from smsretry.retry.models import ItemResult, Value
from tests.support.builders import NOON

TOKYO = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
"""The same instant, as a database session in another zone answers it."""
SHOWN = "Tue 12 Jan 17:00 UTC"


def test_an_instant_is_shown_on_utcs_clock_unless_a_zone_is_named() -> None:
    """Whatever zone it came in. The zone is always beside it."""
    assert on_clock(TOKYO) == SHOWN
    assert on_clock(TOKYO, ZoneInfo("America/New_York")) == "Tue 12 Jan 12:00 EST"
    result = ItemResult(retry_id=UUID(int=1), fate="Deferred", detail="Quiet hours", next_at=TOKYO)
    assert str(result) == f"Quiet hours — next at {SHOWN}"


def test_every_instant_that_is_read_from_outside_is_on_utcs_clock_at_once() -> None:
    """In each value that an adapter reads, and in those that somebody adds: `Instant` is the type for them."""
    for module in pkgutil.walk_packages(smsretry.__path__, "smsretry."):
        if module.name.startswith(("smsretry.retry", "smsretry.desk.questions")):
            importlib.import_module(module.name)
    kinds: list[type[Value]] = [Value]
    for kind in kinds:
        kinds += kind.__subclasses__()
    read = {
        f"{kind.__name__}.{name}": f"{field.annotation} {field.metadata}"
        for kind in kinds
        for name, field in kind.model_fields.items()
    }
    aware = {name: said for name, said in read.items() if "AwareDatetime" in said}
    assert len(aware) > 50
    assert [name for name, said in aware.items() if said.count("AwareDatetime") != said.count("_in_utc")] == []
    answer = Begun(answer="go", why=None, decided_at=TOKYO)
    assert (answer.decided_at, answer.decided_at.tzinfo) == (TOKYO, UTC)


def test_a_span_is_told_in_the_largest_unit_that_fits() -> None:
    """With the next smaller one, if it has any."""
    shown = [span(seconds) for seconds in (40, 720, 3600, 12_000, 86_400, 190_800)]
    assert shown == ["40 s", "12 min", "1 h", "3 h 20 min", "1 d", "2 d 5 h"]
