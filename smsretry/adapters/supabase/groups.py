"""Group commit: calls that threads have under way at the same time travel as one request and one transaction.

No call waits for a group to fill: one thread makes the requests, and what comes while one is under way is the next
group. Each call gets its own answer or its own error. A group answers within two seconds, whatever one of its calls
waits for (`group_sms_calls`). A call that needs longer is made alone, by the thread that asked for it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from postgrest.exceptions import APIError
from pydantic import BaseModel

from smsretry.adapters.supabase.advice import error_of
from smsretry.adapters.supabase.calls import Reply, SupabaseCalls
from smsretry.errors import (
    QueueBusy,
    QueueCancelled,
    QueueError,
    QueueSlow,
    QueueUnreachable,
)
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


class Groups:
    """Puts the calls of many threads together. `send` makes one request of them, and answers each at its place."""

    def __init__(self, send: Callable[[Sequence[Call]], Sequence[Result]]) -> None:
        self._send = send
        self._thread = ThreadPoolExecutor(1)
        self._waiting = deque[tuple[Call, Future[object]]]()

    def close(self) -> None:
        """End the thread that makes the requests, once it has made them."""
        self._thread.shutdown()

    def call(self, call: Call) -> object:
        """Make the call, alone or with others, and return its answer.

        Raises:
            RepeatAlone: it must be made once more, outside any group.
            SmsRetryError: the error of the call, or of its group's request.
        """
        future = Future[object]()
        self._waiting.append((call, future))
        self._thread.submit(self._make_next)
        return future.result()

    def _make_next(self) -> None:
        """Make the request of all calls that wait; there are none if an earlier group took them.

        Each call asks for a group, and each group makes one call at least, so that none is left.
        """
        group = [
            self._waiting.popleft()
            for _ in range(min(len(self._waiting), LARGEST_GROUP))
        ]
        results = self._results_of([call for call, _ in group]) if group else []
        for (call, future), result in reversed([*zip(group, results, strict=True)]):
            if isinstance(result, NotMade):
                self._waiting.appendleft((call, future))
            elif isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _results_of(self, calls: Sequence[Call]) -> Sequence[Result]:
        try:
            results = self._send(calls)
        except QueueError as error:
            # An error that several threads raise would carry the tracebacks of all.
            return [copy(error) for _ in calls]
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            return [error] if len(calls) == 1 else [RepeatAlone() for _ in calls]
        return results if len(results) == len(calls) else [RepeatAlone() for _ in calls]


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
        self._other_calls = Groups(self.together)

    def __exit__(self, *error: object) -> None:
        for groups in (self._begins, self._other_calls):
            groups.close()
        super().__exit__(*error)

    def about(
        self,
        claim: Claim,
        function: str,
        values: Mapping[str, object],
        *,
        leave_if_busy: bool = False,
    ) -> Reply:
        """Make a call about a claimed row, together with those of other threads.

        Args:
            leave_if_busy: the call is left for the next run if something is locked or slow.
        """
        values = {"retry_id": claim.id, "claim_no": claim.claim_no} | dict(values)
        # As the functions lock: the number, and then its sender.
        order = f"{claim.sender.id or ''} {claim.phone} {claim.business_id} {claim.id}"
        call = Call(function, values, order, leave_if_busy)
        try:
            return Reply(
                function,
                (self._begins if leave_if_busy else self._other_calls).call(call),
            )
        except RepeatAlone:
            passing = (QueueBusy, QueueCancelled) if call.leave_if_busy else ()
            return self.repeated(call.function, call.values, but_for=passing)

    def together(self, calls: Sequence[Call]) -> Sequence[Result]:
        """Make calls as one request and one transaction. Each has its own answer or error, in its place."""
        entries = [
            {
                "function": c.function,
                "values": dict(c.values),
                "lock_order": c.lock_order,
            }
            for c in calls
        ]
        try:
            reply = self.repeated(
                "group_sms_calls", {"calls": entries}, but_for=(QueueBusy, QueueSlow)
            )
        except QueueError as error:
            if type(error) is QueueUnreachable:
                raise
            return [
                RepeatAlone() for _ in calls
            ]  # it may not be called, or took too long: single calls may work
        results = {
            answer.place: self._result_of(calls, answer)
            for answer in self.rows(_Answered, reply)
        }
        if not results:
            raise self.not_ours("group_sms_calls")
        return [results.get(place, NotMade()) for place in range(1, len(calls) + 1)]

    def _result_of(self, calls: Sequence[Call], answer: _Answered) -> Result:
        if not 1 <= answer.place <= len(calls):
            raise self.not_ours("group_sms_calls")
        if not answer.code:
            return answer.answer
        call = calls[answer.place - 1]
        error = APIError(
            {
                "code": answer.code,
                "message": answer.message,
                "hint": answer.hint,
                "details": None,
            }
        )
        trouble = error_of(call.function, error, url=self.url)
        passing = isinstance(trouble, QueueUnreachable) and not (
            call.leave_if_busy and isinstance(trouble, QueueBusy)
        )
        return RepeatAlone() if passing else trouble
