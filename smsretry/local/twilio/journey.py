"""How messages fare after Twilio accepted them, as time goes by: what `smsretry up` shows. A test says it itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, TypeAlias

from smsretry.local.twilio.ledger import Entry

Journey: TypeAlias = Callable[[Entry, datetime], tuple[str, int | None] | None]
"""A message's status and error code at a moment; None: it is as the ledger has it."""
_FAILURES: Final = {0: 30003, 1: 30008, 2: 30007, 3: 30006}
"""The error code of each message that does not arrive, by its place in a hundred."""


def usual_journey(entry: Entry, at: datetime) -> tuple[str, int | None] | None:
    """Most are delivered within a minute; of a hundred some are lost. Decided by the SID, so that it never changes."""
    age, lot = at - entry.accepted_at, int(sha256(entry.sid.encode()).hexdigest(), 16)
    if age < timedelta(seconds=2):
        return None
    if age < timedelta(seconds=5 + lot // 100 % 55):
        return "sent", None
    code = _FAILURES.get(lot % 100)
    return ("delivered", None) if code is None else ("undelivered", code)
