"""A state of the exploration, a step from one to the next, and the text that everything happens to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.proofs.interleavings.provider import Twilio
from tests.proofs.interleavings.said import NOTHING_SAID, Said
from tests.proofs.interleavings.worker import Poller, Worker
from tests.proofs.interleavings.world import Content, Refused, World
from tests.proofs.town.report import Finding
from tests.proofs.town.texts import Text, open_business, write
from tests.support.records import Record

Deed = Literal["cancelled", "deleted", "not sent", "sent"]
BUSINESS = UUID("00000000-0000-4000-8000-00000000000b")
CUSTOMER = UUID("00000000-0000-4000-8000-00000000000c")
LOG = UUID("00000000-0000-4000-8000-00000000000d")
ROW = UUID("00000000-0000-4000-8000-00000000000e")
PHONE = "+12125550123"
BODY = "Your table is ready."
OTHER_BODY = "Your table waits for you."
OTHER_PHONE = "+12125550188"
OTHER_LOG = UUID("00000000-0000-4000-8000-00000000001d")
OTHER_ROW = UUID("00000000-0000-4000-8000-00000000001e")
OPENS, CLOSES, NEW_YORK = 8, 21, ZoneInfo("America/New_York")
"""When the customer may be texted, by the clock there."""


@dataclass(frozen=True)
class Processor:
    """The application's own processor while it has a text: it claims by the call it always had, and begins nothing."""

    row: UUID
    log: UUID
    claim_no: int
    attempt_count: int
    to: str
    body: str
    came_to: Literal["", "sent", "refused"] = ""
    """What its request came to."""
    sid: str = ""
    """Of the message, if it was sent."""


@dataclass(frozen=True)
class State:
    """Everything that decides how it goes on."""

    content: Content
    now: datetime
    twilio: Twilio = field(default_factory=Twilio)
    workers: tuple[Worker | Poller, ...] = ()
    processor: Processor | None = None
    """The application's own, while it has a text."""
    number: str = PHONE
    """The customer's, in E.164, however their row has it, and also while they have none."""
    said: Said = NOTHING_SAID
    """What the customer said."""
    elsewhere: Said = NOTHING_SAID
    """What was said of the number that they may get."""
    decided: frozenset[tuple[str, Deed]] = frozenset()
    """What a person or the application has done to a text, by its log, that excuses an invariant."""
    broken: tuple[Finding, ...] = ()
    """What the last step broke by itself."""

    def key(self, world: World) -> str:
        """The same for states that go on in the same way."""
        busy = sorted(map(str, (*self.workers, *filter(None, [self.processor]))))
        messages = map(str, self.twilio.messages)
        people = (self.number, str(self.said), str(self.elsewhere))
        return world.canonical(
            self.content, self.now, *busy, *messages, *people, str(sorted(self.decided))
        )

    def deeds(self, log: object = None) -> frozenset[str]:
        """What was decided of a text; None: of any."""
        return frozenset(deed for of, deed in self.decided if log in (None, of))

    def records(self, sid: str) -> "State":
        """The same, once we know that this message was delivered."""
        return replace(self, twilio=self.twilio.changes(sid, is_recorded=True))

    def decides(self, log: object, deed: Deed) -> "State":
        """The same, once that has changed a row of the text."""
        return replace(self, decided=self.decided | {(str(log), deed)})


@dataclass(frozen=True)
class Step:
    """One call by one actor, in a state whose content the world has."""

    name: str
    take: Callable[[World, State], State]
    """What the state is afterwards, apart from the tables, which are read then."""


Actor = Callable[[World, State], Iterator[Step]]


def writes(
    name: str,
    *statements: tuple[str, tuple[object, ...]],
    decides: Deed | None = None,
    **changes: Any,
) -> Step:
    """The application writes this; all of it is as it was if something is refused.

    Args:
        decides: what it does to the first text, if it changes a row.
    """

    def take(world: World, state: State) -> State:
        count = 0
        for statement, values in statements:
            try:
                count += world.write(statement, *values)
            except Refused:  # to a second live row, to a claim without a lease, to an end while in doubt
                return state
        if count and decides:
            state = state.decides(LOG, decides)
        return replace(state, **changes)

    return Step(name, take)


def calls(
    name: str, function: str, values: Record, after: Callable[[State, Any], State]
) -> Step:
    """Somebody calls a function, and expects that it may be refused. `after`: what its answer changes."""

    def take(world: World, state: State) -> State:
        try:
            return after(state, world.call(function, values))
        except Refused:
            return state

    return Step(name, take)


def beginning(world: World, now: datetime) -> State:
    """One text that is due, to a customer who said yes."""
    open_business(world.connection, BUSINESS)
    write_text(world, LOG, ROW, BODY, now)
    return State(world.read_content(), now)


def write_text(world: World, log: UUID, row: UUID, body: str, now: datetime) -> None:
    """A text of that customer, due now."""
    text = Text(
        owner="it", number=0, business_id=BUSINESS, customer_id=CUSTOMER, send_log_id=log, retry_id=row,
        phone=PHONE, body=body, due_at=now, consented_at=now - timedelta(days=1), queued={"max_attempts": 2},
    )  # fmt: skip
    write(world.connection, [text])


def instant(text: str | None) -> datetime | None:
    """A time, as a table's JSON has it."""
    return datetime.fromisoformat(text) if text else None


def in_window(now: datetime) -> bool:
    """Whether the customer may be texted at this hour."""
    return OPENS <= now.astimezone(NEW_YORK).hour < CLOSES


def closing(now: datetime) -> datetime:
    """When the window closes that is open now."""
    return (
        now.astimezone(NEW_YORK)
        .replace(hour=CLOSES, minute=0, second=0, microsecond=0)
        .astimezone(UTC)
    )


def nth(log: object) -> str:
    """Which text a step is about, if it is not the first."""
    return "" if str(log) == str(LOG) else " of the other text"
