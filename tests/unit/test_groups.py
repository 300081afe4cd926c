"""Calls of many threads travel together, and each gets its own answer or error."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from smsretry.adapters.supabase.groups import LARGEST_GROUP, Call, Groups, Told
from smsretry.errors import QueueUnreachable


class Wire:
    """Requests that wait until they are let go; answers each call with its name."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.under_way = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.trouble: Exception | None = None

    def send(self, calls: Sequence[Call]) -> list[Told]:
        self.sizes.append(len(calls))
        self.under_way.release()
        assert self.go.acquire(timeout=10)
        if self.trouble:
            raise self.trouble
        return [ValueError(call.function) if call.function.startswith("bad") else call.function for call in calls]


def _call(name: str) -> Call:
    return Call(name, {}, "")


def _start(pool: ThreadPoolExecutor, groups: Groups, wire: Wire, names: Sequence[str]) -> list[Future[object]]:
    """The first call's request is under way when the others come."""
    first = pool.submit(groups.call, _call(names[0]))
    assert wire.under_way.acquire(timeout=10)
    rest = [pool.submit(groups.call, _call(name)) for name in names[1:]]
    while len(groups._waiting) < len(rest):
        threading.Event().wait(0.001)
    return [first, *rest]


def test_what_comes_while_a_request_is_under_way_is_the_next_group() -> None:
    """Nobody waits for a group to fill, and no group is larger than the largest."""
    wire = Wire()
    groups = Groups(wire.send)
    names = [f"call {n}" for n in range(LARGEST_GROUP + 11)]
    with ThreadPoolExecutor(len(names)) as pool:
        calls = _start(pool, groups, wire, names)
        wire.go.release(3)
        assert [call.result(10) for call in calls] == names
    assert wire.sizes == [1, LARGEST_GROUP, 10]


def test_a_call_that_fails_raises_its_own_error_and_the_others_of_its_group_are_answered() -> None:
    """Whatever their order."""
    wire = Wire()
    groups = Groups(wire.send)
    with ThreadPoolExecutor(4) as pool:
        calls = _start(pool, groups, wire, ["one", "two", "bad three", "four"])
        wire.go.release(2)
        with pytest.raises(ValueError, match="bad three"):
            calls[2].result(10)
        assert [call.result(10) for call in (calls[0], calls[1], calls[3])] == ["one", "two", "four"]


def test_when_the_request_fails_each_of_its_group_is_told_and_the_next_group_goes_on() -> None:
    """With an error of its own: one that several threads raised would carry each other's tracebacks."""
    wire = Wire()
    groups = Groups(wire.send)
    wire.trouble = QueueUnreachable("No answer")
    with ThreadPoolExecutor(3) as pool:
        calls = _start(pool, groups, wire, ["one", "two", "three"])
        wire.go.release(2)
        errors = [call.exception(10) for call in calls]
    assert [str(error) for error in errors] == ["No answer"] * 3
    assert len({id(error) for error in errors}) == 3
    wire.trouble = None
    wire.go.release()
    assert groups.call(_call("four")) == "four"


def test_a_thread_that_is_interrupted_leaves_nobody_waiting() -> None:
    """Ctrl-C in the thread that sends for the others."""
    wire = Wire()

    def interrupted(calls: Sequence[Call]) -> list[Told]:
        wire.send(calls)
        raise KeyboardInterrupt

    groups = Groups(interrupted)
    with ThreadPoolExecutor(2) as pool:
        calls = _start(pool, groups, wire, ["one", "two"])
        wire.go.release(2)
        errors = [type(call.exception(10)) for call in calls]
    assert errors == [KeyboardInterrupt, KeyboardInterrupt]
