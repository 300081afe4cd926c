"""What is the owner's to decide, where the law and the vendors leave room."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.vocabulary import InDoubtPolicy, RuleSet

SEND_WITHIN_SECONDS: Final = 15.0
"""A request leaves within this time of asking whether it may, or not at all. With the sender's usual timeouts it stays
below the shortest lease (one minute), so that nobody else takes the row while its request is under way. Longer timeouts
beside so short a lease put the text in doubt, and double nothing."""
STALE_MINUTES: Final = 10
"""After how many minutes a silent worker's texts are taken back, if a run is not told otherwise."""
MOST_TEXTS: Final = 100_000
"""Due texts of one run at most. It claims them by and by."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The owner's decisions. `settings` reads them from the environment."""

    in_doubt: InDoubtPolicy = "resend"
    """What becomes of a text for which no evidence is found."""
    quiet_hours_rules: RuleSet = "us_states"
    opening_spread: timedelta = timedelta(minutes=10)
    """What waits for an opening is due over this time, not all at once."""
    closing_guard: timedelta = timedelta(seconds=60)
    """No text may still be in the provider's queue this long before closing, so that a request that is slow to arrive
    is not valid past it."""
    segments_per_second: float | None = None
    """What the sender makes. None: as fast as its provider takes them."""

    delivery_retries: int = 1
    """How often a text that the provider accepted and a carrier lost is sent again. Each costs like a text."""


DEFAULT: Final = Profile()
