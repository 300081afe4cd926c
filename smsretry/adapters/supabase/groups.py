"""Group commit: calls that threads have under way at the same time travel as one request and one transaction.

No call waits for a group to fill: a thread that finds no request under way sends the calls that are there, and calls
that come meanwhile are the next group. Each call gets its own answer or its own error. If the thread that sends is
interrupted, the others repeat their calls alone. A group answers within two seconds, whatever one of its calls waits
for (`group_sms_calls`).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from postgrest.exceptions import APIError
from pydantic import BaseModel

from smsretry.adapters.supabase.advice import explain
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.errors import QueueBusy, QueueCancelled, QueueError, QueueMismatch, QueueSlow, QueueUnreachable
from smsretry.retry.models import Claim
from smsretry.settings import Settings

LARGEST_GROUP: Final = 50
"""Calls of one request. `group_sms_calls` takes 100; a group of 50 is committed in about 15 ms."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function about one claimed row."""

    function: str
    values: Mapping[str, object]
    lock_order: str
    """Sorts the calls of a group, so that all groups lock in the same order."""
    leave_if_busy: bool = False
    """Whether the call is left for later, and does not wait, if somebody else holds a lock that it needs."""


class RepeatAlone(Exception):
    """The call must be made alone: it, or another call in its group, met trouble that may pass."""


class NotMade:
    """There was no time left for the call in its group, so it belongs to the next one."""


Result = object
"""The result of a call: its answer, the exception to raise, or NotMade."""


@dataclass(slots=True, eq=False)
class _Waiting:
    call: Call
    results: list[Result] = field(default_factory=list)
    """Its result, once it has one."""


class Groups:
    """Puts the calls of many threads together. `send` makes one request of them, and answers each at its place."""

    def __init__(self, send: Callable[[Sequence[Call]], Sequence[Result]]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._sender: _Waiting | None = None
        """The call whose thread makes the request that is under way."""

    def call(self, call: Call) -> object:
        """Make the call, alone or with others, and return its answer.

        Raises:
            RepeatAlone: it must be made once more, outside any group.
            SmsRetryError: the error of the call, or of its group's request.
        """
        mine = _Waiting(call)
        try:
            with self._changed:
                self._waiting.append(mine)
            while not mine.results:
                self._take_part(mine)
        finally:
            with self._changed:
                if mine in self._waiting:  # its thread was interrupted
                    self._waiting.remove(mine)
        result = mine.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    def _take_part(self, mine: _Waiting) -> None:
        """Wait for the request that is under way, or make the next one."""
        group: list[_Waiting] = []
        results: Sequence[Result] = ()
        try:
            with self._changed:
                self._changed.wait_for(lambda: mine.results or self._sender is None)
                if mine.results:
                    return
                self._sender = mine
                group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            results = self._results_of([one.call for one in group])
        finally:  # also when the process is asked to stop: then the others repeat their calls alone
            with self._changed:
                if self._sender is mine:
                    answers = [*results[: len(group)], *(RepeatAlone() for _ in group[len(results) :])]
                    for one, answer in zip(group, answers, strict=True):
                        if not isinstance(answer, NotMade):
                            one.results.append(answer)
                    self._waiting[:0] = [one for one in group if not one.results]
                    self._sender = None
                    self._changed.notify_all()

    def _results_of(self, calls: Sequence[Call]) -> Sequence[Result]:
        try:
            return self._send(calls)
        except QueueError as error:  # each caller raises an error of its own
            return [_another(error) for _ in calls]
        except Exception:
            if len(calls) == 1:
                raise
            return ()  # a bug in one of the calls: each finds out alone whether it is its own


def _another(error: QueueError) -> Exception:
    """A new error for each caller. If several threads raised the same one, it would carry all their tracebacks."""
    try:
        return type(error)(str(error))
    except Exception:  # noqa: BLE001 - a class that is made of something else
        return RepeatAlone()


class _Answered(BaseModel):
    """The result of one call of a group."""

    place: int
    answer: Any = None
    code: str | None = None
    message: str | None = None
    hint: str | None = None


class SupabaseGroups(SupabaseCalls):
    """The calls about one claimed row each."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._begins = Groups(self.together)
        self._others = Groups(self.together)

    def about(
        self, claim: Claim, function: str, values: Mapping[str, object], *, leave_if_busy: bool = False
    ) -> object:
        """Make a call about a claimed row, together with those of other threads.

        Args:
            leave_if_busy: the call is left for the next run if something is locked or slow.
        """
        values = {"retry_id": claim.id, "claim_no": claim.claim_no} | dict(values)
        # As the functions lock: the number, and then its sender.
        order = f"{claim.sender.id if claim.sender else ''} {claim.phone} {claim.business_id} {claim.id}"
        call = Call(function, values, order, leave_if_busy)
        try:
            return (self._begins if leave_if_busy else self._others).call(call)
        except RepeatAlone:
            return self._alone(call)

    def _alone(self, call: Call) -> object:
        left = (QueueBusy, QueueCancelled) if call.leave_if_busy else ()
        return self.repeated(call.function, call.values, but_for=left)

    def together(self, calls: Sequence[Call]) -> Sequence[Result]:
        """Make several calls as one request and one transaction. Each has its own answer or error, in its place."""
        if len(calls) == 1:
            return [self._alone(calls[0])]
        given = [{"function": c.function, "values": dict(c.values), "lock_order": c.lock_order} for c in calls]
        try:
            answer = self.repeated("group_sms_calls", {"calls": given}, but_for=(QueueBusy, QueueSlow))
        except (QueueMismatch, QueueSlow, QueueBusy):  # it may not be called, or took too long: single calls may work
            return [RepeatAlone() for _ in calls]
        results = {one.place: self._result_of(calls, one) for one in self.rows(_Answered, "group_sms_calls", answer)}
        if not results:
            raise self.not_ours("group_sms_calls")
        return [results.get(place, NotMade()) for place in range(1, len(calls) + 1)]

    def _result_of(self, calls: Sequence[Call], answered: _Answered) -> Result:
        if not 1 <= answered.place <= len(calls):
            raise self.not_ours("group_sms_calls")
        if not answered.code:
            return answered.answer
        call = calls[answered.place - 1]
        error = APIError({"code": answered.code, "message": answered.message, "hint": answered.hint, "details": None})
        trouble = explain(call.function, error, url=self.url)
        passing = isinstance(trouble, QueueUnreachable) and not (call.leave_if_busy and isinstance(trouble, QueueBusy))
        return RepeatAlone() if passing else trouble
