"""Group commit: calls that threads have under way at the same time travel as one request and one transaction.

Nobody waits for a group to fill: whoever finds no request under way sends what is there, and what comes meanwhile is
the next group. Each call keeps its own answer, or its own error.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from smsretry.errors import QueueUnreachable

LARGEST_GROUP: Final = 50
"""Calls of one request. `group_sms_calls` takes 100; a group of 50 is committed in about 15 ms."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function about one claimed row."""

    function: str
    values: Mapping[str, object]
    lock_order: str
    """What it locks first: groups lock in one order."""
    leave_if_busy: bool = False
    """What somebody else holds locked is left for later, and not waited for."""


class RepeatAlone(Exception):
    """One call of a group met a passing trouble, such as a deadlock; the others are done."""


Told = object
"""What a call came to: its answer, or the exception that it is to raise."""


@dataclass(slots=True)
class _Waiting:
    call: Call
    ready: threading.Event = field(default_factory=threading.Event)
    told: list[Told] = field(default_factory=list)
    """What it came to. Empty when it is woken to send the next group."""


class Groups:
    """Puts the calls of many threads together. `send` makes one request of them, and answers each in its place."""

    def __init__(self, send: Callable[[Sequence[Call]], Sequence[Told]]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._under_way = False

    def call(self, call: Call) -> object:
        """Make the call, alone or with others, and return its answer.

        Raises:
            RepeatAlone: it is to be made once more, outside any group.
            SmsRetryError: what the call, or the request of its group, came to.
        """
        mine = _Waiting(call)
        with self._lock:
            self._waiting.append(mine)
            leads, self._under_way = not self._under_way, True
        if not leads:
            mine.ready.wait()
        if not mine.told:
            self._lead()
        told = mine.told[0]
        if isinstance(told, Exception):
            raise told
        return told

    def _lead(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
        told: Sequence[Told] = ()
        try:
            told = self._send([waiting.call for waiting in group])
        except Exception as error:  # noqa: BLE001 - each of the group's callers raises one of its own
            told = [type(error)(*error.args) for _ in group]
        except BaseException:
            told = [QueueUnreachable("The process was asked to stop") for _ in group]
            raise
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._under_way = heir is not None
            for waiting, answer in zip(group, told, strict=True):
                waiting.told.append(answer)
                waiting.ready.set()
            if heir is not None:
                heir.ready.set()
