"""The desk's main path: from a customer's id to the text that is sent, by Prefect's UI and by SQL.

`python -m tests.e2e.at_the_desk` does the same on `smsretry up`, by command, too, and tells how long each takes.
"""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from tests.conftest import Business
from tests.e2e.at_the_desk.by_browser import by_browser
from tests.e2e.at_the_desk.by_sql import by_sql
from tests.e2e.at_the_desk.diary import Diary
from tests.e2e.browser import Browser
from tests.e2e.conftest import FlowProcess
from tests.e2e.serving import served_unscheduled

CODE = 21612


@pytest.fixture
def customer(stack: Stack, business: Business, flow: FlowProcess) -> UUID:
    """Whose text Twilio refused, once."""
    row = business.due_text(phone="+12125550174")
    stack.twilio.fail(JsonError(CODE, http_status=400), to="+12125550174")
    flow.run()
    return UUID(str(business.row(row)["customer_id"]))


@pytest.mark.long
def test_by_prefects_ui(has_browser: None, customer: UUID, stack: Stack, flow: FlowProcess, tmp_path: Path) -> None:
    """In a browser, with a form that is refused in words before the one that is right."""
    with served_unscheduled(flow, tmp_path / "runner.log"), Browser() as page:
        by_browser(page, flow.prefect.server.url, customer, CODE, Diary("Prefect's UI"))
    assert [entry.to for entry in stack.twilio.ledger.entries()] == ["+12125550174"]


@pytest.mark.long
def test_by_sql(customer: UUID, stack: Stack, business: Business, flow: FlowProcess) -> None:
    """The next run sends it."""

    def run_until(true: Callable[[], bool]) -> None:
        flow.run()
        assert true()

    by_sql(business.connection, customer, CODE, Diary("SQL"), until=run_until)
    assert [entry.to for entry in stack.twilio.ledger.entries()] == ["+12125550174"]
