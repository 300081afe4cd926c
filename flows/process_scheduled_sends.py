"""The flow that runs every minute beside `process-sms-retries`: scheduled sends whose time is near become queued texts.

It sends nothing. Send log, queue row and status are written in one transaction, so a scheduled send becomes one text,
whatever dies and when. `process-sms-retries` sends it like any other. Runs may overlap, because a run passes over the
rows that another one has.
"""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from smsretry.desk.pages.runs import of_scheduled
from smsretry.sending.scheduled import AHEAD, BATCH, queue_scheduled_sends
from smsretry.wiring import services

from .support.forms import check_parameters
from .support.schedule import SCHEDULED_FLOW, conclude


@flow(name="process-scheduled-sends", **SCHEDULED_FLOW)
@check_parameters
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
    report = of_scheduled(summary)
    return conclude(
        report,
        message=summary.why_stopped or report.name,
        failed=summary.why_stopped is not None,
        result={
            "counts": summary.counts,
            "why_stopped": summary.why_stopped,
        },
    )


if __name__ == "__main__":
    process_scheduled_sends()
