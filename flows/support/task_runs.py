"""The texts of one run as Prefect's task runs: one for each text, or one for 25 texts when very many are due.

A task run costs as much as a text itself, and most of it at the server. Each text has its event in either case.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any, Final, cast

from prefect import task, unmapped
from prefect.client.schemas.objects import State, StateType
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import quote

from smsretry.desk.pages.outcomes import Color, ProcessedText
from smsretry.desk.pages.runs import badge_of_many
from smsretry.errors import SmsRetryError
from smsretry.retry.models import Claim, ItemResult
from smsretry.sending.run import Run

from .results import with_result
from .show import QUIET_TASK, EventEmitter

SLICE: Final = 25
"""Texts of one task run when very many are due."""
_TYPES: Final[dict[Color, StateType]] = {
    "green": StateType.COMPLETED,
    "red": StateType.FAILED,
    "orange": StateType.CRASHED,
    "violet": StateType.PAUSED,
    "grey": StateType.CANCELLED,
}
"""The type of state that Prefect's UI shows in this color. The task itself has done its work in each."""


class TaskRuns:
    """Has claims processed, and keeps what they come to."""

    def __init__(
        self,
        run: Run,
        slice_threads: Executor,
        emitter: EventEmitter,
        *,
        task_run_limit: int,
        due: int,
    ) -> None:
        """Prepare.

        Args:
            slice_threads: process the texts of slices, whose own task runs only wait for them.
            task_run_limit: so many texts have a task run each. If more come, the rest goes in slices.
            due: how many were due when the run began. If they are more than that, all go in slices.
        """
        self._run = run
        self._slice_threads = slice_threads
        self._emitter = emitter
        self._task_run_limit = task_run_limit
        self._expected = due
        self._submitted = 0
        self._under_way: list[tuple[Sequence[Claim], PrefectFuture[Any]]] = []
        self._processed: list[ProcessedText] = []

    def process(self, claims: Sequence[Claim]) -> None:
        """Begin to process these, and return at once."""
        if max(self._submitted + len(claims), self._expected) > self._task_run_limit:
            for start in range(0, len(claims), SLICE):
                texts = claims[start : start + SLICE]
                first = self._submitted + start + 1
                name = f"texts {first} to {first + len(texts) - 1}"
                slice_task = process_slice.with_options(task_run_name=name)
                future = slice_task.submit(_shield(texts), _shield(self))
                self._under_way.append((texts, future))
        else:
            futures = process_retry.map(map(_shield, claims), unmapped(_shield(self)))
            for claim, future in zip(claims, futures, strict=True):
                self._under_way.append(([claim], future))
        self._submitted += len(claims)

    def process_one(self, claim: Claim) -> ProcessedText:
        """Process one text, and tell what it came to."""
        try:
            result = self._run.process(claim)
        except SmsRetryError as error:
            result = ItemResult.error(claim, str(error))
        processed = ProcessedText(claim, result)
        self._processed.append(processed)
        self._emitter.emit(processed.event)
        return processed

    def process_many(self, claims: Sequence[Claim]) -> list[ProcessedText]:
        """Process some texts at once, and tell what each came to."""
        # Each in the context of this task run, so that the events name it.
        futures = [
            self._slice_threads.submit(copy_context().run, self.process_one, claim)
            for claim in claims
        ]
        return [future.result() for future in futures]

    def wait(self) -> None:
        """Wait until all have come to something."""
        for _, future in self._under_way:
            future.wait()

    def processed(self) -> list[ProcessedText]:
        """The result of each text, once `wait` is over. A text whose task run broke off has an error."""
        finished = {(text.claim.id, text.claim.claim_no) for text in self._processed}
        unfinished = list[ProcessedText]()
        for claims, future in self._under_way:
            why = future.state.message or future.state.type.value
            unfinished += [
                ProcessedText(claim, ItemResult.error(claim, why))
                for claim in claims
                if (claim.id, claim.claim_no) not in finished
            ]
        return self._processed + unfinished


@task(
    **QUIET_TASK,
    task_run_name="sms {claim.masked} row {claim.id} customer {claim.customer_id}",
)
def process_retry(claim: Claim, texts: TaskRuns) -> State[Any]:
    """See one row to its next state. The name of the task run's state says what became of the text, and why."""
    processed = texts.process_one(claim)
    state = State(
        type=_TYPES[processed.color],
        name=processed.badge,
        message=str(processed.result),
    )
    state = with_result(state, processed.to_dict)
    if processed.color == "violet" and (context := TaskRunContext.get()):
        # Prefect takes a paused run for one that goes on, and its graph of the flow run would grow for good.
        context.task_run.end_time = cast(Any, state.timestamp)
    return state


@task(**QUIET_TASK)
def process_slice(claims: Sequence[Claim], texts: TaskRuns) -> State[Any]:
    """See some rows to their next states. The name of the task run's state says what they came to, in numbers."""
    processed = texts.process_many(claims)
    name, color = badge_of_many(processed)
    return with_result(
        State(type=_TYPES[color], name=name), [text.to_dict for text in processed]
    )


_shield: Final[Any] = quote
"""Shield a task's argument from Prefect, which would search it for results of other tasks."""
