"""The flow that runs every five minutes: what became of the texts that Twilio accepted.

It asks Twilio for each message whose delivery is open, and decides about those that did not arrive. Runs may overlap,
because each message is taken by one of them.
"""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from smsretry.desk.pages.runs import of_deliveries
from smsretry.sending.delivering import MOST, USUAL, sync_deliveries
from smsretry.wiring import services

from .support.forms import check_parameters
from .support.schedule import SCHEDULED_FLOW, conclude


@flow(name="sync-delivery-status", **SCHEDULED_FLOW)
@check_parameters
def sync_delivery_status(
    limit: Annotated[int, Field(ge=1, le=MOST)] = USUAL,
) -> State[Any]:
    """Ask Twilio what became of accepted texts, and send again what a carrier lost for a passing reason.

    Args:
        limit: How many messages to look after at most (1 to 10,000); business by business in turns.
    """
    with services() as connected:
        summary = sync_deliveries(connected, limit=limit)
    return conclude(
        of_deliveries(summary),
        message=summary.why_stopped or str(summary),
        failed=summary.needs_attention,
        result={
            "counts": summary.counts,
            "why_stopped": summary.why_stopped,
        },
    )


if __name__ == "__main__":
    sync_delivery_status()
