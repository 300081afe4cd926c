"""What one text came to in one run: a badge, a color, an event, with the last four digits of its number."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from smsretry.desk.questions.explanation import zone_of
from smsretry.instants import on_clock
from smsretry.privacy import masked_sender
from smsretry.retry.models import Claim, ItemResult
from smsretry.vocabulary import Fate

Color: TypeAlias = Literal["red", "orange", "green", "violet", "grey"]
"""What to do about a text. Several texts have the first of these colors that one of them has.

red: a person is needed. orange: it is not known whether it went out, and evidence is looked for. green: nothing, it
went out. violet: nothing, it waits and goes on by itself. grey: nothing, this run did nothing with it, or it is not
wanted.
"""
_BADGES: Final[dict[Fate, tuple[str, Color]]] = {
    "Sent": ("Sent", "green"),
    "Failed": ("Failed", "red"),
    "Held": ("Held", "red"),
    "InDoubt": ("In doubt", "orange"),
    "Deferred": ("Deferred", "violet"),
    "RetryScheduled": ("Retry", "violet"),
    "GivenBack": ("Given back", "grey"),
    "ClaimLost": ("Claim lost", "grey"),
    "Cancelled": ("Cancelled", "grey"),
    "Error": ("Error", "red"),
}
_TAG_LENGTH: Final = 160
"""Characters of a reason beside an event in a feed."""

OfQueue: TypeAlias = Literal[
    "backlog",
    "dead-letters",
    "held",
    "sender-blamed",
    "sender-stopped",
    "sending-stopped",
    "words-unread",
]
"""What a run announces of the whole queue. Automations wait for some of it."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is announced: ids and reasons, nothing personal. Automations and links name it."""

    subject: str
    """What it is about: `queue`, or one text as `text.<id>`. Each has a feed."""
    kind: str
    """What happened: a fate, or a word of `OfQueue`."""
    payload: Mapping[str, Any]
    feed_text: str = ""
    """Words for the feed, beside the tags; it does not show the payload."""
    people: Mapping[str, UUID | None] = field(default_factory=dict)
    """Whose feeds it belongs in as well, by their roles."""
    tags: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Such as `sms.text.retry-scheduled`."""
        return f"sms.{self.subject.partition('.')[0]}.{self.kind}"


@dataclass(frozen=True, slots=True)
class ProcessedText:
    """A text that a run took, and what it came to."""

    claim: Claim
    result: ItemResult

    @property
    def color(self) -> Color:
        """What to do about it. red: it waits for a person, or a person should know."""
        return _BADGES[self.result.fate][1]

    @property
    def badge(self) -> str:
        """What a list shows: why, in a few words."""
        claim, result = self.claim, self.result
        words, color = _BADGES[result.fate]
        if result.fate == "Failed" and result.code:
            words += f" {result.code}"
        elif result.fate == "Cancelled" and result.why_code:
            words = result.why_code.capitalize().replace("_", " ")
        elif color == "violet" and result.due_at:
            zone = zone_of(claim.timezone, claim.business_timezone)
            preposition = "until" if result.fate == "Deferred" else "at"
            words += f" {preposition} {on_clock(result.due_at, zone)}"
        return words

    @property
    def to_dict(self) -> dict[str, Any]:
        """What it came to, for programs: ids and reasons as JSON, nothing personal."""
        ids = self.claim.model_dump(
            mode="json", include={"send_log_id", "customer_id", "business_id"}
        )
        return {**self.result.model_dump(mode="json"), **ids}

    @property
    def event(self) -> Event:
        """Its event: of `RetryScheduled`, `sms.text.retry-scheduled`."""
        claim, assigned, result = self.claim, self.claim.sender, self.result
        sender = masked_sender(assigned.sent_by) if assigned.sent_by else None
        from_sender = f"from {sender}" if sender else ""
        return Event(
            subject=f"text.{claim.id}",
            kind=re.sub("(?<!^)(?=[A-Z])", "-", result.fate).lower(),
            payload={
                **self.to_dict,
                "outcome": self.badge,
                "number": claim.masked,
                "sender": sender,
            },
            feed_text=f"{self.badge} · {claim.masked}",
            people={
                "customer": claim.customer_id,
                "business": claim.business_id,
                "sender": assigned.id,
                "send-log": claim.send_log_id,
            },
            tags=(self.badge, result.why[:_TAG_LENGTH], from_sender),
        )
