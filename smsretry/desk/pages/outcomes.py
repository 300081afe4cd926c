"""What one text came to in one run: a badge, a color, an event, with the last four digits of its number."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from smsretry.desk.questions.explanation import zone_of
from smsretry.instants import on_clock
from smsretry.privacy import masked_sender
from smsretry.retry.models import Claim, ItemResult
from smsretry.vocabulary import Fate

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
    "Error": ("Error", "red"),
}
QUEUE: Final = {"prefect.resource.id": "sms.queue"}
"""What an event is about that is about no single text."""
_TAG_LENGTH: Final = 160


@dataclass(frozen=True, slots=True)
class Event:
    """What is announced, in Prefect's form: ids and reasons, nothing personal."""

    name: str
    payload: Mapping[str, Any]
    resource: Mapping[str, str] = field(default_factory=lambda: QUEUE)
    related: Sequence[Mapping[str, str]] = ()
    """The feeds that it belongs in, and its tags: the feed shows these, and not the payload."""


def about(
    subject: str,
    shown: str,
    *,
    name: str,
    people: Mapping[str, UUID | None],
    payload: Mapping[str, Any],
    tags: Iterable[str] = (),
) -> Event:
    """An event about a single text, such as `text.<id>`; `people`: whose feeds it belongs in, by their roles."""
    feeds = [(f"sms.{role}.{who}", role) for role, who in people.items() if who]
    feeds += [(f"prefect.tag.{words}", "tag") for words in dict.fromkeys(filter(None, tags))]
    resource = {"prefect.resource.id": f"sms.{subject}", "prefect.resource.name": shown}
    related = [{"prefect.resource.id": feed, "prefect.resource.role": role} for feed, role in feeds]
    return Event(name, payload, resource, related)


@dataclass(frozen=True, slots=True)
class ProcessedText:
    """A text that a run took, and what it came to."""

    claim: Claim
    result: ItemResult

    @property
    def needs_person(self) -> bool:
        """Whether it waits for a person, or a person should know."""
        return badge(self)[1] == "red"

    @property
    def end(self) -> dict[str, Any]:
        """Why, the provider's code, and when it is due again, for programs."""
        return self.result.model_dump(mode="json", include={"why_code", "code", "next_at"})


def badge(processed: ProcessedText) -> tuple[str, Color]:
    """What a list shows: why, in a few words, and what to do, in a color."""
    claim, result, (words, color) = processed.claim, processed.result, _BADGES[processed.result.fate]
    if result.fate == "Failed" and result.code:
        words += f" {result.code}"
    elif result.fate == "Cancelled" and result.why_code:
        words = result.why_code.capitalize().replace("_", " ")
    elif color == "violet" and result.next_at:
        next_at = on_clock(result.next_at, zone_of(claim.timezone, claim.business_timezone))
        words += f" {'until' if result.fate == 'Deferred' else 'at'} {next_at}"
    return words, color


def event_of(processed: ProcessedText) -> Event:
    """The event of a text: of `RetryScheduled`, `sms.text.retry-scheduled`. Automations and links name them."""
    claim, own, result = processed.claim, processed.claim.sender, processed.result
    words, _ = badge(processed)
    sender = masked_sender(own.sent_by) if own.sent_by else None
    people = {"customer": claim.customer_id, "business": claim.business_id, "sender": own.id}
    attempts = {"attempts_before": claim.attempt_count, "max_attempts": claim.max_attempts}
    return about(
        f"text.{claim.id}",
        f"{words} · {claim.masked}",
        name=f"sms.text.{re.sub('(?<!^)(?=[A-Z])', '-', result.fate).lower()}",
        people={**people, "send-log": claim.send_log_id},
        payload={"outcome": words, "why": result.detail, **processed.end, **attempts}
        | {"number": claim.masked, "sender": sender},
        tags=(words, result.detail[:_TAG_LENGTH], f"from {sender}" if sender else ""),
    )


def result_of(processed: ProcessedText) -> dict[str, Any]:
    """What a text came to, for programs: ids and reasons as JSON, nothing personal."""
    ids = processed.claim.model_dump(mode="json", include={"send_log_id", "customer_id", "business_id"})
    came_to = {"fate": processed.result.fate, "detail": processed.result.detail, **processed.end}
    return {"retry_id": str(processed.claim.id), **ids, **came_to}
