"""What people see in Prefect of texts that arrived, and of texts that did not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from smsretry.local.stack import Stack
from tests.conftest import PHONE, Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.support.records import Record, columns
from tests.support.waiting import until


@pytest.fixture
def sync(flow: FlowProcess) -> FlowProcess:
    """The flow that asks what became of them."""
    return replace(flow, module="flows.sync_delivery_status")


@pytest.mark.long
def test_a_run_is_named_by_what_became_of_the_texts(
    stack: Stack,
    business: Business,
    flow: FlowProcess,
    sync: FlowProcess,
    prefect: Prefect,
) -> None:
    """With a page, an event for each text that did not arrive, and an alert when a carrier blames the sender."""
    rows = [business.due_text(phone=f"+1212555016{n}") for n in range(4)]
    run, _ = flow.run()
    assert run["name"] == "4 sent"
    fates = [
        ("delivered", None),
        ("undelivered", 30003),
        ("undelivered", 30007),
        ("sent", None),
    ]
    of_row = {row: business.attempts_of(row)[0]["twilio_sid"] for row in rows}
    for row, (status, code) in zip(rows, fates, strict=True):
        stack.twilio.report(of_row[row], status, code)
    stack.move_clock(timedelta(minutes=6))

    run, printed = sync.run()

    assert run["name"] == "1 delivered · 1 undelivered · 1 retried · 1 on its way"
    assert (run["state"]["type"], run["tags"]) == ("COMPLETED", ["texts"])
    [artifact] = prefect.artifacts("sms-run")[:1]
    assert "Not delivered: Twilio 30007: Message filtered" in artifact["data"]
    names = [f"sms.text.{name}" for name in ("sent", "retried", "undelivered", "sent")]
    until(
        lambda: (
            [
                event["event"]
                for row in rows
                for event in prefect.events(f"sms.text.{row}")[-1:]
            ]
            == names
        )
    )

    def blamed() -> list[Record]:
        events = prefect.events("sms.queue")
        return [event for event in events if event["event"].endswith("sender-blamed")]

    until(blamed)
    [event] = blamed()
    assert f"prefect.flow-run.{run['id']}" in str(event["related"])
    assert event["payload"] == {
        "texts": 1,
        "why": "Not delivered: Twilio 30007: Message filtered",
    }
    assert PHONE[:8] not in printed + str(artifact) + str(run)

    run, _ = sync.run()
    assert columns(run, "name", "tags") == ("idle", [])
