"""A worker between two calls, as a value: its claim, and what it was answered so far.

The real pipeline runs from the start each time, is given the same answers, and stops at the first call that has none.
So a worker can stop for ever, or sleep as long as it likes, before each of its calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NoReturn
from unittest.mock import patch
from uuid import UUID, uuid5

from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.models import Claim, ItemResult, SenderId
from smsretry.sending.pipeline import process_sms_retry_item
from tests.proofs.interleavings.provider import SENDER

_PIPELINE: Final = "smsretry.sending.pipeline"


@dataclass(frozen=True)
class Call:
    """A call that a worker is about to make."""

    port: str
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Worker:
    """One that holds a row. `answers`: what each of its calls came to, and when it was made."""

    claim: Claim
    answers: tuple[tuple[Any, datetime], ...] = ()

    def next(self, now: datetime) -> Call | ItemResult:
        """The call that it makes next, if it goes on now; or what it ends with.

        Raises:
            UnforeseenError: the pipeline has a bug.
        """
        ports = _Ports(self, now)
        with ports.in_force():
            try:
                return process_sms_retry_item(self.claim, queue=_Queue(ports), sender=_Sender(ports))
            except _Asks as asked:
                return asked.call

    def told(self, answer: Any, now: datetime) -> "Worker":
        """The same worker, once it has this answer."""
        return replace(self, answers=(*self.answers, (answer, now)))

    def __str__(self) -> str:
        return f"{self.claim.model_dump_json()} {[str(answer) for answer, _ in self.answers]}"


class _Asks(BaseException):
    """Passes through the pipeline, which catches whatever is an Exception."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Ports:
    def __init__(self, worker: Worker, now: datetime) -> None:
        self._answers, self._now, self._given, self._claim = worker.answers, now, 0, worker.claim

    def ask(self, port: str, name: str, *arguments: Any) -> Any:
        if self._given == len(self._answers):
            raise _Asks(Call(port, name, arguments))
        answer, _ = self._answers[self._given]
        self._given += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    def seconds(self) -> float:
        """The worker's own stopwatch: it goes on while the worker sleeps."""
        at = self._answers[self._given][1] if self._given < len(self._answers) else self._now
        return at.timestamp()

    def attempt_id(self) -> UUID:
        """The same each time: of a claim there is one attempt at most."""
        return uuid5(self._claim.id, str(self._claim.claim_no))

    @contextmanager
    def in_force(self) -> Iterator[None]:
        with patch(f"{_PIPELINE}._stopwatch", self.seconds), patch(f"{_PIPELINE}.uuid4", self.attempt_id):
            yield


class _Queue:
    """The worker's side of the queue."""

    def __init__(self, ports: _Ports) -> None:
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Any:
            return self._ports.ask("queue", name, *arguments)

        return ask


class _Sender:
    """The worker's side of the provider."""

    def __init__(self, ports: _Ports) -> None:
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


def unreachable(call: Call) -> NoReturn:
    """Say which call the exploration does not know."""
    raise AssertionError(f"The exploration knows no call {call.port}.{call.name}")
