"""What one text came to in one run: a badge, a color, an event, with the last four digits of its number."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

from smsretry.desk.questions.explanation import zone_of
from smsretry.privacy import masked_sender
from smsretry.retry.models import Claim, ItemResult
from smsretry.vocabulary import Fate, WhyCode

Color: TypeAlias = Literal["green", "red", "orange", "violet", "grey"]
"""What to do.

green: nothing, it went out. red: a person is needed. orange: it is not known whether it went out, and evidence is
looked for. violet: it waits and goes on by itself. grey: nothing; this run did nothing with it, or it is not wanted.
"""
_BADGES: Final[dict[Fate, tuple[str, Color]]] = {
    "Sent": ("Sent", "green"),
    "Failed": ("Failed", "red"),
    "Held": ("Held", "red"),
    "InDoubt": ("In doubt", "orange"),
    "Deferred": ("Deferred", "violet"),
    "RetryScheduled": ("Retry", "violet"),
    "GivenBack": ("Given back", "grey"),
    "Lost": ("Lost", "grey"),
    "Cancelled": ("Cancelled", "grey"),
}
_FATES: Final[tuple[Fate, ...]] = get_args(Fate)
EVENTS: Final = {fate: f"sms.text.{re.sub('(?<!^)(?=[A-Z])', '-', fate).lower()}" for fate in _FATES}
"""One event for each fate: of `RetryScheduled`, `sms.text.retry-scheduled`. Automations and links name them."""
ERROR_EVENT: Final = "sms.text.error"
"""The processing of the row itself went wrong."""
_CANCELLED: Final[Mapping[WhyCode | None, str]] = {
    "opted_out": "Opted out",
    "expired": "Expired",
    "already_sent": "Already sent",
}
"""Badges of cancelled texts by reason. Any other reason shows `Cancelled`."""
_TAG_LENGTH: Final = 160


@dataclass(frozen=True, slots=True)
class ProcessedText:
    """A text that a run took, and what it came to."""

    claim: Claim
    result: ItemResult | None
    """None if its processing itself went wrong."""
    error: str = ""
    """What went wrong with its processing."""

    @property
    def needs_person(self) -> bool:
        """Whether it waits for a person, or a person should know."""
        return badge(self)[1] == "red"

    @property
    def why(self) -> str:
        """Why it came to this."""
        return self.result.detail if self.result else self.error


def badge(processed: ProcessedText) -> tuple[str, Color]:
    """What a list shows: why, in a few words, and what to do, in a color."""
    result = processed.result
    if result is None:
        return "Error", "red"
    words, color = _BADGES[result.fate]
    if result.fate == "Failed" and result.code:
        words += f" {result.code}"
    elif result.fate == "Cancelled":
        words = _CANCELLED.get(result.why_code, words)
    elif color == "violet" and result.next_at:
        words += f" {'until' if result.fate == 'Deferred' else 'at'} {_local(processed.claim, result.next_at)}"
    return words, color


def _local(claim: Claim, moment: datetime) -> str:
    """On the recipient's clock: the time alone on the same day, then with the weekday, and after six days the date."""
    zone = zone_of(claim.timezone, claim.business_timezone)
    local, now = moment.astimezone(zone), claim.claimed_at.astimezone(zone)
    days = (local.date() - now.date()).days
    day = "" if days == 0 else f"{local:%a} " if days < 6 else f"{local:%a %d %b} "
    return f"{day}{local:%H:%M} {local.tzname()}"


@dataclass(frozen=True, slots=True)
class TextEvent:
    """One event of one text, with the feeds that it belongs in."""

    name: str
    subject: str
    """Such as `text.<id>`."""
    shown: str
    people: Mapping[str, UUID | None]
    """The customer, business, its own sender and the send log in whose feeds it belongs."""
    payload: dict[str, Any]
    tags: Iterable[str] = ()

    @property
    def resource(self) -> dict[str, str]:
        """What it is about, in Prefect's form."""
        return {"prefect.resource.id": f"sms.{self.subject}", "prefect.resource.name": self.shown}

    @property
    def related(self) -> list[dict[str, str]]:
        """The feeds that it belongs in, and its tags, in Prefect's form."""
        feeds = [(f"sms.{role}.{who}", role) for role, who in self.people.items() if who]
        feeds += [(f"prefect.tag.{words}", "tag") for words in self.tags]
        return [{"prefect.resource.id": feed, "prefect.resource.role": role} for feed, role in feeds]


def event_of(processed: ProcessedText) -> TextEvent:
    """The event of a text: ids and reasons, nothing personal. The feed shows tags, not the payload."""
    claim, result, own = processed.claim, processed.result, processed.claim.sender
    words, _ = badge(processed)
    sender = masked_sender(own.sent_by) if own else None
    people = {"customer": claim.customer_id, "business": claim.business_id, "sender": own.id if own else None}
    attempts = {"attempts_before": claim.attempt_count, "max_attempts": claim.max_attempts}
    shown = {"number": claim.masked, "sender": sender}
    return TextEvent(
        name=EVENTS[result.fate] if result else ERROR_EVENT,
        subject=f"text.{claim.id}",
        shown=f"{words} · {claim.masked}",
        people={**people, "send-log": claim.send_log_id},
        tags=dict.fromkeys(filter(None, (words, processed.why[:_TAG_LENGTH], f"from {sender}" if sender else ""))),
        payload={"outcome": words, "why": processed.why, **_end(result), **attempts, **shown},
    )


def result_of(processed: ProcessedText) -> dict[str, Any]:
    """What a text came to, for programs: ids and reasons as JSON, nothing personal."""
    claim, result = processed.claim, processed.result
    ids = claim.model_dump(mode="json", include={"send_log_id", "customer_id", "business_id"})
    fate = {"fate": result.fate if result else "Error", "detail": processed.why}
    return {"retry_id": str(claim.id), **ids, **fate, **_end(result)}


def _end(result: ItemResult | None) -> dict[str, Any]:
    names = ("why_code", "code", "next_at")
    if result is None:
        return dict.fromkeys(names)
    return {**result.model_dump(include=set(names)), "next_at": result.next_at.isoformat() if result.next_at else None}
