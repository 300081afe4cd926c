"""A database that was restored from a backup, and Prefect's history, which was not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenWait
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess
from tests.support.records import Record
from tests.support.restoring import back_up, restore
from tests.support.waiting import until


def begun(flow: FlowProcess) -> None:
    """The last run has begun, and the server has recorded that: it records task runs a second behind."""
    body = {
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "flow_runs": {"id": {"any_": [flow.prefect.last_run()["id"]]}},
    }
    until(lambda: flow.prefect.post("task_runs/filter", body))


def ended(flow: FlowProcess) -> Record:
    """A whole run."""
    run, _ = flow.run()
    begun(flow)
    return run


@pytest.mark.long  # every day integration/doubt/test_restored.py asks the same without Prefect
def test_the_run_after_a_restore_notices_it_and_texts_nobody_twice(
    stack: Stack, business: Business, flow: FlowProcess, tmp_path: Path
) -> None:
    """By a run that was killed while it sent, and by the end of one. It is red and says so, and the next one is not."""
    noon = datetime.now(UTC).replace(hour=17) - timedelta(days=1)
    stack.set_clock(noon)  # Prefect's runs come after the database's past
    business.due_text()
    row = business.due_text(due=timedelta(minutes=2), phone="+12125550161")
    backup = tmp_path / "backup.sql"
    assert ended(flow)["state"]["type"] == "COMPLETED"
    back_up(stack, backup)
    stack.move_clock(timedelta(minutes=3))
    stack.twilio.fail(AcceptThenWait(timedelta(minutes=1)), to="+12125550161")
    killed = flow.start()
    until(lambda: len(stack.twilio.ledger.entries()) == 2)
    begun(flow)
    killed.kill()
    killed.wait()
    restore(stack, backup)
    stack.move_clock(timedelta(minutes=30))
    noticed = ended(flow)
    assert noticed["state"]["type"] == "FAILED"
    assert "The database was restored from a backup" in noticed["state"]["message"]
    assert business.row(row)["why_code"] == "restored"
    assert ended(flow)["state"]["type"] == "COMPLETED"
    business.connection.execute(
        "update smsretry.runs set finished_at = null, summary = null"
    )
    assert ended(flow)["state"]["type"] == "FAILED"
    assert len(stack.twilio.ledger.entries()) == 2
