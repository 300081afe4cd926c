"""Parts that are asked at once: in their order, and none stops another."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from itertools import repeat
from queue import Queue
from threading import Barrier, Event, Thread, current_thread

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


def test_parts_are_asked_at_once_and_one_that_breaks_is_told_and_stops_no_other() -> None:
    """Each waits for the other, or the barrier breaks. What it had found is told before, and no word of the error."""
    both = Barrier(2, timeout=60)

    def part(found: Iterator[Finding]) -> Iterator[Finding]:
        both.wait()
        yield from found

    found = list(together({"breaks": lambda: part(broken()), "other": lambda: part(fine("other"))}))
    assert [(one.subject, one.ok) for one in found] == [("first", True), ("breaks", False), ("other", True)]
    assert "ValueError" in str(found[1].advice)
    assert "secret" not in str(found)


def test_a_part_that_does_not_end_is_told_and_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is what others found meanwhile. The time is over once both have found what they find."""
    end, told, others = Event(), Event(), Queue[Thread]()

    def hangs() -> Iterator[Finding]:
        yield Finding(subject="first", ok=True)
        told.set()
        end.wait()

    def other() -> Iterator[Finding]:
        others.put(current_thread())
        yield from fine("other")

    def clock() -> Iterator[float]:
        yield 0.0
        assert told.wait(60)
        others.get(timeout=60).join(60)
        yield from repeat(120.0)

    monkeypatch.setattr(import_module("smsretry.doctor.together"), "monotonic", partial(next, clock()))
    found = list(together({"hangs": hangs, "other": other}, seconds=120))
    end.set()
    assert [(one.subject, one.ok) for one in found] == [("first", True), ("hangs", False), ("other", True)]
