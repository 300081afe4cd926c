"""Group commit: calls that threads have under way at the same time travel as one request and one transaction.

Nobody waits for a group to fill: whoever finds no request under way sends what is there, and what comes meanwhile is
the next group. Each call keeps its own answer, or its own error. Whatever happens to a group or to the thread that
sends it, nobody waits for ever, and nobody is told of trouble that may be another's: then each repeats its call alone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from smsretry.errors import QueueError

LARGEST_GROUP: Final = 50
"""Calls of one request. `group_sms_calls` takes 100; a group of 50 is committed in about 15 ms."""
LOOK_SECONDS: Final = 1.0
"""How often a call that waits looks whether the thread that sends for it is still there."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function about one claimed row."""

    function: str
    values: Mapping[str, object]
    lock_order: str
    """What it locks first: groups lock in one order."""
    leave_if_busy: bool = False
    """What somebody else holds locked is left for later, and not waited for."""
    business_id: UUID | None = None
    """Whose row it is about."""


class RepeatAlone(Exception):
    """The call is to be made by itself: it, or somebody else's call in its group, met trouble that may pass."""


class NotMade:
    """There was no time left for the call in its group: it belongs to the next one."""


Told = object
"""What a call came to: its answer, the exception that it is to raise, or NotMade."""


@dataclass(slots=True, eq=False)
class _Waiting:
    call: Call
    thread: threading.Thread = field(default_factory=threading.current_thread)
    ready: threading.Event = field(default_factory=threading.Event)
    """It is told something, or is to send the next group."""
    told: list[Told] = field(default_factory=list)
    """What it came to."""
    sent_by: "_Waiting | None" = None
    """Whose request it is part of."""
    left: bool = False
    """Its thread has gone on, and sends for nobody any more."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody can count on its thread."""
        return self.left or not self.thread.is_alive()


class Groups:
    """Puts the calls of many threads together. `send` makes one request of them, and answers each in its place."""

    def __init__(self, send: Callable[[Sequence[Call]], Sequence[Told]]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._leader: _Waiting | None = None
        """Whose request is under way, or comes next."""

    def call(self, call: Call) -> object:
        """Make the call, alone or with others, and return its answer.

        Raises:
            RepeatAlone: it is to be made once more, outside any group.
            SmsRetryError: what the call, or the request of its group, came to.
        """
        mine = _Waiting(call)
        with self._lock:
            self._waiting.append(mine)
        try:
            while not mine.told:
                if self._leads(mine):
                    self._lead(mine)
                else:
                    mine.ready.wait(LOOK_SECONDS)
        finally:
            self._leave(mine)
        told = mine.told[0]
        if isinstance(told, Exception):
            raise told
        return told

    def _leads(self, mine: _Waiting) -> bool:
        """Whether it sends the next group: if nobody does, or whoever did is dead."""
        with self._lock:
            if mine.told:
                return False
            mine.ready.clear()
            if mine.sent_by and mine.sent_by.is_gone:
                mine.told.append(RepeatAlone())  # what became of the request, nobody knows
                mine.ready.set()
            elif not mine.sent_by and (self._leader is None or self._leader.is_gone):
                self._leader = mine
            return self._leader is mine

    def _lead(self, mine: _Waiting) -> None:
        with self._lock:
            group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            for one in group:
                one.sent_by = mine
        told: Sequence[Told] = ()
        try:
            told = self._told([one.call for one in group])
        finally:  # also when the process is asked to stop: the others are told to go on by themselves
            self._tell(group, told)

    def _told(self, calls: Sequence[Call]) -> Sequence[Told]:
        try:
            return self._send(calls)
        except QueueError as error:  # each of the group's callers raises one of its own
            return [_another(error) for _ in calls]
        except Exception:
            if len(calls) == 1:
                raise
            return ()  # a bug, met by one of them: whose it is, each finds out alone

    def _tell(self, group: Sequence[_Waiting], told: Sequence[Told]) -> None:
        """Answer each, and wake whoever sends the next group."""
        with self._lock:
            again = []
            for place, one in enumerate(group):
                answer = told[place] if place < len(told) else RepeatAlone()
                if isinstance(answer, NotMade):
                    one.sent_by = None
                    again.append(one)
                else:
                    one.told.append(answer)
                    one.ready.set()
            self._waiting[:0] = again
            self._leader = None
            self._wake_next()

    def _leave(self, mine: _Waiting) -> None:
        """It is told, or its thread was interrupted: it sends for nobody any more."""
        with self._lock:
            mine.left = True
            if mine in self._waiting:
                self._waiting.remove(mine)
            if self._leader is mine:
                self._leader = None
                self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            self._leader = self._waiting[0]
            self._leader.ready.set()


def _another(error: QueueError) -> Exception:
    """An error of its own for each caller: one that several threads raised would carry each other's tracebacks."""
    try:
        return type(error)(str(error))
    except Exception:  # noqa: BLE001 - a class that is made of something else
        return RepeatAlone()
