"""How a run shows itself in Prefect: name, state, events, artifacts. Its words come from `smsretry.desk`.

Showing never fails a run: what became of the texts is in the database already.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from textwrap import shorten
from typing import Any, Final
from urllib.parse import quote

from prefect.artifacts import create_markdown_artifact
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
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, Running

from smsretry.desk.actions.patience import Notice, Patience, in_a_form
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.pages.answers import Page, page_of
from smsretry.desk.pages.markdown import ROOT, FormAddress, no_forms
from smsretry.desk.pages.outcomes import ProcessedText, TextEvent
from smsretry.desk.pages.run_report import SHOWN_IN_FULL, RunEvent, RunReport
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.errors import SmsRetryError
from smsretry.sending.run import Run
from smsretry.sending.summary import RunSummary

from .run_ended import QUEUE

RUN_KEY: Final = "sms-run"
QUEUE_KEY: Final = "sms-queue-now"
_OURS: Final = "sms"
"""Tag of our deployments, in `prefect.yaml`."""
_DID_SOMETHING: Final = "texts"
"""Tag of the runs that had something to do: a filter on it leaves the idle minutes out."""
_NAME_LENGTH: Final = 100
_SENTENCES: Final = re.compile(r"(?<=[.!?]) (?=[A-Z])")


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


def refused(why: str, *, word: str = "refused", headline: str | None = None) -> State[Any]:
    """A red run that says why on its first page, and by its name on the list.

    Args:
        headline: what its name says first.
    """
    get_run_logger().error(why)
    rename(f"{word}: {f'{headline}: ' if headline else ''}{in_short(why)}")
    return Failed(name="Refused" if word == "refused" else "Failed", message=why)


def failed(error: SmsRetryError) -> State[Any]:
    """A red run of an order or a question that came to nothing."""
    return refused(str(error), word="failed", headline=getattr(error, "headline", None))


def in_short(why: str) -> str:
    """The whole sentences that a list has room for; else the whole words of the first one."""
    first, *others = _SENTENCES.split(" ".join(why.split()))
    short = shorten(first, _NAME_LENGTH, placeholder=" …")
    for sentence in others:
        if len(short) + 1 + len(sentence) > _NAME_LENGTH:
            break
        short = f"{short} {sentence}"
    return short.removesuffix(".")


def waiting() -> Patience:
    """For a form's order: while the database is away it is given again, and the run's state says so."""
    return in_a_form(_show_notice)


def _show_notice(notice: Notice) -> None:
    get_run_logger().warning(notice.text)
    if notice.state:
        with display_only():
            state: State[Any] = Running(name=notice.state, message=notice.text)
            get_client(sync_client=True).set_flow_run_state(this_run().id, state, force=True)


def show_answer(page: Page, *, key: str) -> State[Any]:
    """A desk's answer: the run's name, its message, its log, which is what its page opens with, and an artifact."""
    rename(page.name)
    get_run_logger().info("\n".join(page.lines or [page.message]))
    create_markdown_artifact(page.markdown, key=key, description=page.message)
    if page.changed_nothing:  # red: who gave the order believes that it was carried out
        return Failed(name="NothingChanged", message=page.message)
    return Completed(message=page.message)


def show_page(page: Page, *, key: str, idle: bool) -> None:
    """The name of a scheduled run, and an artifact unless it was idle."""
    rename(page.name, idle=idle)
    if not idle:
        create_markdown_artifact(page.markdown, key=key, description=page.message)


def form_addresses() -> FormAddress:
    """Where Prefect's UI has the desk's forms. If the server does not answer, pages have no links to forms."""
    wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=[_OURS]))
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


def emit(events: Iterable[TextEvent | RunEvent]) -> None:
    """Emit events of texts and of the queue. Prefect adds the flow run and the task run to them."""
    for event in events:
        if isinstance(event, TextEvent):
            emit_event(event.name, event.resource, related=event.related, payload=event.payload)
        else:
            emit_event(event.name, QUEUE, payload=dict(event.payload))


@display_only()
def queue_status(desk: Desk) -> QueueStatus | None:
    """The state of the queue, for showing only."""
    try:
        return desk.status()
    except SmsRetryError as error:
        get_run_logger().warning("The state of the queue cannot be shown: %s", error)
        return None


@display_only()
def show_run(
    run: Run,
    summary: RunSummary,
    processed: Sequence[ProcessedText],
    *,
    before: QueueStatus | None,
    after: QueueStatus | None,
    desk: Desk,
) -> None:
    """Name and artifacts of a run, and events of the whole queue. An idle one has a name, and little else."""
    report = RunReport(
        summary=summary,
        processed=processed,
        recovered=run.recovered,
        interrupted=run.interrupted,
        circuit_was_open=run.sending_was_stopped,
        circuit_closed=run.sending_resumed,
        before=before,
        after=after,
    )
    emit(report.events())
    rename(report.name, idle=report.idle)
    if summary.texts_only and not report.idle:
        told = "This installation %s (SMSRETRY_SEND_TO): what else is due is cancelled, unsent"
        get_run_logger().warning(told, summary.texts_only)
    if summary.stopped_because:
        level = logging.ERROR if summary.needs_somebody else logging.WARNING
        get_run_logger().log(level, "Stopped sending: %s", summary.stopped_because)
    if not report.idle:
        rows = [one.claim.id for one in processed if one.needs_person][:SHOWN_IN_FULL]
        explanations = [explanation for row in rows for explanation in desk.explain(WhichText(retry_id=row))]
        text = report.markdown(explanations, form_addresses() if explanations else no_forms)
        create_markdown_artifact(text, key=RUN_KEY, description=report.numbers)
    if after:
        _show_queue(after, only_if_changed=report.idle)


def _show_queue(status: QueueStatus, *, only_if_changed: bool) -> None:
    """Replace the artifact of the queue: the new one comes first, so that there always is one."""
    client = get_client(sync_client=True)
    of_queue = ArtifactFilter(key=ArtifactFilterKey(any_=[QUEUE_KEY]))
    earlier = client.read_artifacts(artifact_filter=of_queue, sort=ArtifactSort.UPDATED_DESC, limit=10)
    stopped = ", STOPPED" if status.sending_stopped else ""
    staging = f"{status.staging}. " if status.staging else ""
    need = len(status.needs_somebody)
    numbers = f"{staging}{status.numbers}{stopped}{f', need somebody {need}' if need else ''}"
    if only_if_changed and earlier and earlier[0].description == numbers:
        return
    create_markdown_artifact(page_of(status, form_addresses()).markdown, key=QUEUE_KEY, description=numbers)
    for old in earlier:
        with suppress(ObjectNotFound):  # a run on another machine was faster
            client.delete_artifact(old.id)
