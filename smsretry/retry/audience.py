"""Whom this installation texts: everybody, only who is listed, or nobody. A staging copy is not for customers.

GOV.UK Notify has the same for its trial services, as a team and a guest list
(https://www.notifications.service.gov.uk/using-notify/trial-mode).
"""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from smsretry.vocabulary import SendTo


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may be texted. It holds for each way to send, because it comes with the sender (`ports.Sender.audience`)."""

    send_to: SendTo = "all"
    numbers: frozenset[str] = field(default=frozenset(), repr=False)
    """With `listed`: E.164, as customers' numbers are stored."""
    businesses: frozenset[UUID] = frozenset()
    """With `listed`: those whose customers may all be texted."""

    def includes(self, *, phone: str | None, business_id: UUID | None) -> bool:
        """Whether a text to this number, of this business, may leave."""
        if self.send_to == "all":
            return True
        return self.send_to == "listed" and (phone in self.numbers or business_id in self.businesses)

    @property
    def told(self) -> str | None:
        """Who alone may be texted, in words for people. None: everybody may."""
        match self.send_to:
            case "all":
                return None
            case "listed" if self.numbers or self.businesses:
                listed = ((len(self.numbers), "number", "s"), (len(self.businesses), "business", "es"))
                counted = (f"{n} {one}{ending if n > 1 else ''}" for n, one, ending in listed if n)
                return f"texts only {' and '.join(counted)}"
            case _:
                return "texts nobody"

    @property
    def refusal(self) -> str:
        """Why a text to anybody else stays here. `smsretry.withhold_send` says the same."""
        if self.send_to == "nobody":
            return "Not sent: nobody is texted from here (SMSRETRY_SEND_TO=nobody)"
        return "Not sent: its number and its business are not listed (SMSRETRY_SEND_TO=listed)"


EVERYBODY: Final = Audience()
