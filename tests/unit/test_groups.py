"""Calls of many threads travel together, and each gets its own answer or error."""

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgrest.exceptions import APIError

from smsretry.adapters.supabase.groups import (
    LARGEST_GROUP,
    Call,
    Groups,
    NotMade,
    Result,
)
from smsretry.errors import QueueError, QueueUnreachable
from tests.support.waiting import until


def call_all(
    groups: Groups, names: Sequence[str], *, after: Event | None = None
) -> list[object]:
    """What each call came to: the first is under way when the others come."""

    def make(name: str) -> object:
        if after and name != names[0]:
            after.wait()
        try:
            return groups.call(Call(name, {}, ""))
        except BaseException as error:  # noqa: BLE001 - some end a process
            return f"raised {error}"

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(make, names))


def test_what_comes_while_a_request_is_under_way_is_the_next_group() -> None:
    """Nobody waits for a group to fill, and no group is larger than the largest. What there was no time for is next.

    Each call has its own answer or error, whatever the others of its group have.
    """
    sizes, names = [], [f"call {n}" for n in range(LARGEST_GROUP + 11)]
    under_way = Event()

    def send(calls: Sequence[Call]) -> list[Result]:
        sizes.append(len(calls))
        under_way.set()
        if len(sizes) == 1:
            until(lambda: len(groups._waiting) == len(names) - 1)
        results: list[Result] = [
            ValueError(call.function) if call.function == "call 3" else call.function
            for call in calls
        ]
        return [*results[:30], *(NotMade() for _ in results[30:])]

    groups = Groups(send)
    answers = call_all(groups, names, after=under_way)
    assert answers == [f"raised {name}" if name == "call 3" else name for name in names]
    assert sizes == [1, LARGEST_GROUP, 30]


def test_each_call_of_a_group_learns_that_the_request_changed_nothing() -> None:
    """Each has an error of its own, because one that several threads raise carries all their tracebacks."""

    def send(_calls: Sequence[Call]) -> list[Result]:
        raise QueueUnreachable("No connection", undone=True)

    groups = Groups(send)
    with pytest.raises(QueueUnreachable) as raised:
        groups.call(Call("begin", {}, ""))
    groups.close()
    assert raised.value.undone


RAISED: list[BaseException | int] = [
    QueueUnreachable("No answer"), QueueError("Another version"), MemoryError(), RecursionError(), StopIteration(),
    APIError({"code": "57014", "message": "m", "hint": None, "details": None}), ExceptionGroup("some", [ValueError()]),
    KeyboardInterrupt(), SystemExit(1), GeneratorExit(), BaseExceptionGroup("several", [KeyboardInterrupt()]),
]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*RAISED, 0, 1, 2, 3]), min_size=1, max_size=6))
def test_nobody_waits_for_ever_and_nobody_has_another_s_answer(
    fates: list[BaseException | int],
) -> None:
    """Whatever a request raises or answers: too little, too much, or that some were not made."""
    fate_of = itertools.cycle([*fates, 0])

    def send(calls: Sequence[Call]) -> list[Result]:
        fate = next(fate_of)
        time.sleep(0.001)  # so that others come meanwhile
        if isinstance(fate, BaseException):
            raise fate
        results: list[Result] = [call.function for call in calls]
        if fate == 3:
            results[1:] = [NotMade() for _ in results[1:]]
        return (
            results[: len(results) - 1]
            if fate == 1
            else results + results
            if fate == 2
            else results
        )

    groups, names = Groups(send), [f"call {n}" for n in range(24)]
    ends = call_all(groups, names)
    groups.close()
    assert all(
        end == name or str(end).startswith("raised")
        for name, end in zip(names, ends, strict=True)
    )
