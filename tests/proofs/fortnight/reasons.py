"""Is the reason a text waits, was given up or cancelled for, the one that `check_quiet_hours` gives?"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from smsretry import QuietHoursCheck, check_quiet_hours
from smsretry.quiet_hours.hours import parse_week
from tests.proofs.fortnight.simulation import Record, Wait
from tests.proofs.fortnight.stories import Story

_GUARD: Final = timedelta(seconds=70)
"""Before a closing nothing is sent any more."""
_A_PASS: Final = timedelta(seconds=30)
"""At most between the instant at which a row was judged and the one at which that was written."""
OPTED_OUT: Final = (
    "Customer opted out",
    "Customer opted out (the number did, at this business; a later opt-in lifts it)",
)
"""By this customer's row, or by another row of the same number at the business."""


def unexplained(stories: Iterable[Story], record: Record) -> Iterator[str]:
    """A line for each reason that is missing or another one."""
    by_id = {story.text.retry_id: story for story in stories}
    for wait in record.waits:
        story = by_id[wait.retry_id]
        if not _explains(wait, story):
            yield f"{story.name}: at {wait.at} until {wait.until}: {wait.why!r}, but {_check(story, wait.at)}"
    for story in by_id.values():
        if story.row["held_since"] and not story.row["in_doubt_since"]:
            check = _check(story, story.row["updated_at"])
            if story.row["why"] != check.held:
                yield f"{story.name}: held for {story.row['why']!r}, but {check}"
        if story.row["status"] in ("failed", "cancelled") and not _ended_rightly(story):
            check = _check(story, story.row["updated_at"])
            yield f"{story.name}: {story.row['status']} {story.row['last_error']!r}, but {check}"


def _check(story: Story, at: datetime) -> QuietHoursCheck:
    text, business = story.text, story.text.customer.business
    return check_quiet_hours(
        text.customer.zone,
        at=at,
        phone=text.customer.phone,
        fallback=business.zone,
        rules="us_states",
        message_class="transactional" if text.transactional else "marketing",
        own_window=parse_week(business.sms_hours) if business.sms_hours else None,
    )


def _explains(wait: Wait, story: Story) -> bool:
    """The rule, if it was closed or as good as closed; or else the cap of a state that has one."""
    check = _check(story, wait.at)
    if wait.why == f"Quiet hours: {check.rule}":
        return _closed(story, wait.at)
    return check.window.cap is not None and wait.why == check.window.cap.cap_text


def _closed(story: Story, at: datetime) -> bool:
    closes_at = _check(story, at - _A_PASS).closes_at
    return closes_at is None or closes_at <= at + _GUARD


def _ended_rightly(story: Story) -> bool:
    """What the check says of the recipient; or an opt-out, Twilio's own reason, or the end of the text's life."""
    row, at = story.row, story.row["updated_at"]
    why, check = row["last_error"] or "", _check(story, at)
    if story.text.customer.phone is None:
        return bool(why == "Customer has no phone number")
    if why in OPTED_OUT:
        return story.opted_out_at is not None and story.opted_out_at <= at + _A_PASS
    if check.refused:
        return why == check.refused
    if check.held:  # somebody could have mended it until it expired
        expired = bool(story.text.expires_at <= at + _GUARD)
        return expired and why == f"Expired before it could be sent. {check.held}"
    if row["error_code"] is not None:
        return f"Twilio {row['error_code']}: " in why and row["error_code"] == story.attempts[-1]["error_code"]
    if why == "Expired before it could be sent":
        return bool(story.text.expires_at <= at + _GUARD)
    if check.window.cap is not None and check.window.cap.cap_text in why:
        return True
    return bool(why == f"Expires before it may go out. Quiet hours: {check.rule}") and _closed(story, at)
