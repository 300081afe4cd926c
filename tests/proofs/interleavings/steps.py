"""What a step is, and the text that everything happens to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.world import World

BUSINESS: Final = UUID("00000000-0000-4000-8000-00000000000b")
CUSTOMER: Final = UUID("00000000-0000-4000-8000-00000000000c")
LOG: Final = UUID("00000000-0000-4000-8000-00000000000d")
ROW: Final = UUID("00000000-0000-4000-8000-00000000000e")
PHONE: Final = "+12125550123"
BODY: Final = "Your table is ready."
OTHER_BODY: Final = "Your table waits for you."


@dataclass(frozen=True)
class Step:
    """One call by one actor, in a state whose content the world has."""

    name: str
    take: Callable[[World, State], State]
    """What the state is afterwards, apart from the tables, which are read then."""


Actor = Callable[[World, State], Iterator[Step]]


def beginning(world: World, now: datetime) -> State:
    """One text that is due, to a customer who said yes."""
    world.write(
        """insert into businesses (id, user_id, name, timezone)
           values (%s, %s, 'Maple', 'America/New_York')""",
        BUSINESS,
        BUSINESS,
    )
    world.write(
        """insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
           values (%s, %s, %s, 'America/New_York', 'opted_in', smsretry.clock() - interval '1 day')""",
        *(CUSTOMER, BUSINESS, PHONE),
    )
    world.write(
        """insert into send_logs (id, business_id, customer_id, channel, subject)
           values (%s, %s, %s, 'sms', %s)""",
        LOG,
        BUSINESS,
        CUSTOMER,
        BODY,
    )
    world.write(
        """insert into sms_retry_queue (id, business_id, send_log_id, customer_id, scheduled_for, max_attempts)
           values (%s, %s, %s, %s, smsretry.clock(), 2)""",
        *(ROW, BUSINESS, LOG, CUSTOMER),
    )
    return State(world.read(), now)
