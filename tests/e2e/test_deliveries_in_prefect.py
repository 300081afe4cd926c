"""What people see in Prefect of texts that arrived, and of texts that did not."""

import time
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.local.stack import Stack
from tests.conftest import PHONE, Business
from tests.e2e.conftest import FlowProcess, Prefect


@pytest.fixture
def sync(flow: FlowProcess) -> FlowProcess:
    """The flow that asks what became of them."""
    return replace(flow, module="flows.sync_delivery_status")


@pytest.mark.long
def test_a_run_is_named_by_what_became_of_the_texts(
    stack: Stack, business: Business, flow: FlowProcess, sync: FlowProcess, prefect: Prefect
) -> None:
    """With a page, an event for each text that did not arrive, and an alert when a carrier blames the sender."""
    rows = [business.due_text(phone=f"+1212555016{n}") for n in range(4)]
    run, _ = flow.run()
    assert run["name"] == "sent 4"
    fates = [("delivered", None), ("undelivered", 30003), ("undelivered", 30007), ("sent", None)]
    of_row = {row: business.attempts_of(row)[0]["twilio_sid"] for row in rows}
    for row, (status, code) in zip(rows, fates, strict=True):
        stack.twilio.report(of_row[row], status, code)
    stack.move_clock(timedelta(minutes=6))

    run, printed = sync.run()

    assert run["name"] == "delivered 1 · undelivered 1 · retried 1 · on its way 1"
    assert (run["state"]["type"], run["tags"]) == ("COMPLETED", ["texts"])
    [artifact] = prefect.artifacts("sms-deliveries")[:1]
    assert "Not delivered: Twilio 30007: Message filtered" in artifact["data"]
    told = ["sent", "retried", "undelivered", "sent"]
    last = [last_event(prefect, row, name) for row, name in zip(rows, told, strict=True)]
    assert last == [f"sms.text.{name}" for name in told]
    flow_run = f"prefect.flow-run.{run['id']}"
    of_this_run = [event for event in prefect.events("sms.queue") if flow_run in str(event["related"])]
    blamed = [event["payload"] for event in of_this_run if event["event"] == "sms.queue.sender-blamed"]
    customer = business.row(rows[2])["customer_id"]
    assert blamed == [{"texts": 1, "codes": "30007", "customers": str(customer)}]
    assert PHONE[:8] not in printed + str(artifact) + str(run)

    run, _ = sync.run()
    assert (run["name"], run["tags"]) == ("idle", [])


def last_event(prefect: Prefect, row: UUID, expected: str) -> str:
    """Of a text, once the server has the one that is expected: it writes events a moment later."""
    deadline = time.monotonic() + 120
    while True:
        name = str(prefect.events(f"sms.text.{row}")[-1]["event"])
        if name == f"sms.text.{expected}" or time.monotonic() > deadline:
            return name
        time.sleep(0.2)


@pytest.mark.long
def test_a_run_that_reaches_no_database_is_red_and_says_so(sync: FlowProcess) -> None:
    """In words, on the list."""
    run, _ = sync.run(SUPABASE_URL="http://127.0.0.1:9")
    assert run["name"].startswith("failed: Supabase did not answer claim_sms_deliveries")
    assert run["state"]["type"] == "FAILED"
