"""What the harness tells a worker, where a worker may be told to die or to stand still, and what it reports."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, TypeAlias, get_args

from smsretry.settings import Settings
from tests.proofs.town import safeguards
from tests.proofs.town.safeguards import Safeguard

KillPoint: TypeAlias = Literal[
    "claimed", "begun", "posted", "answered", "finished", "looking"
]
"""claimed: before begin. begun: before the POST. posted: the POST has left, its answer is unread. answered: before
finish. finished: its answer is there. looking: Twilio's list was read, nothing is written yet."""
PollPoint: TypeAlias = Literal["taken", "asked", "followed"]
"""Of a look after a message. taken: before Twilio is asked. asked: it has answered, nothing is written. followed: what
follows is written."""
StallPoint: TypeAlias = Literal["claimed", "begun", "asked"]
KILL_POINTS: Final[tuple[KillPoint, ...]] = get_args(KillPoint)
POLL_POINTS: Final[tuple[PollPoint, ...]] = get_args(PollPoint)
SAFEGUARDS: Final[dict[str, Safeguard]] = {
    "fence": safeguards.FENCE,
    "reconcile": safeguards.EVIDENCE,
    "quarantine": safeguards.QUARANTINE,
    "patience": safeguards.PATIENCE,
    "codes": safeguards.CODES,
}
"""What workers can be without."""


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
    without: str | None = None
    """One of the safeguards."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker reports."""

    kind: Literal["killed", "stalled", "doubt", "trouble", "bug"]
    detail: str = ""
    bodies: tuple[str, ...] = ()
    """Of a stalled worker: the texts it holds, first the one it stands still with."""
