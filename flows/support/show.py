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
from typing import Any, Final, Self
from urllib.parse import quote

from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
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
from prefect.logging.loggers import flow_run_logger
from prefect.states import Failed

from smsretry.adapters.desk import Desk
from smsretry.desk.pages.markdown import FIRST_PAGE, FormAddress, markdown
from smsretry.desk.pages.outcomes import Event
from smsretry.desk.pages.runs import RunReport
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.errors import SmsRetryError

RUN_KEY: Final = "sms-run"
QUEUE_KEY: Final = "sms-queue-now"
OURS: Final = "sms"
"""Tag of our deployments, in `prefect.yaml`."""
_DID_SOMETHING: Final = "texts"
"""Tag of the runs that had something to do: a filter on it leaves the idle minutes out."""
QUIET_TASK: Final[dict[str, Any]] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Options of a task of which Prefect stores no result: the queue, and the name of its state, say what it came to."""
_TASKS_LOGGER: Final = "prefect.task_runs"
_NAME_LENGTH: Final = 110
_PAUSE_SECONDS: Final = 0.05
_MANY_EVENTS: Final = 1000


def silence_repetitions() -> None:
    """Let Prefect log nothing that a state says already."""
    for name in (_TASKS_LOGGER, "prefect.flow_runs", "prefect.engine"):
        # A logger ignores a filter that it has already.
        logging.getLogger(name).addFilter(_is_new)


def _is_new(record: logging.LogRecord) -> bool:
    """Whether no state says it. Prefect logs each state but Sent as an error, and a red run's words with tracebacks."""
    is_said = record.exc_info and isinstance(
        record.exc_info[1], FailedRun | SmsRetryError
    )
    return not is_said and record.name != _TASKS_LOGGER


@contextmanager
def display_only() -> Iterator[None]:
    """Guard code that only shows a run. If it fails, a reader misses something, and that is all."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the texts are seen to
        flow_run_logger(this_run()).warning(
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
    get_client(sync_client=True).update_flow_run(
        run.id,
        name=name,
        tags=tags,
    )


def end_red(problem: str, *, state_name: str) -> State[Any]:
    """End the run in red, with the problem on its first page and in its name on the list."""
    get_run_logger().error(problem)
    summary = shorten(problem, _NAME_LENGTH, placeholder=" …")
    rename(f"{state_name.lower()}: {summary}")
    return Failed(name=state_name, message=problem)


@display_only()
def show(report: RunReport, queue_page: str | None = None) -> None:
    """Show a run of the schedule, with a link to the queue's page. An idle one gets a name, and little else."""
    emit(report.events)
    rename(report.name, idle=report.idle)
    if not report.idle:
        page = markdown(report.page, form_addresses())
        if queue_page:
            page += f"\n\n[The queue now]({FIRST_PAGE}/artifacts/artifact/{queue_page})"
        create_markdown_artifact(
            page,
            key=RUN_KEY,
            description=report.name,
        )


def form_addresses() -> FormAddress:
    """The addresses of the desk's forms in Prefect's UI. If the server does not answer, pages have no such links."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    try:
        deployments = get_client(sync_client=True).read_deployments(
            deployment_filter=ours
        )
    except Exception as error:  # noqa: BLE001 - any failure costs links, not the page
        get_run_logger().warning(
            "This page has no links to forms (%s)", type(error).__name__
        )
        return lambda *_: None
    ids = {deployment.name: deployment.id for deployment in deployments}

    def address(name: str, values: Mapping[str, Any]) -> str | None:
        if name not in ids:
            return None
        # One of Prefect's two UIs decodes the values once, the other twice: without a % that is the same.
        filled_in = quote(json.dumps(values).replace("%", r"\u0025"), safe="")
        return f"{FIRST_PAGE}/deployments/deployment/{ids[name]}/run?parameters={filled_in}"

    return address


class EventEmitter:
    """Emits the events of texts in a thread beside the sends. Closing it emits the events that still wait.

    It pauses after each event, because Prefect's server needs more time for an event than a worker for a send, and may
    share its machine. While many events wait, it does not pause, so that a killed run loses few of them.
    """

    def __init__(self) -> None:
        self._waiting = SimpleQueue[tuple[Context, Event, datetime] | None]()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._emit_all, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing.set()
        self._waiting.put(None)
        self._thread.join()

    def emit(self, event: Event) -> None:
        """Emit an event soon. It has the present time, and belongs to the flow run and the task run under way."""
        occurred = datetime.now(UTC)  # noqa: TID251 - Prefect's events bear the clock of who emits
        self._waiting.put((copy_context(), event, occurred))

    def _emit_all(self) -> None:
        while waiting := self._waiting.get():
            context, event, occurred = waiting
            context.run(_emit_late, event, occurred)
            if self._waiting.qsize() < _MANY_EVENTS:
                self._is_closing.wait(_PAUSE_SECONDS)


@display_only()
def _emit_late(event: Event, occurred: datetime) -> None:
    emit([event], occurred)


def emit(events: Iterable[Event], occurred: datetime | None = None) -> None:
    """Emit events, also in the feeds of their people and tags. Prefect adds the flow run and the task run."""
    for event in events:
        feeds = {
            f"sms.{role}.{person}": role
            for role, person in event.people.items()
            if person
        }
        feeds |= {f"prefect.tag.{tag}": "tag" for tag in event.tags if tag}
        emit_event(
            event.name,
            {
                "prefect.resource.id": f"sms.{event.subject}",
                "prefect.resource.name": event.feed_text,
            },
            related=[
                {"prefect.resource.id": feed, "prefect.resource.role": role}
                for feed, role in feeds.items()
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
def show_queue(status: QueueStatus) -> str | None:
    """Write the artifact of the queue. There is always the same one, so that its page can be a bookmark.

    Returns its id; None if it could not be shown.
    """
    client = get_client(sync_client=True)
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[QUEUE_KEY])),
        sort=ArtifactSort.UPDATED_DESC,
        limit=1,
    )
    content = {
        "data": markdown(status.tell(), form_addresses()),
        "description": status.headline,
    }
    if artifacts:
        # `update_artifact` would make an event of the whole page.
        artifact_id = str(artifacts[0].id)
        path = {"id": artifact_id}
        client.request("PATCH", "/artifacts/{id}", json=content, path_params=path)
        return artifact_id
    # It belongs to no run, because the server deletes a run's artifacts with the run, two weeks later.
    content |= {"key": QUEUE_KEY, "type": "markdown"}
    return str(client.request("POST", "/artifacts/", json=content).json()["id"])
