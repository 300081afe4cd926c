"""A little Twilio, as a value: what it took, and what became of that."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.retry.delivery import DeliveryReport
from smsretry.retry.models import Look, SenderId, Sighting, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from tests.proofs.town import book as judged
from tests.proofs.town.book import ReportedStatus

SENDER = SenderId("AC" + "1" * 32, "+12125550006")
HIDDEN_FOR = timedelta(minutes=15)
"""How long a list may hide a message here. Longer is the honest limit, and a test of its own."""
Fate = Literal["on its way", "delivered", "lost"]
Answer = Literal[
    "accepted",
    "accepted unheard",
    "refused for now",
    "refused for good",
    "unheard",
    "unreached",
]
"""What becomes of a request. Unheard: its answer is lost, after it was accepted or before it arrived."""
ANSWERS: tuple[Answer, ...] = (
    "accepted", "accepted unheard", "refused for now", "refused for good", "unheard", "unreached"
)  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One that was accepted."""

    sid: str
    log: UUID
    """Whose text it is."""
    attempt_id: UUID | None
    """None: the application's own processor sent it."""
    to: str
    body: str
    at: datetime
    fate: Fate = "on its way"
    late: datetime | None = None
    """When it was delivered, after it had been called lost."""
    is_recorded: bool = False
    """Whether we were told that it was delivered."""

    def __str__(self) -> str:
        times = [at.isoformat() for at in (self.at, self.late) if at]
        kept = f"{self.to} {self.body!r} {self.fate} {self.is_recorded}"
        return f"{self.sid} {self.log} {self.attempt_id} {times} {kept}"

    @property
    def past(self) -> tuple[Fate, ...]:
        """All that Twilio has said of it so far, and may say again, late and in any order."""
        return (
            "on its way",
            *(("lost",) if self.late else ()),
            *((self.fate,) if self.fate != "on its way" else ()),
        )

    def judged(self) -> judged.Message:
        """As the judge of the town has it. About what the application's own processor sent, nobody can ask later."""
        words = (
            [ReportedStatus(self.at, "undelivered", 30008)]
            if self.fate == "lost" or self.late
            else []
        )
        if self.fate == "delivered" and not (self.late and self.attempt_id is None):
            words.append(ReportedStatus(self.late or self.at, "delivered"))
        return judged.Message(
            sid=self.sid, at=self.at, to=self.to, reports=tuple(words)
        )


@dataclass(frozen=True)
class Twilio:
    """Everything that it knows of one number."""

    messages: tuple[Message, ...] = ()

    def takes(
        self, log: UUID, attempt_id: UUID | None, to: str, body: str, at: datetime
    ) -> "Twilio":
        """The same, once it has accepted a message."""
        name = (attempt_id or log).bytes + bytes(
            [len(self.messages)] if attempt_id is None else []
        )
        sid = "SM" + hashlib.md5(name, usedforsecurity=False).hexdigest()
        return Twilio((*self.messages, Message(sid, log, attempt_id, to, body, at)))

    def asked_to_send(
        self, answer: Answer, log: UUID, text: Text, at: datetime
    ) -> "tuple[Twilio, Outcome]":
        """What it knows after a request, and what the worker hears."""
        twilio = self.takes(log, text.attempt_id, text.to, text.body, at)
        sid = twilio.messages[-1].sid
        match answer:
            case "accepted":
                return twilio, Accepted(sid)
            case "accepted unheard":
                return twilio, InDoubt("No answer came")
            case "refused for now":
                return self, Rejected(twilio_refusal(30001, 400))
            case "refused for good":
                return self, Rejected(twilio_refusal(21211, 400))
            case "unheard":
                return self, InDoubt("No answer came")
            case "unreached":
                return self, NotSent("The connection was refused")

    def listed(self, phone: str, now: datetime, *, hides: bool) -> Look:
        """Its list of a number. `hides`: what is new is not in it yet."""
        to_it = [message for message in self.messages if message.to == phone]
        visible = [
            message for message in to_it if not hides or now - message.at >= HIDDEN_FOR
        ]
        return Look(sightings=tuple(_sighting(message) for message in visible))

    def may_hide(self, now: datetime) -> bool:
        """Whether some message is so new."""
        return any(now - message.at < HIDDEN_FOR for message in self.messages)

    def word_of(self, sid: str) -> DeliveryReport:
        """How far a message has come."""
        matches = [message for message in self.messages if message.sid == sid]
        return report(matches[0].fate) if matches else DeliveryReport("not kept")

    def changes(self, sid: str, **changes: Any) -> "Twilio":
        """The same, but for what is new of a message."""
        return Twilio(
            tuple(replace(m, **changes) if m.sid == sid else m for m in self.messages)
        )


def report(fate: Fate) -> DeliveryReport:
    """What is said of a message of that fate. 30008 is a passing reason: the carrier did not say why."""
    match fate:
        case "on its way":
            return DeliveryReport("sent")
        case "delivered":
            return DeliveryReport("delivered")
        case "lost":
            return DeliveryReport("undelivered", twilio_refusal(30008, None))


def _sighting(message: Message) -> Sighting:
    created = message.at.replace(microsecond=0)
    return Sighting(
        sid=message.sid, to=message.to, body=message.body, created_at=created
    )
