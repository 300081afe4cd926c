"""What is the owner's to decide, where the law and the vendors leave room."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.words import InDoubtPolicy, RuleSet


@dataclass(frozen=True, slots=True)
class Profile:
    """The owner's decisions. `settings` reads them from the environment."""

    in_doubt: InDoubtPolicy = "resend"
    """What becomes of a text for which no evidence is found."""
    quiet_hours_rules: RuleSet = "us_states"
    opening_spread: timedelta = timedelta(minutes=10)
    """What waits for an opening is due over this time, not all at once."""
    closing_guard: timedelta = timedelta(seconds=60)
    """No text may still be in the provider's queue this long before closing. A request takes up to 55 s to arrive."""
    segments_per_second: float | None = None
    """What the sender makes. None: as fast as its provider takes them."""

    delivery_retries: int = 1
    """How often a text that the provider accepted and a carrier lost is sent again. Each costs like a text."""


DEFAULT: Final = Profile()
