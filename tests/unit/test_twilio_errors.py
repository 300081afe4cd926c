"""Which of Twilio's errors pass, and which never will."""

from typing import Any, get_args

import pytest

from smsretry.adapters.twilio.errors import is_retryable_error, twilio_refusal
from smsretry.data import table
from smsretry.errors import InputError
from smsretry.retry.outcome import RefusalKind, RefusalLevel

ROWS = table("twilio_errors")


def test_every_row_of_the_table_is_complete_and_found_by_its_code() -> None:
    """It has a name, a class we know, and a source. Only what concerns a recipient marks a number."""
    assert len({row["code"] for row in ROWS}) == len(ROWS) > 240
    for row in ROWS:
        refusal = twilio_refusal(int(row["code"]))
        assert (refusal.code, refusal.kind, refusal.level) == (
            int(row["code"]),
            row["kind"],
            row["level"],
        )
        assert refusal.why == f"Twilio {row['code']}: {row['short_name']}"
        assert refusal.kind in get_args(RefusalKind)
        assert refusal.level in get_args(RefusalLevel)
        assert (refusal.phone_status or "") == row["phone_status"]
        assert row["phone_status"] in ("", "invalid", "not_mobile")
        assert not row["phone_status"] or (refusal.level, refusal.kind) == (
            "recipient",
            "refused",
        )
        assert row["short_name"]
        assert row["source"]
        assert row["http_status"] == "" or 300 <= int(row["http_status"]) < 600
        assert row["delivery_time"] in ("yes", "no")


KNOWN: dict[RefusalKind, set[int]] = {
    "account_refused": {
        20003,
        20005,
        20006,
        20503,
        21408,
        21703,
        21704,
        21705,
        30002,
        30032,
        30034,
        30035,
    },
    "rate_limited": {20429, 21611, 30001, 30022},
    "day_spent": {30023, 30027},
    "quiet_hours": {30610, 30615},
    "refused_for_now": {20500, 30003},
    "refused": {21211, 21614},
    "opted_out": {21610, 30630},
}
UNLISTED: dict[RefusalKind, tuple[int | None, ...]] = {
    "account_refused": (400, 401, 403, 404, 407, 422),
    "refused_for_now": (408, 500, 503, 599),
    "rate_limited": (429,),
    "refused": (None,),
}


def test_a_known_code_has_its_class_and_an_unlisted_one_is_judged_by_its_http_status() -> (
    None
):
    """Twilio adds codes without notice. What nobody can place waits until somebody has looked, and ends no text.

    An HTTP status overrules no known code: an opt-out that came with a 429 is one.
    """
    for kind, codes in KNOWN.items():
        assert {twilio_refusal(code, 429).kind for code in codes} == {kind}
    for kind, statuses in UNLISTED.items():
        assert {
            twilio_refusal(code, status).kind
            for code in (99999, None)
            for status in statuses
        } == {kind}


MAY_GO_OUT_LATER = [
    # Twilio's code, HTTP status, worth another try?
    (20003, 401, True),  # wrong credentials: not the text's fault
    (30410, None, False),  # may have arrived: Twilio itself does not try again
    (99999, 400, True),  # a code nobody knows, refused: somebody looks
    (99999, 502, True),  # a code nobody knows, Twilio's own error
    (None, None, False),  # nothing known
    # As a status callback posts them.
    (" 30008 ", None, True),
    ("99999", "503", True),
    ("21610", None, False),
]


def test_only_what_may_pass_is_tried_again() -> None:
    """Passing troubles, rate limits and the account's troubles are; refusals of this text are not."""
    for code, http_status, retryable in MAY_GO_OUT_LATER:
        assert is_retryable_error(code, http_status) is retryable, (code, http_status)


def test_what_is_no_code_is_refused_and_not_taken_for_one_that_ends_a_text() -> None:
    """The message does not say what was given: it may be anything."""
    nonsense: list[Any] = [
        "",
        "E30008",
        "30008.0",
        "-1",
        "٣٠٠٠٨",
        "9" * 5000,
        30008.5,
        True,
        b"30008",
        ["30008"],
    ]
    for code in nonsense:
        with pytest.raises(InputError, match="code must be"):
            is_retryable_error(code)
        with pytest.raises(InputError, match="http_status must be"):
            is_retryable_error(None, code)
