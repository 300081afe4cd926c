"""A state of the exploration: the tables, the time, the workers, the little Twilio, and what people have said."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tests.proofs.interleavings.provider import Twilio
from tests.proofs.interleavings.worker import Worker
from tests.proofs.interleavings.world import Content, World

Word = Literal["yes", "stop", "unclear"]


@dataclass(frozen=True)
class State:
    """Everything that decides how it goes on."""

    content: Content
    now: datetime
    twilio: Twilio = field(default_factory=Twilio)
    workers: tuple[Worker, ...] = ()
    said: Word = "yes"
    """What the customer said last."""
    decided: frozenset[str] = frozenset()
    """What a person has decided about the text that excuses an invariant: `not sent`, `sent`, `cancelled`."""
    broken: tuple[str, ...] = ()
    """What the last step broke by itself."""

    def key(self, world: World) -> str:
        """The same for states that go on in the same way."""
        workers = sorted(map(str, self.workers))
        messages = [f"{m.sid} {m.attempt_id} {m.at.isoformat()} {m.fate} {m.known_lost}" for m in self.twilio.messages]
        return world.canonical(self.content, self.now, *workers, *messages, self.said, *sorted(self.decided))
