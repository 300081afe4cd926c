"""What the harness tells a worker, and where a worker may be told to die."""

import hashlib
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict

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
"""What can be taken away, to see that the harness notices. ranks: of two reports of a message the later one counts, and
not the last to come. patience: a message without a final status may still arrive. codes: not every failure passes.
asking: a message that was lost is asked about before the next one leaves. account: a message is looked for in the
account that it went out from. sender: a send begins from the sender that is the business's at that moment."""

KILL_POINTS: Final[tuple[KillPoint, ...]] = get_args(KillPoint)
POLL_POINTS: Final[tuple[PollPoint, ...]] = get_args(PollPoint)
SWITCHES: Final[tuple[Switch, ...]] = get_args(Switch)
OF_DELIVERIES: Final[tuple[Switch, ...]] = ("ranks", "patience", "codes", "asking")


class Order(BaseModel):
    """One worker run."""

    model_config = ConfigDict(frozen=True)

    worker: int
    settings: dict[str, Any]
    seed: str
    limit: int = 20
    one_by_one: bool = False
    polling: bool = False
    """Look after deliveries, and do nothing else."""
    kill_at: KillPoint | PollPoint | None = None
    kill_rate: float = 0.0
    """Share of the claims whose worker dies when it comes to that point with them."""
    kill_targets: tuple[str, ...] = ()
    """Bodies of texts whose answer the worker does not survive."""
    queueing: bool = False
    """Queue the scheduled sends whose time is near, first."""
    dies_queueing_after: float | None = None
    """Seconds after it began to: before the database has answered, or between two batches."""
    stall_at: StallPoint | None = None
    """Stop (SIGSTOP) at the first text that comes this far."""
    oversleeps: timedelta = timedelta(0)
    """How much later it is by its own stopwatch, too, when it goes on. So a stall need not last that long."""
    without: Switch | None = None


class Event(BaseModel):
    """What a worker, or the process that forks them, reports."""

    model_config = ConfigDict(frozen=True)

    worker: int
    kind: Literal["ready", "killed", "stalled", "stopped", "doubt", "trouble", "bug", "ended"]
    detail: str = ""
    bodies: tuple[str, ...] = ()
    """Of a stalled worker: the texts it holds, first the one it stands still with."""


def dice(*parts: object) -> float:
    """A number in [0, 1) that the parts alone decide."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def pick(options: "tuple[Any, ...]", *parts: object) -> Any:
    """One of the options, decided by the parts alone."""
    return options[int(dice("pick", *parts) * len(options))]
