"""What became of accepted texts, by Twilio's own book against the database: who was texted again, and rightly so?

It shares no rule with the production code: which codes pass stands in `journeys`, and what the last word on a message
is, is decided here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tests.proofs.faults.carrier import Told
from tests.proofs.faults.journeys import FAILURES, OF_A_STOP, OF_THE_NUMBER, PASSING, RETRIES

ARRIVED: Final = ("delivered", "read")
UNDER_WAY: Final = timedelta(seconds=15)
"""What Twilio learns then may find a request under way, for as long as the pipeline lets one begin."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a text, as Twilio has it."""

    sid: str
    accepted_at: datetime
    told: tuple[Told, ...] = ()

    def failure_before(self, moment: datetime) -> Told | None:
        """What Twilio had called it lost with, by then."""
        return next((told for told in self.told if told.status in FAILURES and told.at <= moment), None)

    @property
    def arrived_at(self) -> datetime | None:
        """When Twilio learned that it is on the phone."""
        return next((told.at for told in self.told if told.status in ARRIVED), None)

    @property
    def last_word(self) -> tuple[str, int | None]:
        """Arrived; else lost, and why; else nobody knows."""
        words = [told for told in self.told if told.status in ARRIVED] or [
            told for told in self.told if told.status in FAILURES
        ]
        return (words[-1].status, words[-1].code) if words else ("unknown", None)


def judge_messages(messages: Sequence[Message]) -> Counter[str]:
    """What is wrong with there being these messages of one text, in the order of their acceptance."""
    wrong = Counter[str]()
    for n, message in enumerate(messages[1:], start=1):
        earlier = messages[:n]
        failures = list(filter(None, (one.failure_before(message.accepted_at) for one in earlier)))
        wrong["doubled"] += not failures
        wrong["retried_twice"] += 0 < len(failures) < n
        wrong["arrived_twice"] += any(
            one.arrived_at is not None and one.arrived_at + UNDER_WAY < message.accepted_at for one in earlier
        )
        wrong["retried_for_good"] += any(failure.code not in PASSING for failure in failures)
        wrong["retried_too_often"] += n > RETRIES
    return wrong


def came_twice(messages: Sequence[Message]) -> bool:
    """Whether a phone got two: one was called lost, and delivered after all."""
    return sum(message.arrived_at is not None for message in messages) > 1


def judge_ends(
    messages: Sequence[Message], attempts: Sequence[Row], rows: Sequence[Row], log: Row, *, what: str
) -> str | None:
    """Where the database has another last word than Twilio, on a message or on the text; None: it has the same.

    Args:
        attempts: the text's, in the order in which they were begun.
        what: the text's name.
    """
    by_sid = {attempt["twilio_sid"]: attempt for attempt in attempts}
    for message in messages:
        attempt = by_sid.get(message.sid)
        if attempt is None:
            return f"{what}: a message is unknown"
        kept = (attempt["delivery_status"], attempt["delivery_code"])
        if kept != message.last_word or attempt["delivery_look_at"] is not None:
            return f"{what}: {kept} of a message that is {message.last_word}, next look {attempt['delivery_look_at']}"
    last_accepted = bool(attempts) and attempts[-1]["outcome"] == "accepted"
    if _ends_as(
        {status for status, _ in (message.last_word for message in messages)}, rows, log, last_accepted=last_accepted
    ):
        return None
    told = [(row["status"], row["last_error"]) for row in rows]
    return f"{what}: {told} and {log['status']} ({log['error_message']}), messages {[m.last_word for m in messages]}"


def _ends_as(statuses: AbstractSet[str], rows: Sequence[Row], log: Row, *, last_accepted: bool) -> bool:
    ends = {row["status"] for row in rows}
    if statuses & {*ARRIVED}:
        # Cancelled: it was to be sent again, and its customer opted out or its message was delivered after all.
        return log["status"] == "delivered" and ends <= {"completed", "cancelled"}
    if "unknown" in statuses:
        return log["status"] == "sent" and ends == {"completed"}
    given_up = last_accepted and ends == {"failed"}  # else it was to be sent again, and could not be
    reasons = all(row["last_error"] for row in rows) and bool(log["error_message"])
    return reasons and ends <= {"failed", "cancelled"} and log["status"] == ("undelivered" if given_up else "failed")


def judge_marks(messages: Sequence[Message], customer: Row, *, what: str) -> str | None:
    """Where a number has another mark than its failures give it. One that got the text after all needs none."""
    codes = {code for _, code in (message.last_word for message in messages)}
    status = next((OF_THE_NUMBER[code] for code in codes if code in OF_THE_NUMBER), None)
    stopped = any(code in OF_A_STOP for code in codes)
    consent, source = customer["sms_consent_status"], str(customer["sms_consent_source"] or "")
    unmarked = customer["phone_status"] is None and not source.startswith("twilio_")
    marked = customer["phone_status"] == status and (consent == "opted_out" if stopped else source[:7] != "twilio_")
    if marked or (unmarked and any(message.arrived_at for message in messages)):
        return None
    return f"{what}: {customer['phone_status']}, {consent} by {source or 'nobody'}, though {codes}"


def has_no_text(send: Row | None, rows: Sequence[Row]) -> bool:
    """Whether a scheduled send neither became a text nor says why not."""
    if send is None:
        return True
    if send["status"] == "queued":
        return send["send_log_id"] != send["id"] or not rows
    return send["status"] not in ("failed", "cancelled") or not send["why"]
