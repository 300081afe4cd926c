"""How a run ended, as an event of our own for the automations.

Prefect's own event of a state waits for the one before it, and the first state of a scheduled run has none. In the five
minutes after a start of `flows.serve`, which schedules anew, automations would see a run's end 15 minutes late.
"""

import re
from typing import Any, Final

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event

QUEUE: Final = {"prefect.resource.id": "sms.queue"}
_ASKED_TO_END: Final = re.compile(r"status code: (-15|143)\b|termination signal")
"""How Prefect words the crash of a process that got SIGTERM, mostly from a runner that stops."""


def announce_completed(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_completion`: a sign of life."""
    emit_event("sms.queue.run-completed", resource=QUEUE)


def announce_scheduled(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_completion` of the run that queues scheduled sends: a sign of life of its own."""
    emit_event("sms.queue.scheduled-run-completed", resource=QUEUE)


def announce_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_failure`, and for `on_crashed`, which a runner calls where the run's process is gone.

    A run that was told to end has given its claims back, so nobody needs to know; a moment later Prefect shows it as
    Cancelled.
    """
    if state.is_crashed() and _ASKED_TO_END.search(state.message or ""):
        return
    payload = {"run": flow_run.name, "state": state.name or state.type.value, "message": state.message or ""}
    # A runner that tells of a crash is in no run, so Prefect would not know which one it is about.
    this_run = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.role": "flow-run"}
    emit_event("sms.queue.run-failed", resource=QUEUE, related=[this_run], payload=payload)
