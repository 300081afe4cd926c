"""Workers and lookers after deliveries between two calls, as values: what they hold, and what they were answered.

The real pipeline runs from the start each time, is given the same answers, and stops at the first call that has none.
So each can stop for ever, or sleep as long as it likes, before each of its calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias
from unittest.mock import patch
from uuid import uuid5

from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim, ItemResult, SenderId
from smsretry.retry.profile import DEFAULT, EVERYBODY, Audience
from smsretry.sending.delivering import follow
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from tests.proofs.interleavings.provider import SENDER

_PIPELINE: Final = "smsretry.sending.pipeline"


@dataclass(frozen=True)
class Call:
    """A call that a worker is about to make."""

    port: str
    name: str
    arguments: tuple[Any, ...]


Answers: TypeAlias = tuple[tuple[Any, datetime], ...]
"""What each call came to, and when it was made."""


@dataclass(frozen=True)
class Worker:
    """One that holds a row."""

    claim: Claim
    answers: Answers = ()

    def next(self, now: datetime) -> Call | ItemResult:
        """The call that it makes next, if it goes on now; or what it ends with.

        Raises:
            UnforeseenError: the pipeline has a bug.
        """
        ports = Ports(self.answers, now)
        with _in_force(ports, self.claim):
            try:
                return process_sms_retry_item(self.claim, queue=Queue(ports), sender=Sender(ports))
            except Asks as asked:
                return asked.call

    def told(self, answer: Any, now: datetime) -> "Worker":
        """The same worker, once it has this answer."""
        return replace(self, answers=(*self.answers, (answer, now)))

    def __str__(self) -> str:
        return f"{self.claim.model_dump_json()} {told(self.answers)}"


def told(answers: Answers) -> str:
    """The answers, and when each came."""
    return " ".join(f"{answer} {at.isoformat()}" for answer, at in answers)


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


class Asks(BaseException):
    """Passes through the package, which catches whatever is an Exception."""

    def __init__(self, call: Call) -> None:
        self.call = call


class Ports:
    """What was answered so far is answered again; the next call ends it."""

    def __init__(self, answers: Answers, now: datetime) -> None:
        self._answers, self._now, self._given = answers, now, 0

    def ask(self, port: str, name: str, *arguments: Any) -> Any:
        """The answer to this call.

        Raises:
            Asks: there is none yet.
        """
        if self._given == len(self._answers):
            raise Asks(Call(port, name, arguments))
        answer, _ = self._answers[self._given]
        self._given += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def seconds(self) -> float:
        """The worker's own stopwatch: it goes on while the worker sleeps."""
        at = self._answers[self._given][1] if self._given < len(self._answers) else self._now
        return at.timestamp()


@contextmanager
def _in_force(ports: Ports, claim: Claim) -> Iterator[None]:
    """With the stopwatch, and with the same attempt each time: of a claim there is one at most."""
    attempt_id = partial(uuid5, claim.id, str(claim.claim_no))
    with patch(f"{_PIPELINE}._stopwatch", ports.seconds), patch(f"{_PIPELINE}.uuid4", attempt_id):
        yield


class Queue:
    """The worker's side of the database."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Any:
            return self._ports.ask("queue", name, *arguments)

        return ask


class Sender:
    """The worker's side of the provider."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    @property
    def audience(self) -> Audience:
        return EVERYBODY

    @property
    def default(self) -> SenderId:
        return SENDER

    def cannot_send_for(self, account: str) -> str | None:
        return None

    def send(self, text: Any) -> Any:
        return self._ports.ask("sender", "send", text)

    def look_up(self, phone: str, **of: Any) -> Any:
        return self._ports.ask("sender", "look_up", phone)

    def what_became_of(self, sid: str, **of: Any) -> Any:
        return self._ports.ask("sender", "what_became_of", sid)

    def reported(self, *said: Any) -> Any:
        return self._ports.ask("sender", "reported", *said)


def unreachable(call: Call) -> NoReturn:
    """Say which call the exploration does not know."""
    raise AssertionError(f"The exploration knows no call {call.port}.{call.name}")
