"""Can a number or a messaging service text, and do carriers take it?

Sources, all of https://www.twilio.com/docs: phone-numbers/api/incomingphonenumber-resource (capabilities),
messaging/api/phonenumber-resource (the sender pool), messaging/api/usapptoperson-resource (campaigns).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from smsretry.retry.models import Finding

_TOLL_FREE: Final = re.compile(r"\+1(800|833|844|855|866|877|888)")
_NO_SMS: Final = (
    "cannot text, because it has no SMS capability: take another number of the account's, or buy one with it"
)
_EMPTY: Final = "it has no numbers: add one to its sender pool in the Twilio console"
_ALL_VOICE: Final = "none of its numbers can text (no SMS capability): add one that can in the Twilio console"
_NO_CAMPAIGN: Final = "no A2P campaign: right for toll-free numbers, short codes and outside the US, and only there"


class Ask(Protocol):
    """`Asking.ask`."""

    def __call__(self, subject: str, question: Callable[[], object], mend: str, *, optional: bool = False) -> Finding:
        """A finding from the answer."""


def number_finding(ask: Ask, subject: str, client: Any, number: str, none: str, mend: str) -> Finding:
    """Whether the account owns it, and whether it can text."""

    def owns() -> object:  # Twilio also finds longer numbers, of which this is a part
        found = client.incoming_phone_numbers.list(phone_number=number, limit=20)
        capabilities = [one.capabilities or {} for one in found if one.phone_number == number]
        return (capabilities[0].get("sms", True) or _NO_SMS) if capabilities else none

    return ask(subject, owns, mend, optional=True)


def service_findings(
    ask: Ask, service: Any, subject: str, sid: str, mend: str, *, optional: bool = False
) -> Iterator[Finding]:
    """Whether its pool has what can text, and whether that is registered. One request more if it has no number."""
    needs_campaign = list[bool]()

    def has_senders() -> object:
        numbers = service.phone_numbers.list(limit=100, page_size=100)
        needs_campaign.append(any(_by_campaign(one) for one in numbers))
        if numbers:
            return any("SMS" in (one.capabilities or ["SMS"]) for one in numbers) or _ALL_VOICE
        return any(kind.list(limit=1, page_size=1) for kind in (service.short_codes, service.alpha_senders)) or _EMPTY

    found = ask(subject, has_senders, mend, optional=optional)
    yield found
    if found.ok and any(needs_campaign):
        yield _registration(ask, service, sid, mend)


def _registration(ask: Ask, service: Any, sid: str, mend: str) -> Finding:
    subject, states = f"registration of {sid}", list[str]()

    def read() -> None:
        states.extend(str(one.campaign_status) for one in service.us_app_to_person.list(limit=20))

    found = ask(subject, read, mend, optional=True)
    if not found.ok or found.advice or "VERIFIED" in states:
        return found
    if not states:
        return Finding(subject=subject, ok=True, advice=_NO_CAMPAIGN)
    advice = f"its A2P campaign is {states[0]}, so carriers do not take its texts yet: see the Twilio console"
    return Finding(subject=subject, ok=False, advice=advice)


def _by_campaign(number: Any) -> bool:
    """Whether carriers take a number's texts only by an A2P campaign: a US number that is not toll-free."""
    return number.country_code == "US" and not _TOLL_FREE.match(str(number.phone_number))
