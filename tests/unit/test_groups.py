"""Calls of many threads travel together, and each gets its own answer or error."""

import itertools
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgrest.exceptions import APIError
from pydantic import BaseModel, ValidationError

from smsretry.adapters.supabase.groups import LARGEST_GROUP, Call, Groups, NotMade, Result
from smsretry.errors import QueueError, QueueMismatch, QueueUnreachable


class Wire:
    """Requests that wait until they are let go; answers each call with its name."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.under_way = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.trouble: Exception | None = None

    def send(self, calls: Sequence[Call]) -> list[Result]:
        self.sizes.append(len(calls))
        self.under_way.release()
        assert self.go.acquire(timeout=60)
        if self.trouble:
            raise self.trouble
        return [ValueError(call.function) if call.function.startswith("bad") else call.function for call in calls]


def _call(name: str) -> Call:
    return Call(name, {}, "")


def _start(pool: ThreadPoolExecutor, groups: Groups, wire: Wire, names: Sequence[str]) -> list[Future[object]]:
    """The first call's request is under way when the others come."""
    first = pool.submit(groups.call, _call(names[0]))
    assert wire.under_way.acquire(timeout=60)
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
        assert [call.result(60) for call in calls] == names
    assert wire.sizes == [1, LARGEST_GROUP, 10]


def test_a_call_that_fails_raises_its_own_error_and_the_others_of_its_group_are_answered() -> None:
    """Whatever their order."""
    wire = Wire()
    groups = Groups(wire.send)
    with ThreadPoolExecutor(4) as pool:
        calls = _start(pool, groups, wire, ["one", "two", "bad three", "four"])
        wire.go.release(2)
        with pytest.raises(ValueError, match="bad three"):
            calls[2].result(60)
        assert [call.result(60) for call in (calls[0], calls[1], calls[3])] == ["one", "two", "four"]


def test_when_the_request_fails_each_of_its_group_is_told_and_the_next_group_goes_on() -> None:
    """With an error of its own: one that several threads raised would carry each other's tracebacks."""
    wire = Wire()
    groups = Groups(wire.send)
    wire.trouble = QueueUnreachable("No answer")
    with ThreadPoolExecutor(3) as pool:
        calls = _start(pool, groups, wire, ["one", "two", "three"])
        wire.go.release(2)
        errors = [call.exception(60) for call in calls]
    assert [str(error) for error in errors] == ["No answer"] * 3
    assert len({id(error) for error in errors}) == 3
    wire.trouble = None
    wire.go.release()
    assert groups.call(_call("four")) == "four"


def test_a_thread_that_is_interrupted_leaves_nobody_waiting() -> None:
    """Ctrl-C in the thread that sends for the others."""
    wire = Wire()

    def interrupted(calls: Sequence[Call]) -> list[Result]:
        wire.send(calls)
        raise KeyboardInterrupt

    groups = Groups(interrupted)
    with ThreadPoolExecutor(2) as pool:
        calls = _start(pool, groups, wire, ["one", "two"])
        wire.go.release(2)
        errors = [type(call.exception(60)) for call in calls]
    assert errors == [KeyboardInterrupt, KeyboardInterrupt]


# Whatever is raised


class Odd(Exception):
    """It cannot be made again from its arguments."""

    def __init__(self, one: str, *, two: int) -> None:
        super().__init__()
        self.one, self.two = one, two


class OddQueueError(QueueError):
    """Nor can this one, though it is one of ours."""

    def __init__(self, one: str, *, two: int) -> None:
        super().__init__(one)
        self.two = two


class _Model(BaseModel):
    number: int


def _invalid() -> Exception:
    try:
        _Model.model_validate({"number": "x"})
    except ValidationError as error:
        return error
    raise AssertionError


REQUEST = httpx.Request("POST", "http://127.0.0.1")
RAISED: list[BaseException] = [
    QueueUnreachable("No answer"), QueueMismatch("Another version"), OddQueueError("x", two=2), Odd("x", two=2),
    httpx.ReadTimeout("late", request=REQUEST),
    httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(500)),
    APIError({"code": "57014", "message": "m", "hint": None, "details": None}), _invalid(),
    json.JSONDecodeError("no", "doc", 1), UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), OSError(2, "no", "file"),
    MemoryError(), RecursionError(), StopIteration(), ExceptionGroup("several", [ValueError()]), KeyError("x"),
    KeyboardInterrupt(), SystemExit(1), GeneratorExit(), BaseExceptionGroup("several", [KeyboardInterrupt()]),
]  # fmt: skip


class Trouble:
    """Requests that come to one thing or another, by turns; what is repeated alone is answered."""

    def __init__(self, fates: Sequence[BaseException | int]) -> None:
        self._fates = itertools.cycle(fates)
        self._lock = threading.Lock()

    def send(self, calls: Sequence[Call]) -> list[Result]:
        with self._lock:
            fate = next(self._fates)
        time.sleep(0.001)  # so that others come meanwhile
        if isinstance(fate, BaseException):
            raise fate
        told: list[Result] = [call.function for call in calls]
        if fate == 3 and len(told) > 1:
            told[1:] = [NotMade() for _ in told[1:]]
        return told[: len(told) - 1] if fate == 1 else told + told if fate == 2 else told


@settings(max_examples=25)
@given(st.lists(st.sampled_from([*RAISED, 0, 1, 2, 3]), min_size=1, max_size=6))
def test_nobody_waits_for_ever_and_nobody_has_another_s_answer(fates: list[BaseException | int]) -> None:
    """Whatever a request raises or answers: too little, too much, or that some were not made."""
    groups = Groups(Trouble([*fates, 0]).send)
    ends: dict[str, object] = {}

    def make(name: str) -> None:
        try:
            ends[name] = groups.call(_call(name))
        except BaseException as error:  # noqa: BLE001 - some end a process
            ends[name] = error

    threads = [threading.Thread(target=make, args=[f"call {n}"], daemon=True) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()], "they wait for ever"
    for name, end in ends.items():
        assert end == name or isinstance(end, BaseException)
    assert groups._waiting == []
    assert groups._sender is None


def test_calls_for_which_there_was_no_time_are_the_next_group() -> None:
    """They met no trouble, and are made with whoever has come meanwhile."""
    sizes = []

    def send(calls: Sequence[Call]) -> list[Result]:
        sizes.append(len(calls))
        wire.send(calls)
        return [calls[0].function, *(NotMade() for _ in calls[1:])]

    wire = Wire()
    groups = Groups(send)
    with ThreadPoolExecutor(4) as pool:
        calls = _start(pool, groups, wire, ["one", "two", "three", "four"])
        wire.go.release(4)
        assert [call.result(60) for call in calls] == ["one", "two", "three", "four"]
    assert sizes == [1, 3, 2, 1]
