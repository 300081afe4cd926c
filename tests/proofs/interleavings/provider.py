"""A little Twilio, as a value: what it took, and what became of that."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.retry.delivery import NotKept, Report
from smsretry.retry.models import Look, SenderId, Sighting
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected

SENDER = SenderId("AC" + "1" * 32, "+12125550006")
HIDDEN_FOR = timedelta(minutes=15)
"""How long a list may hide a message here. Longer is the honest limit, and a test of its own."""
Fate = Literal["on its way", "delivered", "lost"]
Answer = Literal["accepted", "accepted unheard", "refused for now", "refused for good", "unheard", "unreached"]
"""What becomes of a request. Unheard: its answer is lost, after it was accepted or before it arrived."""
ANSWERS: tuple[Answer, ...] = (
    "accepted", "accepted unheard", "refused for now", "refused for good", "unheard", "unreached"
)  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One that was accepted."""

    sid: str
    attempt_id: UUID
    to: str
    body: str
    at: datetime
    fate: Fate = "on its way"
    known_lost: bool = False
    """Whether it was lost, and that could be known, when the next one was accepted."""


@dataclass(frozen=True)
class Twilio:
    """Everything that it knows of one number."""

    messages: tuple[Message, ...] = ()

    def asked_to_send(
        self, answer: Answer, attempt_id: UUID, to: str, body: str, at: datetime
    ) -> "tuple[Twilio, Outcome]":
        """What it knows after a request, and what the worker hears."""
        sid = "SM" + hashlib.md5(attempt_id.bytes, usedforsecurity=False).hexdigest()
        taken = Twilio((*self.messages, Message(sid, attempt_id, to, body, at)))
        match answer:
            case "accepted":
                return taken, Accepted(sid)
            case "accepted unheard":
                return taken, InDoubt("No answer came")
            case "refused for now":
                return self, Rejected(twilio_refusal(30001, 400))
            case "refused for good":
                return self, Rejected(twilio_refusal(21211, 400))
            case "unheard":
                return self, InDoubt("No answer came")
            case "unreached":
                return self, NotSent("The connection was refused")

    def listed(self, now: datetime, *, hides: bool) -> Look:
        """Its list. `hides`: what is new is not in it yet."""
        shown = [message for message in self.messages if not hides or now - message.at >= HIDDEN_FOR]
        return Look(sightings=tuple(_sighting(message) for message in shown))

    def may_hide(self, now: datetime) -> bool:
        """Whether some message is so new."""
        return any(now - message.at < HIDDEN_FOR for message in self.messages)

    def word_of(self, sid: str) -> Report | NotKept:
        """How far a message has come."""
        found = [message for message in self.messages if message.sid == sid]
        return report(found[0].fate) if found else NotKept()

    def comes_to(self, sid: str, fate: Fate) -> "Twilio":
        """The same, once this has become of a message."""
        return Twilio(tuple(replace(m, fate=fate) if m.sid == sid else m for m in self.messages))


def report(fate: Fate) -> Report:
    """What is said of a message of that fate. 30008 is a passing reason: the carrier did not say why."""
    match fate:
        case "on its way":
            return Report("sent")
        case "delivered":
            return Report("delivered")
        case "lost":
            return Report("undelivered", twilio_refusal(30008, None))


def _sighting(message: Message) -> Sighting:
    created = message.at.replace(microsecond=0)
    return Sighting(sid=message.sid, to=message.to, body=message.body, created_at=created)
