"""What the owner decides, where the law and the vendors leave room."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from smsretry.vocabulary import InDoubtPolicy, RuleSet, SendTo

SEND_WITHIN_SECONDS: Final = 15.0
"""A request leaves within this time of asking whether it may, or not at all. With the sender's longest timeouts (40 s)
that is less than the shortest lease (one minute), so that nobody else takes the row while its request is under way."""
STALE_MINUTES: Final = 10
"""After how many minutes a silent worker's texts are taken back, if a run is not told otherwise."""
MOST_CONCURRENCY: Final = 200
"""The most sends that a run may have under way at the provider."""
MOST_TEXTS: Final = 100_000
"""The most due texts of one run, which claims them bit by bit."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The owner's decisions. `settings` reads them from the environment."""

    in_doubt: InDoubtPolicy = "resend"
    """The fate of a text for which no evidence is found."""
    quiet_hours_rules: RuleSet = "us_states"
    opening_spread: timedelta = timedelta(minutes=10)
    """Texts that wait for an opening are due spread over this time, not all at once."""
    delivery_retries: int = 1
    """How often a text is sent again that the provider accepted and a carrier lost. Each costs as much as a text."""


DEFAULT: Final = Profile()


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom this installation texts: everybody, or only who is listed, because a staging copy is not for customers.

    It holds for each way to send, because it comes with the provider (`ports.Provider.audience`). GOV.UK Notify has the
    same for its trial services (https://www.notifications.service.gov.uk/using-notify/trial-mode).
    """

    everybody: bool = False
    numbers: frozenset[str] = field(default=frozenset(), repr=False)
    """E.164, as customers' numbers are stored."""

    def includes(self, phone: str | None) -> bool:
        """Whether a text to this number may leave."""
        return self.everybody or phone in self.numbers

    @property
    def send_to(self) -> SendTo:
        """The audience in a word, as the database knows it."""
        if self.everybody:
            return "all"
        return "listed" if self.numbers else "nobody"

    @property
    def description(self) -> str | None:
        """A restriction on who may be texted, in words for people. None: everybody may."""
        return (
            None
            if self.everybody
            else f"texts {'only who is listed' if self.send_to == 'listed' else 'nobody'}"
        )


EVERYBODY: Final = Audience(everybody=True)
NOT_LISTED: Final = "Not sent: SMSRETRY_SEND_TO does not list its number"
"""Why a text to anybody else stays here. `begin_sms_attempt` says the same of one that would go out now."""
