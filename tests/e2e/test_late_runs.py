"""After an outage one run does the work of all that were missed: no pile of late runs starts at once."""

from collections.abc import Iterator

import pytest

from smsretry.local.stack import Stack
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.registry import SCHEDULED, Registry

EVERY_MINUTE = (SCHEDULED, "process-scheduled-sends")


@pytest.fixture
def registered(stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """The deployments, as if a runner had just registered them: no run has been made yet."""
    registry = Registry(prefect, stack)
    registry.empty()
    for name in EVERY_MINUTE:
        registry.register(name)
    yield registry
    registry.empty()


@pytest.mark.long
def test_a_run_of_the_schedule_does_the_work_of_those_that_are_late(
    registered: Registry, flow: FlowProcess, prefect: Prefect
) -> None:
    """They are cancelled; what a person asked for waits, and so does another deployment's run."""
    this, *late = [registered.missed(SCHEDULED, minutes) for minutes in (4, *range(5, 65))]
    others = registered.missed("process-scheduled-sends", 5)
    asked_for = registered.run(SCHEDULED, "SCHEDULED", name="Late")
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=this))
    assert prefect.get(f"flow_runs/{this}")["state"]["type"] == "COMPLETED"
    assert tally(prefect, late) == {"Cancelled": 60}
    assert tally(prefect, [others, asked_for]) == {"Late": 2}


@pytest.mark.long
def test_a_run_that_a_person_asked_for_cancels_nothing(
    registered: Registry, flow: FlowProcess, prefect: Prefect
) -> None:
    """It may be told to do less than the schedule's."""
    late = registered.missed(SCHEDULED, 5)
    asked_for = prefect.order(SCHEDULED, {"limit": 1, "drain_seconds": 0})
    flow.forks.run("prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=asked_for))
    assert tally(prefect, [late, asked_for]) == {"Completed": 1, "Late": 1}


def tally(prefect: Prefect, runs: list[str]) -> dict[str, int]:
    """How many ended in which state."""
    found = prefect.post("flow_runs/filter", {"flow_runs": {"id": {"any_": runs}}})
    names = [run["state"]["name"] for run in found]
    return {name: names.count(name) for name in sorted(set(names))}
