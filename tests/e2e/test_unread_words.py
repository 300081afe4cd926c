"""What may mean stop, from the signed webhook to the form that says what it means."""

import json
import re
from urllib.parse import unquote

import pytest

from smsretry.local.stack import SENDER, Stack
from tests.conftest import Business
from tests.e2e.browser import Browser
from tests.e2e.conftest import Ask, FlowProcess, Prefect
from tests.e2e.webhook_hosts import URL, application, environment_of, posting
from tests.support.builders import PHONE

_FORM = re.compile(r"\(\.\./\.\.(\S+/run\?parameters=(\S+?))\)")


@pytest.mark.long
@pytest.mark.parametrize(
    ("said", "status"), [("opted_out", "cancelled"), ("unchanged", "completed")]
)
def test_an_unread_no_is_held_listed_and_answered_by_the_form_that_the_list_links_to(
    stack: Stack,
    business: Business,
    flow: FlowProcess,
    ask: Ask,
    prefect: Prefect,
    said: str,
    status: str,
) -> None:
    """As the list fills the form in they opted out; a person may choose that they did not. The next run obeys."""
    text = business.due_text()
    incoming = stack.twilio.inbound(
        URL, phone=PHONE, body="do not contact me ever again", to=SENDER
    )
    with application(environment_of(stack)) as url:
        assert posting(url)(incoming) == 200
    flow.run()
    assert business.row(text)["why_code"] == "words_unread"

    told = ask("sms-unread", {})
    assert told["name"].startswith("1 customer to answer")
    page = prefect.artifacts("sms-unread")[0]
    assert PHONE not in page["data"]
    [(form, filled_in)] = _FORM.findall(page["data"])
    with Browser() as browser:
        browser.open(prefect.server.url + form, "Because", "opted_out")

    answer = json.loads(unquote(filled_in))["ask"]
    signed = {"who": "Ann", "because": "I read it", "consent": said}
    ask("sms-consent", {"ask": answer | signed})
    flow.run()
    assert business.row(text)["status"] == status
    assert ask("sms-unread", {})["name"].startswith("no customers")
