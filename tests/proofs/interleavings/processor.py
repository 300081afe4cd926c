"""The application's own processor: it claims by the call it always had, sends by itself, and begins nothing."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True)
class Processor:
    """It while it has a text."""

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
