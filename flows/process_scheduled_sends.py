"""The flow that runs every minute beside the first: scheduled sends whose time is near become texts in the queue.

It sends nothing. Send log, queue row and status are written in one transaction, so a scheduled send becomes one text,
whatever dies and when; `process-sms-retries` sees it through like any other. Runs may overlap, because a run passes
over the rows that another one has.
"""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from smsretry.desk.pages.runs import of_scheduled
from smsretry.sending.scheduled import AHEAD, BATCH, queue_scheduled_sends
from smsretry.wiring import services

from .support.forms import form
from .support.schedule import OF_SCHEDULE, concluded


@flow(name="process-scheduled-sends", **OF_SCHEDULE)
@form
def process_scheduled_sends(
    batch: Annotated[int, Field(ge=1, le=500)] = BATCH,
    ahead_seconds: Annotated[int, Field(ge=0, le=3600)] = int(AHEAD.total_seconds()),
) -> State[Any]:
    """Queue the scheduled sends whose time is near.

    Args:
        batch: How many to queue in one transaction (1 to 500).
        ahead_seconds: How long before its time a text is queued (0 to 3600).
    """
    with services() as connected:
        summary = queue_scheduled_sends(
            connected.queue, batch=batch, ahead=timedelta(seconds=ahead_seconds)
        )
    report, stopped_because = of_scheduled(summary), summary.stopped_because
    result = {"counts": summary.counts, "stopped_because": stopped_because}
    return concluded(
        report,
        message=stopped_because or report.name,
        failed=stopped_because is not None,
        result=result,
    )


if __name__ == "__main__":
    process_scheduled_sends()
