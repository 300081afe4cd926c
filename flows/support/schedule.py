"""The schedule goes on, whatever becomes of runners and of the Prefect server. No text depends on this module."""

import os
import re
import threading
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from httpx import HTTPStatusError
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from smsretry.adapters.prefect.api import JsonObject
from smsretry.desk.pages.markdown import IDLE
from smsretry.desk.pages.runs import RunReport
from smsretry.desk.questions.queue_status import QueueStatus

from .results import with_result
from .show import OURS, display_only, show, show_queue, this_run

QUEUE: Final = {"prefect.resource.id": "sms.queue"}
"""The resource of events that concern no single text."""
COMPLETED: Final = "sms.queue.completed.{}"
"""The event of a completed run, with the flow's name."""
RUN_FAILED: Final = "sms.queue.run-failed"
GRACE_SECONDS: Final = 60
"""How long Prefect may go on reporting to its server. It takes a few seconds where the server answers."""
_OWN_PROCESS: Final = "PREFECT__FLOW_RUN_ID"
"""Set by a runner or a worker in the process that it starts for one run."""
_IDLE_KEPT: Final = timedelta(hours=1)
"""Long enough to see that the schedule is kept. The database's own list of runs has them all."""
_AT_ONCE: Final = 50
"""The most runs that the server takes in one call."""
_UNKNOWN_CALL: Final = (404, 405)
"""An older server lacks a call: there late runs are worked off one after the other, and idle ones stay."""
_CANCELLED: Final = {
    "type": "CANCELLED",
    "name": "Cancelled",
    "message": "Nobody ran it in its time; a later run does its work.",
}
_ASKED_TO_END: Final = re.compile(r"status code: (-15|143)\b|termination signal")
"""How Prefect words the crash of a process that got SIGTERM, mostly from a runner that stops."""


def announce(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Emit how a run ended, for the automations. A runner calls it, too: `on_crashed`, for a dead process.

    A runner names the arguments, so their names are Prefect's. Prefect's own event of a state waits for the one before
    it, and the first state of a scheduled run has none: in the five minutes after `smsretry serve` starts, automations
    would see a run's end 15 minutes late.
    """
    if state.is_completed():
        emit_event(COMPLETED.format(flow.name), resource=QUEUE)
        return
    # A run that was asked to end has given its claims back.
    if not _ASKED_TO_END.search(state.message or ""):
        payload = {
            "run": flow_run.name,
            "state": state.name or state.type.value,
            "message": state.message or "",
        }
        # A runner that tells of a crash is in no run, so Prefect would not know which one it is about.
        run = {
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.role": "flow-run",
        }
        emit_event(
            RUN_FAILED,
            resource=QUEUE,
            related=[run],
            payload=payload,
        )


SCHEDULED_FLOW: Final[dict[str, Any]] = {
    "persist_result": False,
    "validate_parameters": False,
    "on_completion": [announce],
    "on_failure": [announce],
    "on_crashed": [announce],
}
"""The options that all scheduled flows share. `flows.support.forms` checks their parameters."""


def conclude(
    report: RunReport,
    *,
    message: str,
    failed: bool,
    result: JsonObject,
    queue: QueueStatus | None = None,
) -> State[Any]:
    """Show a run of the schedule and the queue, and tidy up. Returns the run's last state, with its result."""
    _end_soon()
    page = show_queue(queue) if queue else None
    show(report, page)
    _tidy()
    end = Failed if failed else Completed
    return with_result(end(message=message), result, idle=report.idle)


def _end_soon() -> None:
    """The work is done: let the process that was started for this run end at most a minute from now.

    What is left is to report to Prefect. If its server is gone, Prefect tries to send each event and state, one by one,
    about 7 seconds each: with a few hundred texts that is hours. A process that somebody else owns, such as a test's,
    is left alone. The exit code is 1, so that a runner that reaches the server calls a run crashed that has no final
    state yet.
    """
    if os.environ.get(_OWN_PROCESS):
        deadline = threading.Timer(GRACE_SECONDS, os._exit, [1])
        deadline.daemon = True
        deadline.start()


@display_only()
def _tidy() -> None:
    """Cancel this deployment's late runs at a run's end, and delete its idle ones, up to 1,440 a day.

    A run that a person asked for may do less than the schedule's, so it cancels none.
    """
    run = this_run()
    if run.deployment_id is None or run.state is None:
        return
    ours = {"deployment_id": {"any_": [str(run.deployment_id)]}}
    idle = {
        **ours,
        "name": {"any_": [IDLE]},
        "state": {"type": {"any_": ["COMPLETED"]}},
        "end_time": {"before_": (run.state.timestamp - _IDLE_KEPT).isoformat()},
    }
    if run.auto_scheduled:
        cancel_late_runs(ours)
    _ask("/flow_runs/bulk_delete", {"flow_runs": idle, "limit": _AT_ONCE})


def cancel_late_runs(runs: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Cancel our scheduled runs that Prefect calls late, before any of them starts.

    One run claims whatever is due, so the others would find nothing, and 60 of them take minutes of a small machine.
    Runs that a person asked for are kept.

    Args:
        runs: a filter; without it those of all our deployments are cancelled.
    """
    late = {
        **runs,
        "state": {"name": {"any_": ["Late"]}},
        "tags": {"all_": [OURS, "auto-scheduled"]},
    }
    request = {"flow_runs": late, "state": _CANCELLED, "limit": _AT_ONCE}
    was_accepted = True
    while was_accepted:
        results = _ask("/flow_runs/bulk_set_state", request).get("results", [])
        was_accepted = any(result["status"] == "ACCEPT" for result in results)


def _ask(call: Any, body: JsonObject) -> JsonObject:
    """The server's answer to a call that Prefect's client does not know; empty if the server is older."""
    try:
        answer: JsonObject = (
            get_client(sync_client=True).request("POST", call, json=body).json()
        )
    except HTTPStatusError as error:
        if error.response.status_code not in _UNKNOWN_CALL:
            raise
        return {}
    return answer
