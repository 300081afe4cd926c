"""How a run shows itself in Prefect: name, state, events, artifacts. Its words come from `smsretry.desk`.

Showing never fails a run: what became of the texts is in the database already.
"""

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from datetime import UTC, datetime
from queue import SimpleQueue
from textwrap import shorten
from typing import Any, Final, Self, cast
from urllib.parse import quote

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import FailedRun
from prefect.logging import get_run_logger
from prefect.states import Failed

from smsretry.adapters.desk import Desk
from smsretry.desk.pages.markdown import FIRST_PAGE, FormAddress, markdown
from smsretry.desk.pages.outcomes import Event
from smsretry.desk.pages.runs import RunReport
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.errors import SmsRetryError

RUN_KEY: Final = "sms-run"
QUEUE_KEY: Final = "sms-queue-now"
PROGRESS_KEY: Final = "sms-progress"
OURS: Final = "sms"
"""Tag of our deployments, in `prefect.yaml`."""
_DID_SOMETHING: Final = "texts"
"""Tag of the runs that had something to do: a filter on it leaves the idle minutes out."""
_OUR_TASKS: Final = ("recover", "claim", "process_retry", "process_slice")
_NAME_LENGTH: Final = 110
_SECONDS_FOR_AN_EVENT: Final = 0.05
_MOST_WAITING: Final = 1000


def log_what_is_new() -> None:
    """Let Prefect log nothing that a state says already."""
    for name in ("prefect.task_runs", "prefect.flow_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_is_new)  # does nothing if it is there


def _is_new(record: logging.LogRecord) -> bool:
    """Whether Prefect may log it: not every state but Sent as an error, nor a red run's own words with tracebacks."""
    is_said = record.exc_info and isinstance(
        record.exc_info[1], FailedRun | SmsRetryError
    )
    return not is_said and getattr(record, "task_name", None) not in _OUR_TASKS


@contextmanager
def display_only() -> Iterator[None]:
    """Guard code that only shows a run. If it fails, a reader misses something, and that is all."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the texts are seen to
        get_run_logger().warning(
            "What the run came to could not be shown in full (%s)", type(error).__name__
        )


def this_run() -> FlowRun:
    """The flow run that is under way."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("This is no flow run")
    return context.flow_run


def rename(name: str, *, idle: bool = True) -> None:
    """Give the flow run a name that says its outcome on every list; one that was not idle is tagged, too."""
    run = this_run()
    tags = None if idle else [*run.tags, _DID_SOMETHING]
    get_client(sync_client=True).update_flow_run(run.id, name=name, tags=tags)


def refused(problem: str, *, word: str = "refused") -> State[Any]:
    """A red run that says why on its first page, and by its name on the list.

    Args:
        word: what its name begins with.
    """
    get_run_logger().error(problem)
    rename(f"{word}: {shorten(problem, _NAME_LENGTH, placeholder=' …')}")
    return Failed(name="Refused" if word == "refused" else "Failed", message=problem)


@display_only()
def show(report: RunReport) -> None:
    """A run of the schedule as it shows itself. An idle one has a name, and little else."""
    emit(report.events)
    rename(report.name, idle=report.idle)
    if not report.idle:
        create_markdown_artifact(
            markdown(report.page, form_addresses()),
            key=RUN_KEY,
            description=report.name,
        )


def form_addresses() -> FormAddress:
    """The address of the desk's forms in Prefect's UI. If the server does not answer, pages have no links to forms."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    try:
        deployments = get_client(sync_client=True).read_deployments(
            deployment_filter=ours
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the page is shown
        get_run_logger().warning(
            "This page has no links to forms (%s)", type(error).__name__
        )
        return lambda *_: None
    ids = {deployment.name: deployment.id for deployment in deployments}

    def address(name: str, values: Mapping[str, Any]) -> str | None:
        # One of Prefect's two UIs decodes the values once, the other twice: without a % that is the same.
        filled_in = quote(json.dumps(values).replace("%", r"\u0025"), safe="")
        return (
            f"{FIRST_PAGE}/deployments/deployment/{ids[name]}/run?parameters={filled_in}"
            if name in ids
            else None
        )

    return address


class Announcer:
    """Emits the events of texts beside the sends, and what is left of them when it is closed.

    It takes its time, because Prefect's server needs more for an event than a worker for a send, and may share its
    machine. No more than some wait, so that a run which is killed takes no more along, and one that ends is not kept.
    """

    def __init__(self) -> None:
        self._waiting = SimpleQueue[tuple[Context, Event, datetime] | None]()
        self._closes = threading.Event()
        self._thread = threading.Thread(target=self._emit_all, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closes.set()
        self._waiting.put(None)
        self._thread.join()

    def emit(self, event: Event) -> None:
        """Emit it soon, as something of now, and of the flow run and the task run under way."""
        occurred = datetime.now(UTC)  # noqa: TID251 - Prefect's events bear the clock of who emits
        self._waiting.put((copy_context(), event, occurred))

    def _emit_all(self) -> None:
        while waiting := self._waiting.get():
            context, event, occurred = waiting
            context.run(_emit_late, event, occurred)
            if self._waiting.qsize() < _MOST_WAITING:
                self._closes.wait(_SECONDS_FOR_AN_EVENT)


@display_only()
def _emit_late(event: Event, occurred: datetime) -> None:
    emit([event], occurred)


def emit(events: Iterable[Event], occurred: datetime | None = None) -> None:
    """Emit events, each in the feeds of its people, too. Prefect adds the flow run and the task run to them."""
    for event in events:
        feeds = [
            (f"sms.{role}.{person}", role)
            for role, person in event.people.items()
            if person
        ]
        feeds += [
            (f"prefect.tag.{words}", "tag")
            for words in dict.fromkeys(filter(None, event.tags))
        ]
        emit_event(
            event.name,
            {
                "prefect.resource.id": f"sms.{event.subject}",
                "prefect.resource.name": event.feed_text,
            },
            related=[
                {"prefect.resource.id": feed, "prefect.resource.role": role}
                for feed, role in feeds
            ],
            payload=dict(event.payload),
            occurred=occurred,
        )


@display_only()
def queue_status(desk: Desk) -> QueueStatus | None:
    """The state of the queue, for showing only."""
    try:
        return desk.status()
    except SmsRetryError as error:
        get_run_logger().warning("The state of the queue cannot be shown: %s", error)
        return None


@display_only()
def show_queue(status: QueueStatus, *, only_if_changed: bool) -> None:
    """The artifact of the queue: one for good, so that its page can be a bookmark."""
    client = get_client(sync_client=True)
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[QUEUE_KEY])),
        sort=ArtifactSort.UPDATED_DESC,
        limit=1,
    )
    if only_if_changed and artifacts and artifacts[0].description == status.name:
        return
    page = markdown(status.tell(), form_addresses())
    content = {"data": page, "description": status.name}
    if artifacts:  # `update_artifact` would make an event of all of it
        place = {"id": artifacts[0].id}
        client.request("PATCH", "/artifacts/{id}", json=content, path_params=place)
    else:  # of no run: the server deletes a run's artifacts with it, two weeks later
        content |= {"key": QUEUE_KEY, "type": "markdown"}
        client.request("POST", "/artifacts/", json=content)


class Progress:
    """How far a run of many texts is, as Prefect's progress artifact."""

    def __init__(self, texts: int) -> None:
        """`texts`: how many were due when it began. More may come."""
        self._texts, self._artifact = texts, None

    @display_only()
    def show(self, count: int) -> None:
        """Show how many are taken."""
        progress = (
            min(100 * count // self._texts, 100),
            f"{count} of {max(count, self._texts)} texts taken",
        )
        if self._artifact:
            update_progress_artifact(self._artifact, *progress)
        else:
            self._artifact = cast(
                Any, create_progress_artifact(progress[0], PROGRESS_KEY, progress[1])
            )
