"""The flow that runs every minute beside the first: scheduled sends whose time is near become texts in the queue.

It sends nothing. Send log, queue row and status are written in one transaction, so whatever dies when, a scheduled send
becomes one text; `process-sms-retries` sees it through like any other. Runs may overlap: a row that one of them has is
passed over by the others.
"""

from datetime import timedelta
from typing import Annotated

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed
from pydantic import Field

from flows.support.ending import ends_soon
from flows.support.forms import form
from flows.support.orphans import crash_orphaned_task_runs
from flows.support.run_display import DID_SOMETHING, only_showing, refused, rename
from flows.support.run_ended import tell_failed, tell_scheduled
from smsretry.desk.pages import scheduled_run as scheduling
from smsretry.retry.answers import ScheduledSend
from smsretry.sending.ports import ScheduledSends
from smsretry.sending.scheduled import AHEAD, BATCH, Queueing, queue_scheduled_sends
from smsretry.wiring import services

PAGE_KEY = "sms-scheduled"


@task(cache_policy=NO_CACHE, persist_result=False)
def queue_due(queue: ScheduledSends, batch: int, ahead: timedelta) -> Queueing:
    """Make the texts of all scheduled sends whose time comes within `ahead`, batch by batch."""
    return queue_scheduled_sends(queue, batch=batch, ahead=ahead)


@flow(
    name="process-scheduled-sends",
    persist_result=False,
    validate_parameters=False,
    on_running=[crash_orphaned_task_runs],
    on_completion=[tell_scheduled],
    on_failure=[tell_failed],
    on_crashed=[tell_failed],
)
@ends_soon
@form
def process_scheduled_sends(
    batch: Annotated[int, Field(ge=1, le=500)] = BATCH,
    ahead_seconds: Annotated[int, Field(ge=0, le=3600)] = int(AHEAD.total_seconds()),
) -> State[None]:
    """Queue the scheduled sends whose time is near.

    Args:
        batch: How many to queue in one transaction (1 to 500).
        ahead_seconds: How long before its time a text is queued (0 to 3600).
    """
    with services() as connected:
        done = queue_due(connected.queue, batch, timedelta(seconds=ahead_seconds))
    _show(done.sends)
    if done.stopped_because:
        return refused(done.stopped_because, word="failed")
    return Completed(message=scheduling.numbers(done.sends))


@only_showing()
def _show(sends: list[ScheduledSend]) -> None:
    """The run's name, and of what became no text an artifact and events."""
    rename(scheduling.numbers(sends), tag=DID_SOMETHING if sends else None)
    for send in scheduling.not_queued(sends):
        event = scheduling.event_of(send)
        emit_event(event.name, event.resource, related=event.related, payload=event.payload)
    if sends:
        page = scheduling.queued(sends)
        create_markdown_artifact(page.markdown, key=PAGE_KEY, description=page.message)


if __name__ == "__main__":
    process_scheduled_sends()
