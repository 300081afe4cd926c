"""What the owner decides, where the law and the vendors leave room."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.vocabulary import InDoubtPolicy, RuleSet

SEND_WITHIN_SECONDS: Final = 15.0
"""A request leaves within this time of asking whether it may, or not at all. Together with the sender's usual timeouts
it stays below the shortest lease (one minute), so that nobody else takes the row while its request is under way. With
longer timeouts and such a short lease the text comes into doubt, and is not doubled."""
STALE_MINUTES: Final = 10
"""After how many minutes a silent worker's texts are taken back, if a run is not told otherwise."""
MOST_TEXTS: Final = 100_000
"""The most due texts of one run, which claims them bit by bit."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The owner's decisions. `settings` reads them from the environment."""

    in_doubt: InDoubtPolicy = "resend"
    """What becomes of a text for which no evidence is found."""
    quiet_hours_rules: RuleSet = "us_states"
    opening_spread: timedelta = timedelta(minutes=10)
    """Texts that wait for an opening are due spread over this time, not all at once."""
    closing_guard: timedelta = timedelta(seconds=60)
    """No text may still be in the provider's queue this long before closing, so that a request that is slow to arrive
    is not valid past it."""
    delivery_retries: int = 1
    """How often a text is sent again that the provider accepted and a carrier lost. Each costs as much as a text."""


DEFAULT: Final = Profile()
