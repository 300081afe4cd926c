"""What became of accepted texts, by the provider's own book against the database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.proofs.faults.carrier import OF_A_STOP, OF_THE_NUMBER
from tests.proofs.town.book import ARRIVED, Message, Row, Story
from tests.proofs.town.report import Finding
from tests.support.records import columns


def judge_deliveries(story: Story, customer: Row) -> Iterator[Finding]:
    """Where the database has another last word than the provider, or a number another mark than its failures give."""
    if not story.messages:
        return
    by_sid = {attempt["twilio_sid"]: attempt for attempt in story.attempts}
    for message in story.messages:
        attempt = by_sid.get(message.sid)
        if attempt is None:
            yield "wrong in the end", "a message is unknown"
        elif (
            pair := columns(attempt, "delivery_status", "delivery_code")
        ) != message.last_word:
            yield "wrong in the end", f"{pair} of a message that is {message.last_word}"
        elif attempt["delivery_ask_at"] is not None:
            yield (
                "wrong in the end",
                f"it is looked after again {attempt['delivery_ask_at']}",
            )
    if not _ends_rightly(story):
        ends = [columns(row, "status", "last_error") for row in story.rows]
        yield (
            "wrong in the end",
            f"{ends}, its log {dict(story.log or {}).get('status')}, {_words(story.messages)}",
        )
    if not _is_marked_rightly(story.messages, customer):
        yield (
            "wrongly marked",
            f"{customer['phone_status']}, {customer['sms_consent_status']}, {_words(story.messages)}",
        )


def has_no_text(send: Mapping[str, Any] | None, story: Story) -> Iterator[Finding]:
    """A scheduled send that neither became a text nor says why not."""
    if send is None:
        yield "without text", "the scheduled send is gone"
    elif send["status"] == "queued":
        if send["send_log_id"] != send["id"] or not story.rows:
            yield "without text", "it is said to be queued"
    elif send["status"] not in ("failed", "cancelled") or not send["why"]:
        yield "without text", f"{send['status']} without a reason"


def _words(messages: Sequence[Message]) -> list[tuple[str, int | None]]:
    return [message.last_word for message in messages]


def _ends_rightly(story: Story) -> bool:
    assert story.log is not None
    ends, log = {row["status"] for row in story.rows}, story.log
    statuses = {status for status, _ in _words(story.messages)}
    if statuses & ARRIVED:
        # Cancelled: it was to be sent again, and its customer opted out or its message was delivered after all.
        return log["status"] == "delivered" and ends <= {"completed", "cancelled"}
    if "unknown" in statuses:
        return log["status"] == "sent" and ends == {"completed"}
    # Given up; else it was to be sent again, and could not be.
    given_up = (
        bool(story.attempts)
        and story.attempts[-1]["outcome"] == "accepted"
        and ends == {"failed"}
    )
    reasons = all(row["last_error"] for row in story.rows) and bool(
        log["error_message"]
    )
    return (
        reasons
        and ends <= {"failed", "cancelled"}
        and log["status"] == ("undelivered" if given_up else "failed")
    )


def _is_marked_rightly(messages: Sequence[Message], customer: Row) -> bool:
    """One that got the text after all needs no mark."""
    codes = {code for _, code in _words(messages)}
    status = next(
        (OF_THE_NUMBER[code] for code in codes if code in OF_THE_NUMBER), None
    )
    stopped = any(code in OF_A_STOP for code in codes)
    by_twilio = str(customer["sms_consent_source"] or "").startswith("twilio_")
    is_unmarked = customer["phone_status"] is None and not by_twilio
    opted_out = customer["sms_consent_status"] == "opted_out"
    is_marked = customer["phone_status"] == status and (
        opted_out if stopped else not by_twilio
    )
    return is_marked or (
        is_unmarked and any(message.arrived_at for message in messages)
    )
