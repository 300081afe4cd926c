"""What one text came to in one run: a badge, a color, an event, with the last four digits of its number."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
EVENTS: Final = {fate: f"sms.text.{re.sub('(?<!^)(?=[A-Z])', '-', fate).lower()}" for fate in get_args(Fate)}
"""One event for each fate: of `RetryScheduled`, `sms.text.retry-scheduled`. Automations and links name them."""
ERROR_EVENT: Final = "sms.text.error"
"""The processing of the row itself went wrong."""
QUEUE: Final = {"prefect.resource.id": "sms.queue"}
"""What an event is about that is about no single text."""
_CANCELLED: Final[Mapping[WhyCode | None, str]] = {
    "opted_out": "Opted out",
    "expired": "Expired",
    "already_sent": "Already sent",
}
"""Badges of cancelled texts by reason. Any other reason shows `Cancelled`."""
_END: Final = ("why_code", "code", "next_at")
_TAG_LENGTH: Final = 160


@dataclass(frozen=True, slots=True)
class Event:
    """What is announced, in Prefect's form: ids and reasons, nothing personal."""

    name: str
    payload: Mapping[str, Any]
    resource: Mapping[str, str] = field(default_factory=lambda: QUEUE)
    related: Sequence[Mapping[str, str]] = ()
    """The feeds that it belongs in, and its tags: the feed shows these, and not the payload."""

    @classmethod
    def about(
        cls,
        subject: str,
        shown: str,
        *,
        name: str,
        people: Mapping[str, UUID | None],
        payload: Mapping[str, Any],
        tags: Iterable[str] = (),
    ) -> "Event":
        """One about a single text, such as `text.<id>`; `people`: whose feeds it belongs in, by their roles."""
        feeds = [(f"sms.{role}.{who}", role) for role, who in people.items() if who]
        feeds += [(f"prefect.tag.{words}", "tag") for words in dict.fromkeys(filter(None, tags))]
        resource = {"prefect.resource.id": f"sms.{subject}", "prefect.resource.name": shown}
        related = [{"prefect.resource.id": feed, "prefect.resource.role": role} for feed, role in feeds]
        return cls(name, payload, resource, related)


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

    @property
    def end(self) -> dict[str, Any]:
        """Why, the provider's code, and when it is due again, for programs."""
        if self.result is None:
            return dict.fromkeys(_END)
        return self.result.model_dump(mode="json", include=set(_END))


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


def event_of(processed: ProcessedText) -> Event:
    """The event of a text."""
    claim, result, own = processed.claim, processed.result, processed.claim.sender
    words, _ = badge(processed)
    sender = masked_sender(own.sent_by) if own else None
    people = {"customer": claim.customer_id, "business": claim.business_id, "sender": own.id if own else None}
    attempts = {"attempts_before": claim.attempt_count, "max_attempts": claim.max_attempts}
    return Event.about(
        f"text.{claim.id}",
        f"{words} · {claim.masked}",
        name=EVENTS[result.fate] if result else ERROR_EVENT,
        people={**people, "send-log": claim.send_log_id},
        payload={"outcome": words, "why": processed.why, **processed.end, **attempts}
        | {"number": claim.masked, "sender": sender},
        tags=(words, processed.why[:_TAG_LENGTH], f"from {sender}" if sender else ""),
    )


def result_of(processed: ProcessedText) -> dict[str, Any]:
    """What a text came to, for programs: ids and reasons as JSON, nothing personal."""
    ids = processed.claim.model_dump(mode="json", include={"send_log_id", "customer_id", "business_id"})
    fate = {"fate": processed.result.fate if processed.result else "Error", "detail": processed.why}
    return {"retry_id": str(processed.claim.id), **ids, **fate, **processed.end}
