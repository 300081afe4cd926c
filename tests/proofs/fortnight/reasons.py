"""Is the reason a text waits, was given up or cancelled for, the one that `check_quiet_hours` gives?"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from smsretry import QuietHoursCheck, check_quiet_hours
from smsretry.quiet_hours.hours import parse_week
from tests.proofs.fortnight.people import Owed, Town
from tests.proofs.fortnight.simulation import Record, Wait
from tests.proofs.town.book import Row, Story

_GUARD: Final = timedelta(seconds=70)
"""Before a closing nothing is sent any more."""
_A_PASS: Final = timedelta(seconds=30)
"""At most between the instant at which a row was judged and the one at which that was written."""
OPTED_OUT: Final = (
    "Customer opted out",
    "Customer opted out (the number did, at this business; a later opt-in lifts it)",
)
"""By this customer's row, or by another row of the same number at the business."""
EXPIRED: Final = "Expired before it could be sent"
"""What follows says since when it was due, and what it waited for."""


def unexplained(town: Town, stories: Mapping[UUID, Story], record: Record) -> Iterator[str]:
    """A line for each reason that is missing or another one."""
    by_id = {text.retry_id: text for text in town.texts}
    for wait in record.waits:
        text = by_id[wait.retry_id]
        if not _explains(wait, text):
            yield f"{text.name}: at {wait.at} until {wait.until}: {wait.why!r}, but {_check(text, wait.at)}"
    for text in town.texts:
        [row] = stories[text.retry_id].rows
        check = _check(text, row["updated_at"])
        if row["held_since"] and not row["in_doubt_since"] and row["why"] != check.held:
            yield f"{text.name}: held for {row['why']!r}, but {check}"
        if row["status"] in ("failed", "cancelled") and not _ended_rightly(text, stories[text.retry_id], row):
            yield f"{text.name}: {row['status']} {row['last_error']!r}, but {check}"


def _check(text: Owed, at: datetime) -> QuietHoursCheck:
    business = text.customer.business
    return check_quiet_hours(
        text.zone,
        at=at,
        phone=text.phone,
        fallback=business.zone,
        rules="us_states",
        message_class="transactional" if text.transactional else "marketing",
        own_window=parse_week(business.sms_hours) if business.sms_hours else None,
    )


def _explains(wait: Wait, text: Owed) -> bool:
    """The rule, if it was closed or as good as closed; or else the cap of a state that has one."""
    check = _check(text, wait.at)
    if wait.why == f"Quiet hours: {check.rule}":
        return _closed(text, wait.at)
    return check.window.cap is not None and wait.why == check.window.cap.cap_text


def _closed(text: Owed, at: datetime) -> bool:
    closes_at = _check(text, at - _A_PASS).closes_at
    return closes_at is None or closes_at <= at + _GUARD


def _ended_rightly(text: Owed, story: Story, row: Row) -> bool:
    """What the check says of the recipient; or an opt-out, Twilio's own reason, or the end of the text's life."""
    at, why = row["updated_at"], row["last_error"] or ""
    check = _check(text, at)
    if text.phone is None:
        return bool(why == "Customer has no phone number")
    if why in OPTED_OUT:
        return text.stopped_at is not None and text.stopped_at <= at + _A_PASS
    if check.refused:
        return why == check.refused
    if check.held:  # somebody could have mended it until it expired
        expired = _has_expired(text, at)
        return expired and why.startswith(EXPIRED) and why.endswith(f". {check.held}")
    if row["error_code"] is not None:
        return f"Twilio {row['error_code']}: " in why and row["error_code"] == story.attempts[-1]["error_code"]
    if why.startswith(EXPIRED):
        return _has_expired(text, at)
    if check.window.cap is not None and check.window.cap.cap_text in why:
        return True
    return bool(why == f"Expires before it may go out. Quiet hours: {check.rule}") and _closed(text, at)


def _has_expired(text: Owed, at: datetime) -> bool:
    return text.expires_at is not None and text.expires_at <= at + _GUARD
