"""The flow that runs every five minutes: what became of the texts that Twilio accepted.

It asks Twilio for each message whose delivery is open, and decides about those that did not arrive. Runs may overlap,
because each message is taken by one of them.
"""

from typing import Annotated, Any, Final

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.runs import delivery_events, delivery_page
from smsretry.sending.delivering import MOST, USUAL, sync_deliveries
from smsretry.wiring import services

from .support.forms import form
from .support.results import with_result
from .support.schedule import OF_SCHEDULE, end_soon, tidy
from .support.show import display_only, emit, refused, show

KEY: Final = "sms-deliveries"


@flow(name="sync-delivery-status", **OF_SCHEDULE)
@form
def sync_delivery_status(limit: Annotated[int, Field(ge=1, le=MOST)] = USUAL) -> State[Any]:
    """Ask Twilio what became of accepted texts, and send again what a carrier lost for a passing reason.

    Args:
        limit: How many messages to look after at most (1 to 10,000); business by business in turns.
    """
    with services() as connected:
        summary = sync_deliveries(connected, limit=limit)
    end_soon()
    with display_only():
        emit(delivery_events(summary))
        show(summary.numbers or IDLE, delivery_page(summary), key=KEY, idle=summary.idle)
    tidy()
    end = Failed if summary.needs_somebody else Completed
    state = refused(why, word="failed") if (why := summary.stopped_because) else end(message=str(summary))
    return with_result(state, {"counts": summary.counts, "stopped_because": why}, idle=summary.idle and not why)


if __name__ == "__main__":
    sync_delivery_status()
