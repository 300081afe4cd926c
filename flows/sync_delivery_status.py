"""The flow that runs every five minutes: what became of the texts that Twilio accepted.

It asks Twilio for each message whose delivery is open, and decides about those that did not arrive. Runs that overlap
are safe: a message is taken by one of them.
"""

from typing import Annotated, Final

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed
from pydantic import Field

from flows.support.ending import ends_soon
from flows.support.forms import form
from flows.support.run_display import DID_SOMETHING, only_showing, queue_at, refused, rename
from flows.support.run_ended import RESOURCE, tell_failed
from smsretry.desk.pages.delivery_run import drop_event, event_of_delivery, events_of, followed_up
from smsretry.desk.questions.queue_status import Standing
from smsretry.sending.delivering import MOST, USUAL, sync_deliveries
from smsretry.sending.summary import DeliverySummary
from smsretry.wiring import delivery_services, desk

KEY: Final = "sms-deliveries"


@flow(
    name="sync-delivery-status",
    persist_result=False,
    validate_parameters=False,
    on_failure=[tell_failed],
    on_crashed=[tell_failed],
)
@ends_soon
@form
def sync_delivery_status(limit: Annotated[int, Field(ge=1, le=MOST)] = USUAL) -> State[None]:
    """Ask Twilio what became of accepted texts, and send again what a carrier lost for a passing reason.

    Args:
        limit: How many messages to look after at most (1 to 10,000); business by business in turns.
    """
    with delivery_services() as connected, desk() as at_desk:
        summary = sync_deliveries(connected, limit=limit)
        _show(summary, None if summary.idle else queue_at(at_desk))
    if summary.stopped_because:
        return refused(summary.stopped_because, word="failed")
    if summary.needs_somebody:
        return Failed(message=str(summary))
    return Completed(message=str(summary))


@only_showing()
def _show(summary: DeliverySummary, standing: Standing | None) -> None:
    """Name, artifact and events."""
    told = followed_up(summary)
    rename(told.name, tag=None if summary.idle else DID_SOMETHING)
    if not summary.idle:
        create_markdown_artifact(told.markdown, key=KEY, description=told.message)
    for event in (*events_of(summary), *drop_event(standing)):
        emit_event(event.name, RESOURCE, payload=dict(event.payload))
    for text in filter(None, map(event_of_delivery, summary.followed)):
        emit_event(text.name, text.resource, related=text.related, payload=text.payload)


if __name__ == "__main__":
    sync_delivery_status()
