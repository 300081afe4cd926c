"""A database that was restored from a backup, and Prefect's history, which was not."""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from httpx import AsyncClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flows.support import history
from smsretry.local.process.http import LocalServer
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


@pytest.mark.parametrize(
    ("failures", "is_answered"), [(1, True), (3, True), (99, False)]
)
def test_prefect_is_asked_again_which_runs_there_were(
    flow: FlowProcess, monkeypatch: pytest.MonkeyPatch, failures: int, is_answered: bool
) -> None:
    """It is the first question of a run. Whoever may have failed to ask is among the answers, and not the only one."""
    monkeypatch.setattr(history, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(history, "ASK_SECONDS", 0.5)
    ids = [UUID(ended(flow)["id"]) for _ in range(2)][::-1]
    address = flow.stack.settings().address
    url = flow.prefect.server.environment()["PREFECT_API_URL"]
    remaining = count(failures, -1)

    async def relay(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        is_asked = request.url.path.endswith("flow_runs/filter")
        if is_asked and next(remaining) > 0:
            await Response(status_code=500)(scope, receive, send)
            return
        async with AsyncClient() as client:
            answer = await client.request(
                request.method,
                f"{url}{request.url.path}",
                params=request.query_params,
                content=await request.body(),
                headers=request.headers.items(),
            )
        await Response(
            answer.content, answer.status_code, media_type="application/json"
        )(scope, receive, send)

    with (
        LocalServer(relay) as server,
        temporary_settings({PREFECT_API_URL: server.url}),
    ):
        earlier = history.earlier_runs(address)
    if is_answered:
        assert earlier is not None
        assert [run.id for run in earlier][:2] == ids
        assert all(run.finished for run in earlier[:2])
    else:
        assert earlier is None


@pytest.mark.long  # every day integration/doubt/test_restored.py asks the same without Prefect
def test_the_run_after_a_restore_notices_it_and_texts_nobody_twice(
    stack: Stack, business: Business, flow: FlowProcess, tmp_path: Path
) -> None:
    """By a run that was killed while it sent, and by the end of one. It is red and says so, and the next one is not."""
    flow.prefect.forget_runs()
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
    assert business.row(row)["status"] == "completed"  # its first look found it
    assert ended(flow)["state"]["type"] == "COMPLETED"
    business.connection.execute(
        "update smsretry.runs set finished_at = null, summary = null"
    )
    assert ended(flow)["state"]["type"] == "FAILED"
    assert len(stack.twilio.ledger.entries()) == 2
