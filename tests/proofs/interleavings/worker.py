"""Workers and lookers after deliveries between two calls, as values: what they hold, and what they were answered.

The real pipeline runs from the start each time, is given the same answers, and stops at the first call that has none.
So each can stop for ever, or sleep as long as it likes, before each of its calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, Self, TypeAlias, TypeVar
from unittest.mock import patch
from uuid import uuid5

from pydantic import BaseModel

from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import DEFAULT, EVERYBODY
from smsretry.sending.delivering import follow
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from tests.proofs.interleavings.provider import SENDER

_PIPELINE = "smsretry.sending.pipeline"


@dataclass(frozen=True)
class Call:
    """A call that a worker is about to make."""

    port: str
    name: str
    arguments: tuple[Any, ...]


Answers: TypeAlias = tuple[tuple[Any, datetime], ...]
"""What each call came to, and when it was made."""


T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class _AtWork(Generic[T]):
    """Somebody between two calls, with what it is at work on."""

    claim: T
    answers: Answers = ()

    def answer(self, answer: Any, now: datetime) -> Self:
        """The same, once they have this answer."""
        return replace(self, answers=(*self.answers, (answer, now)))

    def __str__(self) -> str:
        answers = " ".join(f"{answer} {at.isoformat()}" for answer, at in self.answers)
        return f"{self.claim.model_dump_json()} {answers}"


class Worker(_AtWork[Claim]):
    """One that holds a row."""

    @property
    def name(self) -> str:
        return f"worker {self.claim.claim_no}"

    def next(self, now: datetime) -> Call | ItemResult:
        """The call that it makes next, if it goes on now; or what it ends with.

        Raises:
            UnforeseenError: the pipeline has a bug.
        """
        ports = Ports(self.answers, now)
        with _in_force(ports, self.claim):
            try:
                return process_sms_retry_item(
                    self.claim, queue=Port(ports, "queue"), provider=Provider(ports)
                )
            except Asks as request:
                return request.call


class Poller(_AtWork[OpenDelivery]):
    """One that looks after a message."""

    @property
    def name(self) -> str:
        return f"look {self.claim.asks} after a message"

    def next(self, now: datetime) -> Call | None:
        """The call that it makes next, if it goes on now; None: it is done."""
        ports = Ports(self.answers, now)
        try:
            follow(self.claim, Services(Port(ports, "queue"), Provider(ports), DEFAULT))
        except Asks as request:
            return request.call
        return None


class Asks(BaseException):
    """Passes through the package, which catches whatever is an Exception."""

    def __init__(self, call: Call) -> None:
        self.call = call


class Ports:
    """What was answered so far is answered again; the next call ends it."""

    def __init__(self, answers: Answers, now: datetime) -> None:
        self._answers, self._now, self._answer_index = answers, now, 0

    def ask(self, port: str, name: str, *arguments: Any) -> Any:
        """The answer to this call.

        Raises:
            Asks: there is none yet.
        """
        if self._answer_index == len(self._answers):
            raise Asks(Call(port, name, arguments))
        answer, _ = self._answers[self._answer_index]
        self._answer_index += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def seconds(self) -> float:
        """The worker's own stopwatch: it goes on while the worker sleeps."""
        at = (
            self._answers[self._answer_index][1]
            if self._answer_index < len(self._answers)
            else self._now
        )
        return at.timestamp()


@contextmanager
def _in_force(ports: Ports, claim: Claim) -> Iterator[None]:
    """With the stopwatch, and with the same attempt each time: of a claim there is one at most."""
    attempt_id = partial(uuid5, claim.id, str(claim.claim_no))
    with (
        patch(f"{_PIPELINE}._stopwatch", ports.seconds),
        patch(f"{_PIPELINE}.uuid4", attempt_id),
    ):
        yield


class Port:
    """The worker's side of the database, or of the provider: every call of it is one that the exploration answers."""

    def __init__(self, ports: Ports, name: str) -> None:
        self._ports, self._name = ports, name

    def __getattr__(self, called: str) -> Any:
        return lambda *arguments, **_: self._ports.ask(self._name, called, *arguments)


class Provider(Port):
    """The provider's, which can send for every account."""

    audience, default = EVERYBODY, SENDER

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports, "sender")

    def credentials_problem(self, account: str) -> str | None:
        return None
