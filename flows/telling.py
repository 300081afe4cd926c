"""How a run ended, as an event of our own, for the automations to hang on.

Prefect's own event of a state waits for the one before it, and the first state of a scheduled run has none. In the five
minutes after a start of `flows.serve`, which schedules anew, automations would see a run's end 15 minutes late.
"""

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event

RESOURCE = {"prefect.resource.id": "sms.queue"}


def tell_completed(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_completion`: a sign of life."""
    emit_event("sms.queue.run-completed", resource=RESOURCE)


def tell_scheduled(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_completion` of the run that queues scheduled sends: a sign of life of its own."""
    emit_event("sms.queue.scheduled-run-completed", resource=RESOURCE)


def tell_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook has these
    """For `on_failure`, and for `on_crashed`, which a runner calls where the run's process is gone."""
    payload = {"run": flow_run.name, "state": state.name or state.type.value, "message": state.message or ""}
    emit_event("sms.queue.run-failed", resource=RESOURCE, payload=payload)
