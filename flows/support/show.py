"""How a run shows itself in Prefect: name, state, events, artifacts. Its words come from `smsretry.desk`.

Showing never fails a run: what became of the texts is in the database already.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from textwrap import shorten
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import FailedRun, ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Failed

from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.pages.markdown import ROOT, FormAddress, markdown, no_forms
from smsretry.desk.pages.outcomes import Event
from smsretry.desk.pages.runs import SHOWN_IN_FULL, RunReport
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.told import Told
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


def log_what_is_new() -> None:
    """Let Prefect log nothing that a state says already."""
    for name in ("prefect.task_runs", "prefect.flow_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_is_new)  # does nothing if it is there


def _is_new(record: logging.LogRecord) -> bool:
    """Of a text it would log each state but Sent as an error, and of a red run its own words again, with tracebacks."""
    is_said = record.exc_info and isinstance(record.exc_info[1], FailedRun | SmsRetryError)
    return not is_said and getattr(record, "task_name", None) not in _OUR_TASKS


@contextmanager
def display_only() -> Iterator[None]:
    """For code that only shows a run. If it fails, a reader misses something, and that is all."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the texts are seen to
        get_run_logger().warning("What the run came to could not be shown in full (%s)", type(error).__name__)


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


def refused(why: str, *, word: str = "refused") -> State[Any]:
    """A red run that says why on its first page, and by its name on the list.

    Args:
        word: what its name begins with.
    """
    get_run_logger().error(why)
    rename(f"{word}: {shorten(why, _NAME_LENGTH, placeholder=' …')}")
    return Failed(name="Refused" if word == "refused" else "Failed", message=why)


def show(
    name: str, page: Iterable[Told], *, key: str, idle: bool, description: str = "", forms: FormAddress = no_forms
) -> None:
    """The name of a scheduled run, and its page unless it was idle."""
    rename(name, idle=idle)
    if not idle:
        create_markdown_artifact(markdown(page, forms), key=key, description=description or name)


def form_addresses() -> FormAddress:
    """Where Prefect's UI has the desk's forms. If the server does not answer, pages have no links to forms."""
    wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    try:
        found = get_client(sync_client=True).read_deployments(deployment_filter=wanted)
    except Exception as error:  # noqa: BLE001 - whatever it is, the page is shown
        get_run_logger().warning("This page has no links to forms (%s)", type(error).__name__)
        return no_forms
    ids = {deployment.name: deployment.id for deployment in found}

    def address(name: str, values: Mapping[str, Any]) -> str | None:
        # The UI decodes the values twice: as a part of the address, and by itself.
        filled_in = quote(quote(json.dumps(values), safe=""), safe="")
        return f"{ROOT}/deployments/deployment/{ids[name]}/run?parameters={filled_in}" if name in ids else None

    return address


def emit(events: Iterable[Event]) -> None:
    """Emit events. Prefect adds the flow run and the task run to them."""
    for event in events:
        related = [dict(one) for one in event.related]
        emit_event(event.name, dict(event.resource), related=related, payload=dict(event.payload))


@display_only()
def queue_status(desk: Desk) -> QueueStatus | None:
    """The state of the queue, for showing only."""
    try:
        return desk.status()
    except SmsRetryError as error:
        get_run_logger().warning("The state of the queue cannot be shown: %s", error)
        return None


@display_only()
def show_run(report: RunReport, desk: Desk) -> None:
    """Name and artifacts of a run, and events of the whole queue. An idle one has a name, and little else."""
    summary, needing, log = report.summary, report.needing[:SHOWN_IN_FULL], get_run_logger()
    emit(report.events())
    if summary.texts_only and not report.idle:
        log.warning(
            "This installation %s (SMSRETRY_SEND_TO): what else is due is cancelled, unsent", summary.texts_only
        )
    for one in needing:
        log.error("Row %s: %s", one.claim.id, one.why)
    if summary.stopped_because:
        level = logging.ERROR if summary.needs_somebody else logging.WARNING
        log.log(level, "Stopped sending: %s", summary.stopped_because)
    rows = [WhichText(id=one.claim.id) for one in needing]
    page = report.tell(explanation for row in rows for explanation in desk.explain(row))  # once it has its name
    forms = form_addresses() if rows else no_forms
    show(report.name, page, key=RUN_KEY, idle=report.idle, description=report.numbers, forms=forms)
    if report.after:
        _show_queue(report.after, only_if_changed=report.idle)


def _show_queue(status: QueueStatus, *, only_if_changed: bool) -> None:
    """The artifact of the queue. The new one comes before the old one goes, so that there always is one."""
    client = get_client(sync_client=True)
    of_queue = ArtifactFilter(key=ArtifactFilterKey(any_=[QUEUE_KEY]))
    found = client.read_artifacts(artifact_filter=of_queue, sort=ArtifactSort.UPDATED_DESC, limit=10)
    stopped = ", STOPPED" if status.stopped_because else ""
    staging = f"{status.staging}. " if status.staging else ""
    need = sum(1 for _ in status.needs())
    numbers = f"{staging}{status.numbers}{stopped}{f', need somebody {need}' if need else ''}"
    if only_if_changed and found and found[0].description == numbers:
        return
    create_markdown_artifact(markdown(status.tell(), form_addresses()), key=QUEUE_KEY, description=numbers)
    for old in found:
        with suppress(ObjectNotFound):  # a run on another machine was faster
            client.delete_artifact(old.id)


class Progress:
    """How far a run of many texts is, as Prefect's progress artifact."""

    def __init__(self, texts: int) -> None:
        """`texts`: how many were due when it began. More may come."""
        self._texts, self._percent = texts, 0
        self._artifact: UUID | None = None

    @display_only()
    def show(self, taken: int) -> None:
        """So many are taken; one request for each percent more."""
        percent, words = min(100 * taken // self._texts, 100), f"{taken} of {max(taken, self._texts)} texts taken"
        if self._artifact is None:
            self._artifact = cast(UUID, create_progress_artifact(percent, PROGRESS_KEY, words))
        elif percent > self._percent:
            update_progress_artifact(self._artifact, percent, words)
        self._percent = percent
