"""How a run shows itself in Prefect: names, states, events, artifacts. Its words come from `smsretry.desk`.

Showing never fails a run: what became of the texts is in the database already.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.support.form_pages import form_pages
from flows.support.log_lines import keep_short
from flows.support.run_ended import RESOURCE
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.pages.answers import Page, standing
from smsretry.desk.pages.form_links import no_forms
from smsretry.desk.pages.outcomes import Color, Seen, badge, event_of
from smsretry.desk.pages.run_report import TOLD_IN_FULL, RunReport, badge_of_many
from smsretry.desk.questions.explanation import Story
from smsretry.desk.questions.queue_status import Standing
from smsretry.errors import SmsRetryError
from smsretry.retry.models import Claim
from smsretry.sending.run import Run
from smsretry.sending.summary import RunSummary

RUN_KEY: Final = "sms-run"
QUEUE_KEY: Final = "sms-queue-now"
_TELL_SECONDS: Final = 5.0
DID_SOMETHING: Final = "texts"
"""Tag of the runs that had something to do: a filter on it leaves the idle minutes out."""

_TYPES: Final[dict[Color, StateType]] = {
    "green": StateType.COMPLETED,
    "red": StateType.FAILED,
    "orange": StateType.CRASHED,
    "violet": StateType.PAUSED,
    "grey": StateType.CANCELLED,
}
"""The type of state that Prefect's UI shows in this color. The task itself has done its work in each."""


def state_of(seen: Seen) -> State[Seen]:
    """The state of a text's task run: the badge says why, the color what to do."""
    name, color = badge(seen)
    message = str(seen.result) if seen.result else seen.error
    state = State(type=_TYPES[color], name=name, message=message, data=seen)
    context = TaskRunContext.get()
    if color == "violet" and context:
        # Prefect takes a paused run for one that goes on, and its graph of the flow run would grow for good.
        context.task_run.end_time = cast(Any, state.timestamp)
    return state


def state_of_slice(seen: Sequence[Seen]) -> State[list[Seen]]:
    """The state of a task run that had many texts: the badge says what they came to, the color what to do."""
    name, color = badge_of_many(seen)
    return State(type=_TYPES[color], name=name, data=list(seen))


def announce(seen: Seen) -> None:
    """One event of one text. Prefect adds the flow run and the task run to it."""
    event = event_of(seen)
    emit_event(event.name, event.resource, related=event.related, payload=event.payload)


class Progress:
    """How far a run has come with what was due at its start, as an artifact. A run of a few seconds has none."""

    def __init__(self, due: int) -> None:
        self._due = due
        self._taken = 0
        self._told_at = monotonic()
        self._artifact: UUID | None = None

    def show(self, claims: Sequence[Claim]) -> None:
        """Count these, and tell every few seconds."""
        self._taken += len(claims)
        if monotonic() - self._told_at < _TELL_SECONDS:
            return
        self._told_at = monotonic()
        percent, told = min(100.0, 100 * self._taken / max(self._due, 1)), f"{self._taken} of {self._due} texts taken"
        try:
            if self._artifact:
                update_progress_artifact(self._artifact, percent, told)
            else:
                self._artifact = cast(UUID, create_progress_artifact(percent, "sms-run-progress", told))
        except Exception as error:  # noqa: BLE001 - the texts go out all the same
            get_run_logger().warning("How far this run is could not be shown (%s)", type(error).__name__)


@contextmanager
def only_showing() -> Iterator[None]:
    """For what shows a run when its work is done: if it fails, a reader misses something, and that is all."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the texts are seen to
        get_run_logger().warning("What the run came to could not be shown in full (%s)", type(error).__name__)


def this_run() -> UUID:
    """The flow run's id."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("This is no flow run")
    return context.flow_run.id


def rename(name: str, *, tag: str | None = None) -> None:
    """Give the flow run a name that tells its outcome on every list, and a tag."""
    context = FlowRunContext.get()
    if context and context.flow_run:
        tags = [*context.flow_run.tags, tag] if tag else None
        get_client(sync_client=True).update_flow_run(context.flow_run.id, name=name, tags=tags)


def refused(why: str, *, word: str = "refused") -> State[Any]:
    """A red run that says why on its first page, and by its name on the list."""
    get_run_logger().error(why)
    rename(f"{word}: {' '.join(why.split())[:100]}")
    return Failed(name="Refused" if word == "refused" else "Failed", message=why)


def answered(page: Page, *, key: str) -> State[Any]:
    """A desk's answer: the run's name, its message, its log, which is what its page opens with, and an artifact."""
    rename(page.name)
    get_run_logger().info("\n".join(page.lines or [page.message]))
    create_markdown_artifact(page.markdown, key=key, description=page.message)
    return Completed(message=page.message)


@only_showing()
def queue_at(desk: Desk) -> Standing | None:
    """How the queue stands, for showing only."""
    try:
        return desk.status()
    except SmsRetryError as error:
        get_run_logger().warning("How the queue stands cannot be shown: %s", error)
        return None


@only_showing()
def show(
    run: Run,
    summary: RunSummary,
    seen: Sequence[Seen],
    *,
    before: Standing | None,
    after: Standing | None,
    desk: Desk,
) -> None:
    """Name and artifacts of a run, and events of the whole queue. An idle one has a name, and little else."""
    report = RunReport(
        summary=summary,
        seen=seen,
        recovered=run.recovered,
        interrupted=run.interrupted,
        circuit_was_open=run.circuit_was_open,
        circuit_closed=run.circuit_closed,
        before=before,
        after=after,
    )
    for told in report.events():
        emit_event(told.name, RESOURCE, payload=dict(told.payload))
    rename(report.name, tag=None if report.idle else DID_SOMETHING)
    if summary.stopped_because:
        level = logging.ERROR if summary.needs_somebody else logging.WARNING
        get_run_logger().log(level, "Stopped sending: %s", summary.stopped_because)
    if not report.idle:
        stories = _stories(report, desk)
        text = report.markdown(stories, form_pages() if stories else no_forms)
        create_markdown_artifact(text, key=RUN_KEY, description=report.numbers)
    if report.after:
        _show_queue(report.after, only_if_changed=report.idle)


def _stories(report: RunReport, desk: Desk) -> list[Story]:
    """What the desk tells of the texts that need a person."""
    needing = [seen.claim.id for seen in report.seen if seen.needs_person][:TOLD_IN_FULL]
    return [story for row in needing for story in desk.explain(WhichText(retry_id=row))]


def _show_queue(now: Standing, *, only_if_changed: bool) -> None:
    """Replace the standing artifact: the new one first, so that there always is one."""
    client = get_client(sync_client=True)
    earlier = _artifacts(client)
    page = standing(now)
    told = f"{now.numbers}{', STOPPED' if now.sending_stopped else ''}"
    if only_if_changed and earlier and earlier[0].description == told:
        return
    create_markdown_artifact(page.markdown, key=QUEUE_KEY, description=told)
    for old in earlier:
        with suppress(ObjectNotFound):  # a run on another machine was faster
            client.delete_artifact(old.id)


def _artifacts(client: SyncPrefectClient) -> list[Any]:
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[QUEUE_KEY]))
    return list(client.read_artifacts(artifact_filter=key, sort=ArtifactSort.UPDATED_DESC, limit=10))


keep_short()
