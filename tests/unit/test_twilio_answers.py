"""What Twilio's answer means: accepted, rejected, not sent, or nobody knows."""

import json
from datetime import timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from smsretry.adapters.twilio.answers import is_own, outcome_of_answer
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from tests.support.builders import PHONE, SID, refused

HTML = f"<html><body>Bad gateway for {PHONE}</body></html>"


def refusal(status: object, code: object = 21211) -> str:
    """Twilio's JSON for an error, as it sends it."""
    return json.dumps(
        {
            "code": code,
            "message": f"The 'To' number {PHONE} is invalid",
            "status": status,
        }
    )


CLEAR: list[tuple[int, str, Outcome]] = [
    (201, json.dumps({"sid": SID, "status": "queued"}), Accepted(SID)),
    (201, json.dumps({"sid": f"MM{SID[2:]}"}), Accepted(f"MM{SID[2:]}")),
    (400, refusal(400), refused(21211)),
    (401, refusal(401, 20003), refused(20003, 401)),
    (407, refusal(407, 20003), refused(20003, 407)),
    (429, refusal(429, 20429), refused(20429, 429)),
]
PROVES_NOTHING: list[tuple[int, str]] = [
    # A success that names no message.
    *(
        (201, body)
        for body in (
            "",
            HTML,
            "[" * 100_000,
            json.dumps([{"sid": SID}]),
            json.dumps({"sid": SID})[:-1],
        )
    ),
    *(
        (201, json.dumps({"sid": sid}))
        for sid in (None, [SID], SID[:-1], f"{SID}\n", f"CA{SID[2:]}")
    ),
    (202, "null"),
    # A refusal that is not Twilio's: a gateway's, or of another shape.
    *(
        (400, body)
        for body in ("", HTML, refusal(404), refusal("400"), f"[{refusal(400)}]")
    ),
    *((400, refusal(400, code)) for code in (True, "21211", None)),
    (429, HTML),
    # Somebody else answered, or Twilio failed half-way: it may have made the message.
    (302, ""),
    (500, refusal(500, 20500)),
    (503, HTML),
]


def test_a_clear_answer_is_taken_at_its_word() -> None:
    """Accepted needs a success with a SID; rejected needs Twilio's own JSON. Before Twilio may stand a proxy."""
    for status, body, outcome in CLEAR:
        assert outcome_of_answer(status, body) == outcome
    for body in (HTML, ""):
        assert isinstance(outcome_of_answer(407, body), NotSent)


def test_an_answer_that_proves_nothing_is_in_doubt() -> None:
    """It is never taken for a failure: the text may have gone out."""
    for status, body in PROVES_NOTHING:
        assert isinstance(outcome_of_answer(status, body), InDoubt), (status, body[:80])


POSTED = {
    "To": PHONE,
    "Body": "It\u2019s \u201ctomorrow\u201d  at 9",
    "From": "+12125550100",
}
ACCOUNT = "/2010-04-01/Accounts/AC1"
LIST = f"{ACCOUNT}/Messages.json?To=%2B12125550123&PageSize=100"
MESSAGES: list[tuple[object, object, bool]] = [
    # to, body, whether it is the answer to what was posted
    (PHONE, POSTED["Body"], True),
    (PHONE, 'It\'s "tomorrow" at 9', True),
    (f"rcs:{PHONE}", POSTED["Body"], True),
    (PHONE, f"Sent from your Twilio trial account - {POSTED['Body']}", True),
    (PHONE, "", True),
    ("+12125550199", POSTED["Body"], False),
    (f"whatsapp:{PHONE}", POSTED["Body"], False),
    ("+1212555XXXX", POSTED["Body"], False),
    (PHONE, "We are closed tomorrow", False),
    (PHONE, None, False),
    (None, POSTED["Body"], False),
]
READ: list[tuple[str, str, bool]] = [
    # where something was read, what the answer says of that, whether it is the answer
    (f"{ACCOUNT}/Messages/SM1.json", f"{ACCOUNT}/Messages/SM1.json", True),
    (f"{ACCOUNT}/Messages/SM1.json", f"{ACCOUNT}/Messages/SM2.json", False),
    (LIST, f"{LIST}&Page=0", True),
    (LIST, LIST.replace("0123", "0199"), False),
    (LIST, f"{ACCOUNT}/Messages.json", False),
]


def test_an_answer_is_that_of_its_own_request() -> None:
    """By what it says of itself: Twilio echoes no id of ours. An error says nothing, and is taken for its own."""
    for to, body, own in MESSAGES:
        content = {"sid": SID, "to": to, "body": body}
        assert is_own(content, f"{ACCOUNT}/Messages.json", POSTED) is own, (to, body)
    for url, uri, own in READ:
        assert is_own({"uri": uri}, url, {}) is own, (url, uri)
    assert is_own(json.loads(refusal(400)), LIST, POSTED)


def test_the_wait_that_twilio_asks_for_is_read_in_whole_seconds() -> None:
    """Anything else is as if it were not there."""
    waits: dict[str | None, int | None] = {"0": 0, "7": 7, "999999": 999_999}
    waits |= dict.fromkeys(
        (
            None,
            "",
            "1000000",
            "-1",
            "1.5",
            " 7",
            "7\n",
            "\u0667",
            "Tue, 12 Jan 2027 17:00:07 GMT",
        )
    )
    for header, seconds in waits.items():
        wait = None if seconds is None else timedelta(seconds=seconds)
        assert outcome_of_answer(
            429, refusal(429, 20429), retry_after=header
        ) == refused(20429, 429, retry_after=wait)


statuses = st.integers(min_value=100, max_value=599)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(), children, max_size=3)
    ),
    max_leaves=8,
)
twilio_like = st.fixed_dictionaries(
    {},
    optional={
        "sid": json_values | st.just(SID),
        "code": json_values,
        "status": json_values | statuses,
    },
)
bodies = st.text() | json_values.map(json.dumps) | twilio_like.map(json.dumps)


@given(http_status=statuses, body=bodies)
def test_every_answer_has_an_outcome(http_status: int, body: str) -> None:
    """Whatever the status and the text, it is one of the four, and accepted only with a success."""
    outcome = outcome_of_answer(http_status, body)
    assert isinstance(outcome, get_args(Outcome))
    assert not isinstance(outcome, Accepted) or (
        200 <= http_status < 300 and SID in body
    )
    assert not isinstance(outcome, Rejected) or 400 <= http_status < 500
    words = "Ж漢 for +12125550123"  # Twilio's messages name the recipient; our phrases do not
    assert words not in repr(
        outcome_of_answer(http_status, json.dumps({"message": words, "sid": words}))
    )
