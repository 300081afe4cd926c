"""Parts that are asked at once: in their order, and none stops another."""

from collections.abc import Iterator
from importlib import import_module
from threading import Barrier, Event

import pytest

from smsretry.doctor.together import together
from smsretry.retry.models import Finding


def fine(subject: str) -> Iterator[Finding]:
    """A part with nothing to say."""
    yield Finding(subject=subject, ok=True)


def broken() -> Iterator[Finding]:
    """A part that finds something, and then breaks with words that nobody may read."""
    yield Finding(subject="first", ok=True)
    raise ValueError("secret")


def test_all_parts_are_under_way_at_once() -> None:
    """Each waits for the other, or the barrier breaks."""
    both = Barrier(2, timeout=60)

    def part(subject: str) -> Iterator[Finding]:
        both.wait()
        yield from fine(subject)

    parts = {"one": lambda: part("one"), "other": lambda: part("other")}
    assert [found.subject for found in together(parts)] == ["one", "other"]


def test_a_part_that_breaks_is_told_and_stops_no_other() -> None:
    """What it had found is told before."""
    found = list(together({"breaks": broken, "other": lambda: fine("other")}))
    assert [(one.subject, one.ok) for one in found] == [("first", True), ("breaks", False), ("other", True)]
    assert "ValueError" in str(found[1].advice)
    assert "secret" not in str(found)


def test_a_part_that_does_not_end_is_told_and_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is what others found meanwhile."""
    end, other_found, now = Event(), Event(), 0.0
    monkeypatch.setattr(import_module("smsretry.doctor.together"), "monotonic", lambda: now)

    def hangs() -> Iterator[Finding]:
        yield Finding(subject="first", ok=True)
        end.wait()

    def other() -> Iterator[Finding]:
        yield from fine("other")
        other_found.set()

    telling = together({"hangs": hangs, "other": other}, seconds=120)
    found = [next(telling)]
    assert other_found.wait(120)
    now = 120
    found += telling
    end.set()
    assert [(one.subject, one.ok) for one in found] == [("first", True), ("hangs", False), ("other", True)]
