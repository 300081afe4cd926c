"""Group commit: calls that threads have under way at the same time travel as one request and one transaction.

No call waits for a group to fill: one thread makes the requests, and what comes while one is under way is the next
group. Each call gets its own answer or its own error. The database ends a group after two seconds, whatever one of its
calls waits for (`group_sms_calls`). A call that needs longer is made alone, by the thread that asked for it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from postgrest.exceptions import APIError
from pydantic import BaseModel

from smsretry.adapters.supabase.advice import explain_refusal
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.columns import fence
from smsretry.adapters.supabase.reply import Reply
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
    arguments: Mapping[str, object]
    lock_order: str
    """Sorts the calls of a group, so that all groups lock in the same order."""
    leave_if_busy: bool = False
    """Whether the call ends, and is not repeated alone, if somebody else holds a lock that it needs."""


class RepeatAlone(Exception):
    """The call must be made alone, because it or its group met trouble that may pass."""


class NotMade:
    """There was no time left for the call in its group, so it belongs to the next one."""


Result = object
"""What came of a call: its answer, the exception to raise, or NotMade."""


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
        if not group:
            return
        results = self._results_of([call for call, _ in group])
        # From the last to the first, so that those not made wait in their order.
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
            if len(calls) == 1:
                return [error]
            results = []
        if len(results) != len(calls):
            return [RepeatAlone() for _ in calls]
        return results


class _CallResult(BaseModel):
    """The database's result of one call of a group: an answer, or the error of PostgREST's shape."""

    place: int
    answer: Any = None
    code: str | None = None
    message: str | None = None
    hint: str | None = None


class SupabaseGroups(SupabaseCalls):
    """Calls about claimed rows, which are made in groups."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # A begin may wait for a lock. The other calls do not wait with it.
        self._begins = Groups(self.call_as_group)
        self._other_calls = Groups(self.call_as_group)

    def __exit__(self, *error: object) -> None:
        for groups in (self._begins, self._other_calls):
            groups.close()
        super().__exit__(*error)

    def call_for_claim(
        self,
        claim: Claim,
        function: str,
        arguments: Mapping[str, object],
        *,
        leave_if_busy: bool = False,
    ) -> Reply:
        """Make a call about a claimed row, in a group with calls of other threads.

        Args:
            leave_if_busy: the call ends if something is locked or slow, and the next run makes it.
        """
        call = Call(
            function,
            {**fence(claim.id, claim.claim_no), **arguments},
            # As the functions lock: the number, and then its sender.
            lock_order=f"{claim.sender.id or ''} {claim.phone} {claim.business_id} {claim.id}",
            leave_if_busy=leave_if_busy,
        )
        groups = self._begins if leave_if_busy else self._other_calls
        try:
            return Reply(function, self.url, groups.call(call))
        except RepeatAlone:
            last_errors = (QueueBusy, QueueCancelled) if leave_if_busy else ()
            return self.call_until_answered(
                function, call.arguments, give_up_on=last_errors
            )

    def call_as_group(self, calls: Sequence[Call]) -> Sequence[Result]:
        """Make calls as one request and one transaction. Each has its own answer or error, in its place."""
        entries = [
            {
                "function": call.function,
                "values": dict(call.arguments),
                "lock_order": call.lock_order,
            }
            for call in calls
        ]
        try:
            reply = self.call_until_answered(
                "group_sms_calls", {"calls": entries}, give_up_on=(QueueBusy, QueueSlow)
            )
        except QueueError as error:
            # No answer came: a single call would get none either. Its subclasses are answers, or too long a wait.
            if type(error) is QueueUnreachable:
                raise
            # The function may not be called, or took too long: single calls may work.
            return [RepeatAlone() for _ in calls]
        results = {result.place: result for result in reply.rows(_CallResult)}
        places = range(1, len(calls) + 1)
        if not results or not results.keys() <= {*places}:
            raise reply.shape_error()
        return [
            self._result_of(call, results[place]) if place in results else NotMade()
            for place, call in zip(places, calls, strict=True)
        ]

    def _result_of(self, call: Call, result: _CallResult) -> Result:
        if not result.code:
            return result.answer
        error = explain_refusal(
            call.function,
            APIError(result.model_dump()),
            url=self.url,
        )
        if call.leave_if_busy and isinstance(error, QueueBusy):
            return error
        return RepeatAlone() if isinstance(error, QueueUnreachable) else error
