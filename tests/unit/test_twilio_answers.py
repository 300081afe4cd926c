"""What an HTTP answer of Twilio means: accepted, rejected, not sent, or nobody knows."""

import json
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from tests.support.builders import PHONE, SID, refused

MMS_SID = f"MM{SID[2:]}"
HTML = f"<html><body>Bad gateway for {PHONE}</body></html>"


def refusal(status: object, code: object = 21211) -> str:
    """Twilio's JSON for an error, as it sends it."""
    return json.dumps({"code": code, "message": f"The 'To' number {PHONE} is invalid", "status": status})


ANSWERS = [
    # Accepted: success and a SID.
    pytest.param(201, json.dumps({"sid": SID, "status": "queued"}), Accepted(SID), id="201 with a SID"),
    pytest.param(200, json.dumps({"sid": SID}), Accepted(SID), id="200 with a SID"),
    pytest.param(201, json.dumps({"sid": MMS_SID}), Accepted(MMS_SID), id="201 with the SID of an MMS"),
    # Rejected: Twilio itself says that it made no message.
    pytest.param(400, refusal(400), refused(21211), id="400 in Twilio's JSON"),
    pytest.param(401, refusal(401, 20003), refused(20003, 401), id="401 in Twilio's JSON"),
    pytest.param(429, refusal(429, 20429), refused(20429, 429), id="429 in Twilio's JSON"),
    pytest.param(407, refusal(407, 20003), refused(20003, 407), id="407 in Twilio's JSON"),
    # Not sent: a proxy stands before Twilio.
    pytest.param(407, HTML, NotSent("A proxy asks for credentials: check HTTPS_PROXY"), id="407 of a proxy"),
    pytest.param(407, "", NotSent("A proxy asks for credentials: check HTTPS_PROXY"), id="407 with nothing"),
]
NO_SID = "Twilio answered with success but without a message SID"
NOT_TWILIO = "Twilio answered with something that is not Twilio's JSON (HTTP 400)"
IN_DOUBT = [
    # A success that names no message.
    pytest.param(201, "", NO_SID, id="201 with nothing"),
    pytest.param(201, HTML, NO_SID, id="201 with HTML"),
    pytest.param(201, json.dumps({"sid": None}), NO_SID, id="201 with a null SID"),
    pytest.param(201, json.dumps({"sid": "CA" + SID[2:]}), NO_SID, id="201 with the SID of a call"),
    pytest.param(201, json.dumps({"sid": SID[:-1]}), NO_SID, id="201 with a short SID"),
    pytest.param(201, json.dumps({"sid": SID + "\n"}), NO_SID, id="201 with a SID and a line break"),
    pytest.param(201, json.dumps({"sid": [SID]}), NO_SID, id="201 with a list for a SID"),
    pytest.param(201, json.dumps([{"sid": SID}]), NO_SID, id="201 with a JSON list"),
    pytest.param(201, json.dumps({"sid": SID})[:-1], NO_SID, id="201 cut short"),
    pytest.param(202, "null", NO_SID, id="202 with null"),
    # A refusal that is not Twilio's.
    pytest.param(429, HTML, "Twilio answered with something that is not Twilio's JSON (HTTP 429)", id="429 with HTML"),
    pytest.param(400, "", NOT_TWILIO, id="400 with nothing"),
    pytest.param(400, refusal(404), NOT_TWILIO, id="other status"),
    pytest.param(400, refusal("400"), NOT_TWILIO, id="status as text"),
    pytest.param(400, refusal(400, True), NOT_TWILIO, id="code true"),
    pytest.param(
        400,
        refusal(400, "21211"),
        NOT_TWILIO,
        id="code as text",
    ),
    pytest.param(400, refusal(400, None), NOT_TWILIO, id="code null"),
    pytest.param(
        400,
        f"[{refusal(400)}]",
        NOT_TWILIO,
        id="400 with a JSON list",
    ),
    # Somebody else answered, or Twilio failed half-way: it may have made the message.
    pytest.param(302, "", "Twilio answered with something that is not Twilio's JSON (HTTP 302)", id="302"),
    pytest.param(500, refusal(500, 20500), "Twilio answered with an error of its own (HTTP 500)", id="500 in JSON"),
    pytest.param(503, HTML, "Twilio answered with an error of its own (HTTP 503)", id="503 with HTML"),
    pytest.param(504, "", "Twilio answered with an error of its own (HTTP 504)", id="504 with nothing"),
]


@pytest.mark.parametrize(("http_status", "body", "outcome"), ANSWERS)
def test_a_clear_answer_is_taken_at_its_word(http_status: int, body: str, outcome: Outcome) -> None:
    """Accepted needs a success with a SID; rejected needs Twilio's own JSON."""
    assert outcome_of_answer(http_status, body) == outcome


@pytest.mark.parametrize(("http_status", "body", "why"), IN_DOUBT)
def test_an_answer_that_proves_nothing_is_in_doubt(http_status: int, body: str, why: str) -> None:
    """It is never taken for a failure: the text may have gone out."""
    assert outcome_of_answer(http_status, body) == InDoubt(why)


WAITS = [
    # the header, seconds
    (None, None),
    ("0", 0),
    ("7", 7),
    ("999999", 999_999),
    ("1000000", None),  # eleven days: nonsense
    ("", None),
    ("-1", None),
    ("1.5", None),
    (" 7", None),
    ("7\n", None),
    ("\u0667", None),
    ("Tue, 12 Jan 2027 17:00:07 GMT", None),
]


@pytest.mark.parametrize(("header", "seconds"), WAITS)
def test_what_twilio_asks_to_wait_is_read_in_whole_seconds(header: str | None, seconds: int | None) -> None:
    """Anything else is as if it were not there."""
    outcome = outcome_of_answer(429, refusal(429, 20429), retry_after=header)
    wait = None if seconds is None else timedelta(seconds=seconds)
    assert outcome == refused(20429, 429, retry_after=wait)


def test_deeply_nested_json_is_in_doubt_like_any_other_nonsense() -> None:
    """Reading an answer never raises."""
    assert outcome_of_answer(201, "[" * 100_000) == InDoubt(NO_SID)


statuses = st.integers(min_value=100, max_value=599)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
twilio_like = st.fixed_dictionaries(
    {}, optional={"sid": json_values | st.just(SID), "code": json_values, "status": json_values | statuses}
)
bodies = st.text() | json_values.map(json.dumps) | twilio_like.map(json.dumps)


@given(http_status=statuses, body=bodies)
def test_every_answer_has_an_outcome(http_status: int, body: str) -> None:
    """Whatever the status and the text, it is one of the four, and accepted only with a success."""
    outcome = outcome_of_answer(http_status, body)
    assert isinstance(outcome, get_args(Outcome))
    assert not isinstance(outcome, Accepted) or (200 <= http_status < 300 and SID in body)
    assert not isinstance(outcome, Rejected) or 400 <= http_status < 500


@given(http_status=statuses, words=st.text(alphabet="0123456789+ñЖ漢", min_size=8))
def test_an_outcome_never_quotes_the_answer(http_status: int, words: str) -> None:
    """Twilio's messages name the recipient; our phrases do not."""
    for body in (words, json.dumps({"message": words, "status": words, "sid": words}, ensure_ascii=False)):
        outcome = outcome_of_answer(http_status, body)
        assert isinstance(outcome, NotSent | InDoubt)
        assert words not in outcome.why
        assert words not in repr(outcome)
