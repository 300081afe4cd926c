"""The desk's main path in Prefect's UI, in a browser: from a customer's id to the text that is sent."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from tests.conftest import Business
from tests.e2e.browser import Browser, NotSeen
from tests.e2e.conftest import FlowProcess
from tests.e2e.serving import served_unscheduled

CODE, PHONE = 21612, "+12125550174"
ACTION = "send it again, with every check"
_FIELD = """
    [...document.querySelectorAll('.schema-form-property__label')]
        .find((label) => label.innerText.replace('(Optional)', '').trim() === %s)
        ?.closest('.schema-form-property')?.querySelector('textarea, input')
"""


@dataclass(frozen=True)
class PrefectUi:
    """The UI at an address, as far as the desk uses it."""

    page: Browser
    url: str

    def feed(self, customer: UUID, *, until: str) -> None:
        """The bookmark of a customer's story; reload it until it says so."""
        for _ in range(10):
            self.page.go(f"{self.url}/events?resource=sms.customer.{customer}")
            with suppress(NotSeen):
                self.page.sees(until, seconds=3)
                return
        self.page.sees(until)

    def open_form(self, deployment: str) -> None:
        """A form, as a bookmark opens it."""
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}/{deployment}").raise_for_status().json()
        self.page.go(f"{self.url}/deployments/deployment/{found['id']}/run")
        self.page.sees("Submit")

    def fill(self, field: str, text: str) -> None:
        """Type into the field with this label."""
        self.page.press(_FIELD % json.dumps(field), field)
        self.page.type(text)

    def submit(self, *, until: str) -> None:
        """Press the button, go to the run, and wait until its page says so."""
        self.page.click("Submit")
        self.page.click("View run", nth=-1)  # it is there twice, one over the other
        self.page.sees("Job Variables")
        self.page.sees(until, seconds=60)

    def answer(self, *, until: str) -> None:
        """The page behind the run: its artifact."""
        self.page.click("Artifacts", on="a, button, li")
        self.page.press("document.querySelector('.artifact-card')", "the artifact")
        self.page.sees(until)


@pytest.fixture
def customer(stack: Stack, business: Business, flow: FlowProcess) -> UUID:
    """Whose text Twilio refused, once."""
    row = business.due_text(phone=PHONE)
    stack.twilio.fail(JsonError(CODE, http_status=400), to=PHONE)
    flow.run()
    return UUID(str(business.row(row)["customer_id"]))


@pytest.mark.long
def test_a_text_is_found_explained_and_sent(
    has_browser: None, customer: UUID, stack: Stack, flow: FlowProcess, tmp_path: Path
) -> None:
    """Each page leads to the next step. Without a name the order is refused in words."""
    with served_unscheduled(flow, tmp_path / "runner.log"), Browser() as page:
        ui = PrefectUi(page, flow.prefect.server.url)
        ui.feed(customer, until=f"Failed {CODE}")
        ui.open_form("sms-explain")
        ui.fill("Customer", str(customer))
        ui.submit(until="Next: nothing happens by itself")
        ui.answer(until=ACTION)
        page.follow(ACTION)
        page.sees("Because")
        form = page.address
        ui.submit(until="Who and Because must be given unless it is only tried")
        page.go(form)
        page.sees("Because")
        ui.fill("Who", "Ann")
        ui.fill("Because", "The sender was mended")
        ui.submit(until="Requeued 1 of 1 that match.")
        ui.answer(until="The next run takes what is due")
        page.follow("start one now")
        page.sees("drain_seconds")
        ui.submit(until="Completed")
        ui.feed(customer, until="Sms text sent")
    assert [entry.to for entry in stack.twilio.ledger.entries()] == [PHONE]
