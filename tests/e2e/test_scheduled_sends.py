"""Scheduled sends in Prefect: a deployment of their own beside the first, and what its runs show."""

from dataclasses import replace

import pytest

from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.test_flow import wait_for_events


@pytest.fixture
def scheduled_sends(flow: FlowProcess) -> FlowProcess:
    """The flow that queues them."""
    return replace(flow, module="flows.process_scheduled_sends")


def test_a_run_is_named_by_what_became_of_scheduled_sends_and_says_why_of_each_that_is_no_text(
    stack: Stack, business: Business, scheduled_sends: FlowProcess, prefect: Prefect
) -> None:
    """An idle one is named so. The story of a send log begins with it."""
    run, _ = scheduled_sends.run()
    assert (run["name"], run["state"]["type"], run["tags"]) == ("idle", "COMPLETED", [])
    business.scheduled()
    empty = business.scheduled(body=" ")
    run, _ = scheduled_sends.run()
    assert run["name"] == run["state"]["message"] == "1 queued · 1 failed"
    assert run["tags"] == ["texts"]
    page = prefect.artifacts("sms-run")[0]["data"]
    assert "failed: Text is empty: scheduled\\_sends.body holds none" in page
    [event] = wait_for_events(prefect, f"sms.send-log.{empty}", 1)
    assert event["event"] == "sms.send-log.failed"
    reason = "Text is empty: scheduled_sends.body holds none"
    assert event["payload"] == {"why": reason, "why_code": "no_body"}
