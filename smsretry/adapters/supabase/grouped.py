"""Calls about claimed rows: made together where that is quick, and alone where one business would slow down all.

A group answers within two seconds, whatever one of its calls waits for (`group_sms_calls`). A call that was cancelled
there is repeated alone. A business whose call took long travels alone for a while: nobody else waits for it again.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from postgrest.exceptions import APIError
from pydantic import BaseModel

from smsretry.adapters.supabase.advice import explain
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.groups import LARGEST_GROUP, Call, Groups, NotMade, RepeatAlone, Result
from smsretry.errors import QueueBusy, QueueCancelled, QueueMismatch, QueueSlow, QueueUnreachable
from smsretry.retry.answers import Lease
from smsretry.retry.models import Claim
from smsretry.settings import Settings

SLOW_SECONDS: Final = 0.25
"""A call usually takes a millisecond at the database. One that takes this long waits for a lock or a trigger."""
ALONE_SECONDS: Final = 60.0
"""How long a business's calls travel alone after one was slow."""
_NOT_MADE: Final = "57014"
"""query_canceled: without a time of its own, the call was not made."""


class _Answered(BaseModel):
    """The result of one call of a group."""

    place: int
    answer: Any
    code: str | None
    message: str | None
    hint: str | None
    seconds: float | None = None
    """An older database does not tell."""

    @property
    def was_not_made(self) -> bool:
        """Whether the group's time was over before its turn."""
        return self.code == _NOT_MADE and self.seconds is None


class _Leased(Lease):
    """One lease of several."""

    place: int


class Loners:
    """Businesses whose calls travel alone for a while, because one of them was slow."""

    def __init__(self) -> None:
        self._until = dict[UUID, float]()
        self._lock = threading.Lock()

    def note(self, business_id: UUID | None, seconds: float) -> None:
        """A call of this business took so long."""
        if business_id and seconds >= SLOW_SECONDS:
            with self._lock:
                self._until[business_id] = time.monotonic() + ALONE_SECONDS

    def has(self, business_id: UUID) -> bool:
        """Whether one of its calls was slow lately."""
        with self._lock:
            return self._until.get(business_id, 0.0) > time.monotonic()


class SupabaseGroups(SupabaseCalls):
    """The calls about one claimed row each."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._begins = Groups(self.together)
        self._others = Groups(self.together)
        self._leases = Groups(self.lease_together)
        self._loners = Loners()
        self._most = LARGEST_GROUP
        """How many calls one answer covers."""

    def begun(self, claim: Claim, function: str, values: Mapping[str, object]) -> object:
        """Make a call that is left for the next run if something is locked or slow."""
        return self._grouped(self._begins, claim, function, values)

    def settled(self, claim: Claim, function: str, values: Mapping[str, object]) -> object:
        """Make a call that must be made now."""
        return self._grouped(self._others, claim, function, values)

    def _grouped(self, groups: Groups, claim: Claim, function: str, values: Mapping[str, object]) -> object:
        values = {"retry_id": claim.id, "claim_no": claim.claim_no} | dict(values)
        order = f"{claim.phone} {claim.business_id} {claim.id}"
        call = Call(function, values, order, groups is self._begins, claim.business_id)
        if not self._loners.has(claim.business_id):
            try:
                return groups.call(call)
            except RepeatAlone:
                pass
        return self.alone(call)

    def leased(self, sender: str, segments: int, per_second: float, lead: float) -> Lease:
        """Lease a sender's time, together with what other threads lease of other senders'."""
        values = {"sender": sender, "segments": segments, "per_second": per_second, "lead": lead}
        call = Call("lease_sms_time", values, sender)
        try:
            answer = self._leases.call(call)
        except RepeatAlone:
            answer = None
        return answer if isinstance(answer, Lease) else self.row(Lease, call.function, values)

    def lease_together(self, calls: Sequence[Call]) -> Sequence[Result]:
        """Make several leases as one request. One that is locked or wrong is made alone."""
        if len(calls) == 1:
            return [self.row(Lease, calls[0].function, calls[0].values)]
        try:
            answer = self.repeated("lease_sms_times", {"leases": [dict(call.values) for call in calls]})
        except QueueMismatch:  # an older database
            return [RepeatAlone() for _ in calls]
        leases = {lease.place: lease for lease in self.many(_Leased, "lease_sms_times", answer)}
        return [leases.get(place, RepeatAlone()) for place in range(1, len(calls) + 1)]

    def alone(self, call: Call) -> object:
        """Make a call by itself, and return its answer."""
        began, way = time.monotonic(), self.fastest or 0.0
        try:
            left = (QueueBusy, QueueCancelled) if call.leave_if_busy else ()
            return self.repeated(call.function, call.values, but_for=left)
        finally:
            self._loners.note(call.business_id, time.monotonic() - began - way)

    def together(self, calls: Sequence[Call]) -> Sequence[Result]:
        """Make several calls as one request and one transaction. Each has its own answer or error, in its place.

        A call without an answer, because the project cuts answers off, belongs to the next group.
        """
        if len(calls) == 1:
            return [self.alone(calls[0])]
        asked = calls[: self._most]
        given = [{"function": c.function, "values": dict(c.values), "lock_order": c.lock_order} for c in asked]
        try:
            answer = self.repeated("group_sms_calls", {"calls": given}, but_for=(QueueBusy, QueueSlow))
        except (QueueMismatch, QueueSlow, QueueBusy):
            # The function is missing, may not be called, or took too long: single calls may work.
            return [RepeatAlone() for _ in calls]
        results: dict[int, Result] = {}
        for one in self.many(_Answered, "group_sms_calls", answer):
            if not 1 <= one.place <= len(asked):
                raise self.not_ours("group_sms_calls")
            results[one.place] = self._result_of(calls[one.place - 1], one)
        if not results:
            raise self.not_ours("group_sms_calls")
        if len(results) < len(asked):  # the project cuts answers off (max-rows)
            self._most = len(results)
        return [results.get(place, NotMade()) for place in range(1, len(calls) + 1)]

    def _result_of(self, call: Call, answered: _Answered) -> Result:
        if answered.was_not_made:
            return NotMade()
        self._loners.note(call.business_id, answered.seconds or 0.0)
        if not answered.code:
            return answered.answer
        error = APIError({"code": answered.code, "message": answered.message, "hint": answered.hint, "details": None})
        trouble = explain(call.function, error, url=self._url)
        passing = isinstance(trouble, QueueUnreachable) and not (call.leave_if_busy and isinstance(trouble, QueueBusy))
        return RepeatAlone() if passing else trouble
