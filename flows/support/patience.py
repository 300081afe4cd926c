"""Waiting for something slow, and not longer than that."""

from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from typing import Final, TypeVar

_T = TypeVar("_T")
_END: Final = object()


def each_within(seconds: float, slow: Iterator[_T], late: _T) -> Iterator[_T]:
    """What an iterator yields, each within so many seconds; when one takes longer, `late` and the end.

    The iterator runs in a thread of its own, which nobody waits for then.
    """
    found: Queue[object] = Queue()

    def look() -> None:
        try:
            for one in slow:
                found.put(one)
        except BaseException as error:  # noqa: BLE001 - raised where the iterator is read
            found.put(error)
        found.put(_END)

    Thread(target=look, daemon=True).start()
    while True:
        try:
            one = found.get(timeout=seconds)
        except Empty:
            yield late
            return
        if one is _END:
            return
        if isinstance(one, BaseException):
            raise one
        yield one  # type: ignore[misc]
