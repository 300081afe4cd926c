"""A database that was restored from a backup, and Prefect's history, which was not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess
from tests.support.restoring import back_up, restore
from tests.support.waiting import until


def finished(flow: FlowProcess) -> dict[str, Any]:
    """A run, once the server has all of it: it records task runs a second behind."""
    run, _ = flow.run()
    tasks = {"state": {"type": {"any_": ["COMPLETED"]}}}
    body = {"task_runs": tasks, "flow_runs": {"id": {"any_": [run["id"]]}}}
    until(lambda: len(flow.prefect.post("task_runs/filter", body)) >= 2)
    return run


def test_the_run_after_a_restore_notices_it_and_texts_nobody_twice(
    stack: Stack, business: Business, flow: FlowProcess, tmp_path: Path
) -> None:
    """It is red and says so; the next one is not. Nothing is said before, of a database that Prefect does not know."""
    noon = datetime.now(UTC).replace(hour=17) - timedelta(days=1)
    stack.set_clock(noon)  # Prefect's clock must be ahead of the database's past
    rows = [business.due_text(), business.due_text(due=timedelta(minutes=2))]
    backup = tmp_path / "backup.sql"
    assert finished(flow)["state"]["type"] == "COMPLETED"
    back_up(stack, backup)
    stack.move_clock(timedelta(minutes=3))
    assert finished(flow)["name"] == "sent 1"
    restore(stack, backup)
    stack.move_clock(timedelta(minutes=30))
    noticed = finished(flow)
    assert noticed["state"]["type"] == "FAILED"
    assert "The database was restored from a backup" in noticed["state"]["message"]
    assert business.row(rows[1])["why_code"] == "restored"
    assert finished(flow)["state"]["type"] == "COMPLETED"
    business.connection.execute(
        "update smsretry.runs set finished_at = null, told = null"
    )
    assert finished(flow)["state"]["type"] == "FAILED", "the end of a run is forgotten"
    assert len(stack.twilio.ledger.entries()) == 2
