"""Which of Twilio's errors pass, and which never will."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from smsretry.adapters.twilio.errors import code_meaning, is_retryable_error, refusals, twilio_refusal
from smsretry.data import table
from smsretry.errors import InputError
from smsretry.retry.after import after_send
from smsretry.retry.decision import Fail, Hold, Retry
from smsretry.retry.outcome import Refusal, RefusalKind, RefusalLevel, Rejected
from tests.support.builders import claim_with

ROWS = table("twilio_errors")


def test_the_table_lists_each_code_once() -> None:
    """A second row for a code would silently win over the first."""
    codes = [row["code"] for row in ROWS]
    assert len(codes) == 243
    assert sorted(set(codes), key=int) == sorted(codes, key=int)


def test_every_row_of_the_table_is_complete_and_found_by_its_code() -> None:
    """It has a name, a class we know, and a source for what it says."""
    for row in ROWS:
        refusal = twilio_refusal(int(row["code"]))
        assert (refusal.code, refusal.text, refusal.kind) == (
            int(row["code"]),
            f"Twilio {row['code']}: {row['short_name']}",
            row["classification"],
        )
        assert (refusal.level, refusal.phone_status) == (row["level"], row["phone_status"] or None)
        assert refusal.kind in get_args(RefusalKind)
        assert refusal.level in get_args(RefusalLevel)
        assert refusal.phone_status in (None, "invalid", "not_mobile")
        assert row["short_name"]
        assert row["source"]
        assert row["http_status"] == "" or 300 <= int(row["http_status"]) < 600
        assert row["delivery_time"] in ("yes", "no")
        assert None not in row, "a tab too many"
        assert None not in row.values(), "a tab too few"


KNOWN_CODES: list[tuple[int, RefusalKind]] = [
    (20003, "account"),  # wrong credentials
    (20005, "account"),  # account not active
    (20006, "account"),  # access denied
    (20429, "rate_limit"),  # too many requests
    (20500, "transient"),  # internal server error
    (20503, "account"),  # service unavailable
    (21211, "permanent"),  # invalid 'To' number
    (21610, "opted_out"),  # unsubscribed recipient
    (21611, "rate_limit"),  # sender's queue is full
    (21614, "permanent"),  # not a mobile number
    (21703, "account"),  # no number of the service fits
    (21704, "account"),  # a service without numbers
    (21705, "account"),  # no service
    (30001, "rate_limit"),  # queue overflow
    (30002, "account"),  # account suspended, after a text was accepted
    (30003, "transient"),  # handset unreachable
    (30022, "rate_limit"),  # a campaign's rate
    (30023, "day_spent"),  # a brand's day at a carrier
    (30027, "day_spent"),  # likewise
    (30032, "account"),  # toll-free number not verified
    (30034, "account"),  # number not registered
    (30035, "account"),  # number still being registered
    (30630, "opted_out"),  # unsubscribed recipient
]


@pytest.mark.parametrize(("code", "kind"), KNOWN_CODES)
def test_well_known_codes_have_their_class(code: int, kind: RefusalKind) -> None:
    """The ones an operator meets most."""
    assert twilio_refusal(code).kind == kind


def test_a_listed_code_is_not_overruled_by_the_http_status() -> None:
    """An opt-out that came with a 429 is still an opt-out."""
    assert twilio_refusal(21610, 429).kind == "opted_out"


UNLISTED: list[tuple[int | None, RefusalKind]] = [
    # HTTP status of a code that is not in the table, its class
    (400, "account"),
    (401, "account"),
    (403, "account"),
    (404, "account"),
    (407, "account"),
    (408, "transient"),
    (422, "account"),
    (429, "rate_limit"),
    (500, "transient"),
    (503, "transient"),
    (599, "transient"),
    (None, "permanent"),
]


@pytest.mark.parametrize(("http_status", "kind"), UNLISTED)
@pytest.mark.parametrize("code", [99999, None])
def test_an_unlisted_code_is_judged_by_its_http_status(
    code: int | None, http_status: int | None, kind: RefusalKind
) -> None:
    """Twilio adds codes without notice. What nobody can place waits until somebody has looked, and ends no text."""
    assert twilio_refusal(code, http_status).kind == kind


MAY_GO_OUT_LATER = [
    # Twilio's code, HTTP status, worth another try?
    pytest.param(20429, 429, True, id="too many requests"),
    pytest.param(21611, 429, True, id="the sender's queue is full"),
    pytest.param(20500, 500, True, id="Twilio's own error"),
    pytest.param(20503, 503, True, id="Twilio is down"),
    pytest.param(20003, 401, True, id="wrong credentials: not the text's fault"),
    pytest.param(30002, None, True, id="account suspended: not the text's fault"),
    pytest.param(30003, None, True, id="handset switched off"),
    pytest.param(30027, None, True, id="the day's cap at a carrier"),
    pytest.param(21703, 400, True, id="a service without a number that fits: not the text's fault"),
    pytest.param(21211, 400, False, id="not a phone number"),
    pytest.param(21614, 400, False, id="a landline"),
    pytest.param(21610, 400, False, id="the recipient said STOP"),
    pytest.param(99999, 400, True, id="a code nobody knows, refused: somebody looks"),
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
    assert str(twilio_refusal(20429)) == "Twilio 20429: Too Many Requests"
    assert str(twilio_refusal(99999, 418)) == "Twilio 99999: not in our table of errors (HTTP 418)"
    assert str(twilio_refusal(None)) == "not in our table of errors (HTTP status unknown)"


def test_what_a_person_can_mend_at_twilio_holds_a_text() -> None:
    """Credentials, the account, the sender, its registration; and a tick in the console, by which 21408 is mended."""
    for code in (20003, 20005, 21408, 21608, 21657, 21703, 21704, 21705, 30032, 30034, 30035):
        decision = after_send(claim_with(), Rejected(twilio_refusal(code)))
        assert isinstance(decision, Hold)
        assert decision.why.startswith(f"Twilio {code}: ")
        assert decision.why.endswith(code_meaning(code).to_do)


def test_a_carriers_day_is_waited_for_and_costs_no_attempt() -> None:
    """Nobody can mend it."""
    for code in (30023, 30027):
        decision = after_send(claim_with(account_refusal_count=9), Rejected(twilio_refusal(code)))
        assert isinstance(decision, Retry)
        assert (decision.counted, decision.delay) == (False, timedelta(hours=1))


def test_a_person_is_told_what_to_do_about_a_sender() -> None:
    """In more than a word for the level."""
    assert code_meaning(30034).to_do.startswith("Register the number")
    assert code_meaning(21704).to_do == "Add a number to the messaging service"
    assert code_meaning(30003).to_do == "Check the number with the customer, and correct it"


# The table decides


def answer(code: int, **changes: str) -> Refusal:
    """What the loader makes of the table once the code's row is changed."""
    rows = [row | changes if row["code"] == str(code) else row for row in ROWS]
    return refusals(rows)[code]


def test_a_row_whose_class_is_changed_changes_what_becomes_of_the_text() -> None:
    """No other table, and no line of code, has to be changed with it."""
    today = Rejected(answer(21211))
    assert isinstance(after_send(claim_with(), today), Fail)
    tomorrow = Rejected(answer(21211, classification="transient"))
    assert tomorrow.refusal.retryable
    assert isinstance(after_send(claim_with(), tomorrow), Retry)
    stopped = after_send(claim_with(), Rejected(answer(21211, classification="opted_out")))
    assert isinstance(stopped, Fail)
    assert stopped.opted_out


@pytest.mark.parametrize(("written", "kept"), [("invalid", "invalid"), ("not_mobile", "not_mobile"), ("", None)])
def test_a_row_whose_phone_status_is_changed_changes_what_is_kept_of_the_number(written: str, kept: str | None) -> None:
    """Whatever it was before."""
    for code in (21211, 21614, 21612):
        decision = after_send(claim_with(), Rejected(answer(code, phone_status=written)))
        assert isinstance(decision, Fail)
        assert decision.phone_status == kept


def test_a_row_whose_name_or_level_is_changed_changes_what_people_are_told_and_whom_it_concerns() -> None:
    """The level decides whether a rate limit stops the others."""
    changed = answer(20429, short_name="Slow down", level="recipient")
    assert (str(changed), changed.level) == ("Twilio 20429: Slow down", "recipient")
    assert (str(answer(20429)), answer(20429).level == "recipient") == ("Twilio 20429: Too Many Requests", False)


def test_a_code_is_unknown_once_its_row_is_gone_and_known_once_it_has_one() -> None:
    """And the rows of the others say what they said."""
    gone = refusals(row for row in ROWS if row["code"] != "21610")
    assert 21610 not in gone
    assert all(gone[int(row["code"])] == twilio_refusal(int(row["code"])) for row in ROWS if row["code"] != "21610")
    assert refusals([*ROWS, ROWS[0] | {"code": "99999", "classification": "opted_out"}])[99999].kind == "opted_out"


def test_only_codes_about_a_recipient_say_something_of_a_number() -> None:
    """What concerns the account, the sender or the text does not. One of them comes with a delivery: a landline."""
    marked = [row for row in ROWS if row["phone_status"]]
    assert len(marked) == 6
    assert {(row["level"], row["classification"]) for row in marked} == {("recipient", "permanent")}
    assert [row["code"] for row in marked if row["http_status"] != "400"] == ["30006"]


def test_a_text_that_may_have_arrived_is_not_sent_again() -> None:
    """30410: Twilio itself does not try again, to avoid a duplicate."""
    assert not is_retryable_error(30410)


@pytest.mark.parametrize("code", ["30008", " 30008 ", 30008])
def test_a_code_may_be_the_digits_that_twilio_posts(code: str | int) -> None:
    """`ErrorCode` of a status callback is text: it had been taken for a code that nobody knows, and so for no retry."""
    assert is_retryable_error(code)
    assert is_retryable_error("99999", "503")
    assert not is_retryable_error("21610")


@pytest.mark.parametrize(
    "code", ["", "E30008", "30008.0", "-1", "٣٠٠٠٨", "9" * 5000, 30008.5, True, b"30008", ["30008"]]
)
def test_what_is_no_code_is_refused_and_not_taken_for_one_that_ends_a_text(code: Any) -> None:
    """The message says what to give instead, and not what was given: it may be anything."""
    with pytest.raises(InputError, match="code must be Twilio's number of an error, such as 30008, or None"):
        is_retryable_error(code)
    with pytest.raises(InputError, match="http_status must be a number such as 503, or None"):
        is_retryable_error(None, code)
