"""How a run ends where its end goes wrong: the Prefect server dies, or its own process does."""

import subprocess
import sys
from datetime import timedelta

import psycopg
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.prefect_server import DATABASE
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenWait
from tests.conftest import Business
from tests.e2e.conftest import Ask, FlowProcess, Prefect
from tests.support.waiting import until

_HURRIED = """
import runpy
import flows.support.schedule
flows.support.schedule.GRACE_SECONDS = 2
runpy.run_module("{module}", run_name="__main__")
"""
"""A run with two seconds instead of a minute: of Prefect's engine, as a runner starts it, or of the flow itself."""


@pytest.mark.long
def test_a_run_whose_prefect_server_was_killed_sends_all_and_its_process_ends(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Without the bound it would try the server for each of some 300 events in turn, for half an hour."""
    rows = [business.due_text() for _ in range(50)]
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=0.3)), times=None)
    environment = flow.environment(
        PREFECT__FLOW_RUN_ID=prefect.new_run("process-sms-retries"),
        PREFECT__FLOW_ENTRYPOINT="flows.process_sms_retries.process_sms_retries",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", _HURRIED.format(module="prefect.engine")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: stack.twilio.ledger.entries())
        prefect.server.kill()
        until(lambda: len(stack.twilio.ledger.entries()) == len(rows))
        assert process.wait(120) == 1
    finally:
        process.kill()
        process.wait()
        prefect.server.start()
    assert {business.row(row)["status"] for row in rows} == {"completed"}


@pytest.mark.long
def test_a_process_of_somebody_elses_is_left_alone(
    stack: Stack, flow: FlowProcess
) -> None:
    """A test, a notebook or a shell that calls the flow goes on afterwards."""
    code = (
        _HURRIED.format(module="flows.process_sms_retries").replace("= 2", "= 0.2")
        + "\nimport time\ntime.sleep(1)\nprint('still here')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=flow.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert result.stdout.endswith("still here\n")


@pytest.mark.long
def test_idle_runs_are_deleted_an_hour_after_their_end(
    stack: Stack, ask: Ask, prefect: Prefect
) -> None:
    """Of this deployment alone; what had something to do stays."""

    def over(deployment: str, name: str, minutes_ago: int) -> str:
        run = prefect.order(deployment, {})
        prefect.http.patch(
            f"{prefect.server.url}/api/flow_runs/{run}", json={"name": name}
        ).raise_for_status()
        prefect.post(
            f"flow_runs/{run}/set_state",
            {"state": {"type": "COMPLETED"}, "force": True},
        )
        with psycopg.connect(
            stack.postgres.url(DATABASE), autocommit=True
        ) as connection:
            ended = "update flow_run set end_time = now() - %s where id = %s"
            connection.execute(ended, [timedelta(minutes=minutes_ago), run])
        return run

    ours, others = "process-scheduled-sends", "process-sms-retries"
    gone = [over(ours, "idle", 61), over(ours, "idle", 600)]
    kept = [
        over(ours, "idle", 50),
        over(ours, "1 queued", 600),
        over(others, "idle", 61),
    ]
    last_record = ask(ours, {})
    assert last_record["name"] == "idle"
    found = prefect.post(
        "flow_runs/filter",
        {"flow_runs": {"id": {"any_": [*gone, *kept, last_record["id"]]}}},
    )
    assert {run["id"] for run in found} == {*kept, last_record["id"]}
