"""The texts of one run as Prefect's task runs: one each, or, when very many are due, one for 25 of them.

A task run costs as much as a text itself, and most of it at the server. The story of each text is in its event, always.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any, Final

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import quote

from flows.support.run_display import announce, state_of, state_of_slice
from smsretry.desk.pages.outcomes import Seen
from smsretry.errors import SmsRetryError
from smsretry.retry.models import Claim
from smsretry.sending.run import Run

SLICE: Final = 25
"""Texts of one task run, when very many are due."""


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    task_run_name="sms {claim.id} customer {claim.customer_id} {claim.masked}",
)
def process_retry(claim: Claim, run: Run) -> State[Seen]:
    """See one row to its next state. The name of the task run's state says what became of the text, and why."""
    return state_of(_process(claim, run))


@task(cache_policy=NO_CACHE, persist_result=False)
def process_slice(claims: Sequence[Claim], run: Run, workers: Executor) -> State[list[Seen]]:
    """See some rows to their next states. The name of the task run's state says what they came to, in numbers."""
    # Each in the context of this task run, so that the events name it.
    under_way = [workers.submit(copy_context().run, _process, claim, run) for claim in claims]
    return state_of_slice([each.result() for each in under_way])


def _process(claim: Claim, run: Run) -> Seen:
    try:
        seen = Seen(claim, run.process(claim))
    except SmsRetryError as error:
        seen = Seen(claim, None, str(error))
    announce(seen)
    return seen


class TaskRuns:
    """Has claims processed, and keeps what they come to."""

    def __init__(self, run: Run, workers: Executor, *, most: int, due: int) -> None:
        """Prepare.

        Args:
            workers: those of the slices.
            most: the texts of this run that have a task run each at most.
            due: the texts that are known to be due.
        """
        self._run, self._workers = run, workers
        self._most, self._expected = most, due
        self._texts: list[tuple[Sequence[Claim], PrefectFuture[Any]]] = []
        self._taken = 0

    def start(self, claims: Sequence[Claim]) -> None:
        """Have these processed, and return at once."""
        if max(self._taken + len(claims), self._expected) > self._most:
            for first in range(0, len(claims), SLICE):
                self._start_slice(claims[first : first + SLICE])
        else:
            futures = process_retry.map(map(_whole, claims), unmapped(_whole(self._run)))
            self._texts += [([claim], future) for claim, future in zip(claims, futures, strict=True)]
            self._taken += len(claims)

    def _start_slice(self, claims: Sequence[Claim]) -> None:
        named = process_slice.with_options(task_run_name=f"texts {self._taken + 1} to {self._taken + len(claims)}")
        self._texts.append((claims, named.submit(*map(_whole, (claims, self._run, self._workers)))))
        self._taken += len(claims)

    def wait(self) -> None:
        """Wait until all have come to something."""
        for _, future in self._texts:
            future.wait()

    def seen(self) -> list[Seen]:
        """What each text came to. Waits for them."""
        return [seen for claims, future in self._texts for seen in _seen_in(claims, future)]


def _whole(value: Any) -> Any:
    """As an argument of a task whose parts Prefect need not search for results of other tasks."""
    return quote(value)


def _seen_in(claims: Sequence[Claim], future: PrefectFuture[Any]) -> list[Seen]:
    """What a task run came to. `State.result` raises for paused ones, so the record itself is asked."""
    future.wait()
    state = future.state
    data = getattr(state.data, "result", state.data)
    if isinstance(data, Seen):
        return [data]
    if isinstance(data, list):
        return data
    return [Seen(claim, None, state.message or state.type.value) for claim in claims]
