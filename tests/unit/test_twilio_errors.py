"""Which of Twilio's errors pass, and which never will."""

from typing import get_args

import pytest

from smsretry.adapters.twilio.errors import ErrorClass, is_retryable_error, twilio_error
from smsretry.data import table

ROWS = table("twilio_errors")


def test_the_table_lists_each_code_once() -> None:
    """A second row for a code would silently win over the first."""
    codes = [row["code"] for row in ROWS]
    assert len(codes) == 243
    assert sorted(set(codes), key=int) == sorted(codes, key=int)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["code"])
def test_every_row_of_the_table_is_complete_and_found_by_its_code(row: dict[str, str]) -> None:
    """It has a name, a class we know, and a source for what it says."""
    error = twilio_error(int(row["code"]))
    assert (error.code, error.name, error.error_class) == (
        int(row["code"]),
        row["short_name"],
        row["classification"],
    )
    assert error.error_class in get_args(ErrorClass)
    assert error.name
    assert row["source"]
    assert row["http_status"] == "" or 300 <= int(row["http_status"]) < 600
    assert row["delivery_time"] in ("yes", "no")
    assert None not in row, "a tab too many"
    assert None not in row.values(), "a tab too few"


KNOWN_CODES: list[tuple[int, ErrorClass]] = [
    (20003, "provider_outage_or_account"),  # wrong credentials
    (20005, "provider_outage_or_account"),  # account not active
    (20429, "rate_limit"),  # too many requests
    (20500, "transient"),  # internal server error
    (20503, "provider_outage_or_account"),  # service unavailable
    (21211, "permanent"),  # invalid 'To' number
    (21610, "opted_out"),  # unsubscribed recipient
    (21611, "rate_limit"),  # sender's queue is full
    (21614, "permanent"),  # not a mobile number
    (30001, "rate_limit"),  # queue overflow
    (30003, "transient"),  # handset unreachable
    (30630, "opted_out"),  # unsubscribed recipient
]


@pytest.mark.parametrize(("code", "error_class"), KNOWN_CODES)
def test_well_known_codes_have_their_class(code: int, error_class: ErrorClass) -> None:
    """The ones an operator meets most."""
    assert twilio_error(code).error_class == error_class


def test_a_listed_code_is_not_overruled_by_the_http_status() -> None:
    """An opt-out that came with a 429 is still an opt-out."""
    assert twilio_error(21610, 429).error_class == "opted_out"


UNLISTED: list[tuple[int | None, ErrorClass]] = [
    # HTTP status of a code that is not in the table, its class
    (400, "permanent"),
    (401, "provider_outage_or_account"),
    (403, "provider_outage_or_account"),
    (404, "permanent"),
    (407, "provider_outage_or_account"),
    (408, "transient"),
    (422, "permanent"),
    (429, "rate_limit"),
    (500, "transient"),
    (503, "transient"),
    (599, "transient"),
    (None, "permanent"),
]


@pytest.mark.parametrize(("http_status", "error_class"), UNLISTED)
@pytest.mark.parametrize("code", [99999, None])
def test_an_unlisted_code_is_judged_by_its_http_status(
    code: int | None, http_status: int | None, error_class: ErrorClass
) -> None:
    """Twilio adds codes without notice; what nobody can place is not tried again."""
    assert twilio_error(code, http_status).error_class == error_class


MAY_GO_OUT_LATER = [
    # Twilio's code, HTTP status, worth another try?
    pytest.param(20429, 429, True, id="too many requests"),
    pytest.param(21611, 429, True, id="the sender's queue is full"),
    pytest.param(20500, 500, True, id="Twilio's own error"),
    pytest.param(20503, 503, True, id="Twilio is down"),
    pytest.param(20003, 401, True, id="wrong credentials: not the text's fault"),
    pytest.param(30002, None, True, id="account suspended: not the text's fault"),
    pytest.param(30003, None, True, id="handset switched off"),
    pytest.param(21211, 400, False, id="not a phone number"),
    pytest.param(21614, 400, False, id="a landline"),
    pytest.param(21610, 400, False, id="the recipient said STOP"),
    pytest.param(99999, 400, False, id="a code nobody knows, refused"),
    pytest.param(99999, 429, True, id="a code nobody knows, too many requests"),
    pytest.param(99999, 502, True, id="a code nobody knows, Twilio's own error"),
    pytest.param(99999, None, False, id="a code nobody knows, and nothing else"),
    pytest.param(None, 503, True, id="no code, Twilio is down"),
    pytest.param(None, None, False, id="nothing known"),
]


@pytest.mark.parametrize(("code", "http_status", "retryable"), MAY_GO_OUT_LATER)
def test_only_what_may_pass_is_tried_again(code: int | None, http_status: int | None, retryable: bool) -> None:
    """Passing troubles, rate limits and the account's troubles are; refusals of this text are not."""
    assert is_retryable_error(code, http_status) is retryable


def test_an_error_reads_as_its_code_and_its_name() -> None:
    """As it is stored in `last_error`."""
    assert str(twilio_error(20429)) == "Twilio 20429: Too Many Requests"
    assert str(twilio_error(99999, 418)) == "Twilio 99999: not in our table of errors (HTTP 418)"
    assert str(twilio_error(None)) == "not in our table of errors (HTTP status unknown)"
