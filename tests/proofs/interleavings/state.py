"""A state of the exploration: the tables, the time, the workers, the little Twilio, and what people have said."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tests.proofs.interleavings.poller import Poller
from tests.proofs.interleavings.processor import Processor
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
    pollers: tuple[Poller, ...] = ()
    """Each looks after one delivery."""
    processor: Processor | None = None
    """The application's own, while it has a text."""
    said: Word = "yes"
    """What the customer said last."""
    decided: frozenset[str] = frozenset()
    """What a person or the application has done to the text that excuses an invariant: `not sent`, `sent`, `cancelled`,
    `deleted`."""
    broken: tuple[str, ...] = ()
    """What the last step broke by itself."""

    def key(self, world: World) -> str:
        """The same for states that go on in the same way."""
        busy = sorted(map(str, (*self.workers, *self.pollers, *filter(None, [self.processor]))))
        messages = map(str, self.twilio.messages)
        return world.canonical(self.content, self.now, *busy, *messages, self.said, *sorted(self.decided))
