"""The desk's forms in Prefect: what is asked is answered by the run's name, message and artifact; what cannot be asked
is refused in words.
"""

import json
import re
from urllib.parse import unquote
from uuid import UUID

import httpx
import psycopg
import pytest

from smsretry.local.prefect_server import DATABASE
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from tests.conftest import Business
from tests.e2e.conftest import Ask, FlowProcess, Prefect
from tests.e2e.test_privacy_in_prefect import holding
from tests.support.records import Record, columns
from tests.support.waiting import until

_AGAIN = re.compile(
    r"\[send it again, with every check\]\(\S+/run\?parameters=(\S+?)\)"
)


@pytest.fixture
def failed(stack: Stack, business: Business, flow: FlowProcess) -> UUID:
    """A text whose number Twilio refused."""
    row = business.due_text(phone="+12125550165")
    stack.twilio.fail(JsonError(21211), to="+12125550165")
    flow.run()
    return row


@pytest.mark.long
def test_a_text_is_explained_requeued_and_cancelled_with_a_name_and_a_reason(
    business: Business, failed: UUID, ask: Ask, prefect: Prefect
) -> None:
    """Tried, and done by what the page links to; without a name it is refused. An order that changed nothing is red."""
    shown = ask(
        "sms-explain", {"ask": {"id": str(business.row(failed)["customer_id"])}}
    )
    assert shown["name"] == "…0165: failed"
    page = prefect.artifacts("sms-explain")[0]
    assert columns(page, "flow_run_id", "description") == (
        shown["id"],
        shown["state"]["message"],
    )
    assert (
        "[what it means](https://www.twilio.com/docs/api/errors/21211)" in page["data"]
    )
    [filled_in] = _AGAIN.findall(page["data"])
    again = json.loads(unquote(filled_in))
    nameless = ask("sms-texts", again, enforce_parameter_schema=False)
    assert (nameless["state"]["name"], business.row(failed)["status"]) == (
        "Refused",
        "failed",
    )

    order = {"code": 21211, "business_id": str(business.id)}
    assert (
        ask("sms-texts", {"ask": {"requeue": order}})["name"] == "would requeue 1 of 1"
    )
    signature = {"who": "Ann", "because": "The number was mended"}
    done = ask("sms-texts", {"ask": {"requeue": again["ask"]["requeue"] | signature}})
    assert (done["name"], business.row(failed)["status"]) == (
        "requeued 1 of 1",
        "pending",
    )
    signed = order | signature | {"dry_run": False}
    nothing = ask("sms-texts", {"ask": {"cancel": signed | {"code": 30003}}})
    assert nothing["state"]["name"] == "NothingChanged"
    assert nothing["name"] == "cancelled 0 of 0: no text matches all that was given"
    assert ask("sms-texts", {"ask": {"cancel": signed}})["name"] == "cancelled 1 of 1"


REFUSED: list[tuple[str, Record, str, bool]] = [
    (
        "sms-texts",
        {
            "ask": {
                "requeue": {
                    "code": -1,
                    "nonsense": 1,
                    "because": "She rang from 07700 900123",
                }
            }
        },
        "Because: must be words without a phone number: name the customer by its id. Code: must be greater "
        "than or equal to 0. nonsense: is no field of this form",
        False,
    ),
    (
        "sms-stop",
        {"ask": {"who": "Ann", "because": "A hurricane"}},
        "say what: State or Business",
        True,
    ),
    (
        "sms-texts",
        {"ask": {}},
        "Say one thing to do: list, requeue, cancel, look-again, resolve",
        False,
    ),
    (
        "process-sms-retries",
        {"limit": 999_999},
        "limit: must be less than or equal to 100000",
        False,
    ),
]
"""What is asked, in which words it is refused, and whether it is kept with the run, for *Copy to new run*."""


@pytest.mark.long
def test_what_does_not_fit_is_refused_in_words_and_taken_out_of_the_run(
    ask: Ask, prefect: Prefect, stack: Stack
) -> None:
    """Also when Prefect's own check is switched off: a red run with a message and one error line, and no traceback.
    What was filled in is kept only where fields contradict each other. Else it is in no column of Prefect's tables.
    """
    for form, parameters, reason, kept in REFUSED:
        run = ask(form, parameters, enforce_parameter_schema=False)
        assert columns(run["state"], "type", "name") == ("FAILED", "Refused")
        assert run["state"]["message"].startswith(reason)
        assert run["name"].startswith(f"refused: {reason}"[:60])
        assert run["parameters"] == (parameters if kept else {})
        assert errors_of(run, prefect) == [run["state"]["message"]]
    with psycopg.connect(stack.postgres.url(DATABASE), autocommit=True) as connection:
        assert holding(connection, "07700 900123") == []


def errors_of(run: Record, prefect: Prefect) -> list[str]:
    """The error lines of its log, once it is there to its end."""
    until(
        lambda: any(
            line["message"].startswith("Finished in state")
            for line in prefect.logs(run["id"])
        )
    )
    return [line["message"] for line in prefect.logs(run["id"]) if line["level"] >= 40]


@pytest.mark.long
def test_the_server_refuses_what_does_not_fit_before_it_keeps_it(
    forms: None, prefect: Prefect
) -> None:
    """A number pasted into any field is refused by the form, so that Prefect never stores it."""
    for form, given in FORMS:
        found = prefect.get(f"deployments/name/{form}/{form}")
        with pytest.raises(httpx.HTTPStatusError) as refused:
            prefect.post(
                f"deployments/{found['id']}/create_flow_run",
                {"parameters": {"ask": given}},
            )
        assert refused.value.response.status_code == 409, given
        assert "Validation failed for field " in refused.value.response.text
        assert "does not match" not in refused.value.response.text


FORMS: list[tuple[str, Record]] = [
    ("sms-explain", {"id": "+12125550188"}),
    ("sms-texts", {"requeue": {"code": 21211, "because": "+1 (212) 555-0188 called"}}),
    (
        "sms-texts",
        {"requeue": {"code": 21211, "because": "line one\n(212)5550188 called"}},
    ),
    ("sms-texts", {"requeue": {"code": 21211, "because": "07700 900123 called"}}),
    ("sms-texts", {"requeue": {"code": 21211, "who": ""}}),
    ("sms-texts", {"requeue": {"since": "yesterday"}}),
    ("sms-texts", {"look-again": {"customer_id": "+12125550188"}}),
    ("sms-texts", {"cancel": {"code": 30003}, "list": {"code": 30003}}),
    ("sms-consent", {"customer_id": "+12125550188", "consent": "opted_in"}),
    ("sms-stop", {"state": "XX", "who": "Ann", "because": "A hurricane"}),
    ("sms-stop", {"state": "LA", "who": "Ann", "because": "020 7946 0958"}),
    ("sms-preview", {"hours": 1000}),
    (
        "sms-senders",
        {"add": {"business_id": str(UUID(int=1)), "account": "+12125550188"}},
    ),
    ("sms-senders", {"change": {"sender": "+12125550188", "paused": "yes"}}),
    ("sms-senders", {"remove": {"message_class": "promotional"}}),
]
