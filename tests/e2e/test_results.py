"""What a text and a run came to can be fetched through Prefect's API, as JSON, and costs no text anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smsretry.local.demo.run import ROOT
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.documents import SERVED, Document
from tests.support.waiting import until


@pytest.mark.long
def test_what_cannot_be_stored_or_shown_costs_no_text_and_is_reported(
    business: Business, flow: FlowProcess, prefect: Prefect, tmp_path: Path
) -> None:
    """Each is sent once; no reference leads to a result that is not there. The queue's state is only shown."""
    (tmp_path / "file").touch()
    rows = [business.due_text() for _ in range(3)]
    business.connection.execute(
        "revoke execute on function sms_status from service_role"
    )
    try:
        run, _ = flow.run(PREFECT_LOCAL_STORAGE_PATH=str(tmp_path / "file" / "storage"))
    finally:
        business.connection.execute(
            "grant execute on function sms_status to service_role"
        )
    assert run["state"]["message"].endswith(" s: 3 sent")
    assert {business.row(row)["status"] for row in rows} == {"completed"}
    assert {
        str(record["state"]["data"]) for record in [run, *prefect.task_runs(run["id"])]
    } == {"None"}
    logged = [line["message"] for line in prefect.logs(run["id"])]
    [message] = [line for line in logged if "Results cannot be stored" in line]
    assert "(NotADirectoryError)" in message
    assert any(
        line.startswith("The state of the queue cannot be shown") for line in logged
    )


@pytest.mark.long
def test_what_a_run_came_to_is_fetched_as_it_is_shown(
    business: Business, flow: FlowProcess, prefect: Prefect, forms: None
) -> None:
    """The block of flows/README.md, by somebody who has Prefect and the storage. A runner takes what it orders."""
    [shown] = [
        block
        for block in Document(ROOT / "flows" / "README.md").blocks("python")
        if SERVED in block.text
    ]
    printed = "import json\nprint(json.dumps(numbers['counts']))"
    command = [sys.executable, "-c", f"{shown.text}\n{printed}"]
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    business.due_text()
    with subprocess.Popen(
        command, env=flow.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        until(
            lambda: (
                process.poll() is not None
                or prefect.post("flow_runs/filter", scheduled)
            )
        )
        for ordered in prefect.post("flow_runs/filter", scheduled):
            flow.forks.run(
                "prefect.engine", flow.environment(PREFECT__FLOW_RUN_ID=ordered["id"])
            )
        message, _ = process.communicate(timeout=300)
    assert json.loads(message.splitlines()[-1]) == {"sent": 1}
