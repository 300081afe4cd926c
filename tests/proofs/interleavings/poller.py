"""A look after one delivery, between two calls, as a value: its message, and what it was answered so far.

As with a worker, the real code runs from the start each time, so that it can sleep before each of its calls.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import follow
from smsretry.sending.ports import Services
from tests.proofs.interleavings.worker import Answers, Asks, Call, Ports, Queue, Sender, told


@dataclass(frozen=True)
class Poller:
    """One that looks after a message."""

    message: OpenDelivery
    answers: Answers = ()

    def next(self, now: datetime) -> Call | None:
        """The call that it makes next, if it goes on now; None: it is done."""
        ports = Ports(self.answers, now)
        services = Services(Queue(ports), Sender(ports), DEFAULT)
        try:
            follow(self.message, services)
        except Asks as asked:
            return asked.call
        return None

    def told(self, answer: Any, now: datetime) -> "Poller":
        """The same, once it has this answer."""
        return replace(self, answers=(*self.answers, (answer, now)))

    def __str__(self) -> str:
        return f"{self.message.model_dump_json()} {told(self.answers)}"
