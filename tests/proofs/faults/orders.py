"""What the harness tells a worker, where a worker may be told to die, and both ends of the line between them."""

import pickle
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from smsretry.settings import Settings

KillPoint: TypeAlias = Literal["claimed", "begun", "posted", "answered", "finished", "looking"]
"""claimed: before begin. begun: before the POST. posted: the POST has left, its answer is unread. answered: before
finish. finished: its answer is there. looking: Twilio's list was read, nothing is written yet."""
PollPoint: TypeAlias = Literal["taken", "asked", "followed"]
"""Of a look after a message. taken: before Twilio is asked. asked: it has answered, nothing is written. followed: what
follows is written."""
StallPoint: TypeAlias = Literal["claimed", "begun", "asked"]
Switch: TypeAlias = Literal[
    "fence", "reconcile", "quarantine", "ranks", "patience", "codes", "asking", "account", "sender"
]
KILL_POINTS: Final[tuple[KillPoint, ...]] = get_args(KillPoint)
POLL_POINTS: Final[tuple[PollPoint, ...]] = get_args(PollPoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run of a worker."""

    settings: Settings = field(repr=False)
    seed: str
    limit: int = 20
    one_by_one: bool = False
    polling: bool = False
    """Look after deliveries, and do nothing else."""
    queueing: bool = False
    """Queue the scheduled sends whose time is near, first."""
    dies_queueing_after: float | None = None
    """Seconds after it began to: before the database has answered, or between two batches."""
    kill_at: KillPoint | PollPoint | None = None
    kill_rate: float = 0.0
    """Share of the claims whose worker dies when it comes to that point with them."""
    kill_targets: tuple[str, ...] = ()
    """Bodies of texts whose answer the worker does not survive."""
    stall_at: StallPoint | None = None
    """Stand still at the first text that comes this far, until told to go on."""
    oversleeps: timedelta = timedelta(0)
    """How much later it is by its own stopwatch, too, when it goes on. So a stall need not last that long."""
    without: Switch | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker reports."""

    kind: Literal["killed", "stalled", "doubt", "trouble", "bug"]
    detail: str = ""
    bodies: tuple[str, ...] = ()
    """Of a stalled worker: the texts it holds, first the one it stands still with."""


class Line:
    """One end of a line. It is at its end when the other one has died."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def say(self, what: object) -> None:
        """In one piece."""
        self._end.send(pickle.dumps(what))

    def hear(self) -> Any:
        """What was said next; None: nobody is there any more."""
        heard = self._end.recv(1 << 16)
        return pickle.loads(heard) if heard else None
