"""What stands in the customers' rows: how many may be texted, and how many numbers and zones make texts wait?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from smsretry.phone import recipient_problem, spelling_problem
from smsretry.quiet_hours.location import clocks_of, locate
from smsretry.retry.models import Finding, Value


class Customer(Value):
    """A customer's number, its last digits zeros, zone and consent as stored."""

    phone: str
    timezone: str | None
    consent: str | None = None


CONSENTS: Final = ("opted_in", "opted_out", "unknown")
"""What `customers.sms_consent_status` may say. Only who has opted in is texted."""


_UNCLEAR: Final = (
    "it is not understood, and texts to them wait (consent_unclear): write customers.sms_consent_status as opted_in, "
    "opted_out or unknown"
)


def customer_findings(customers: Sequence[Customer]) -> Iterator[Finding]:
    """Who may be texted, and a line for each kind of value that the application may correct.

    No line is an error: the texts wait.
    """
    consents = Counter(customer.consent or "unknown" for customer in customers)
    if customers:
        counts = ", ".join(f"{consents[word]} are {word}" for word in CONSENTS)
        yield Finding(
            subject=f"consent: of {len(customers)} customers checked {counts}", ok=True
        )
    problems = [
        *(
            (count, f"the consent '{word}'", _UNCLEAR)
            for word, count in consents.most_common()
            if word not in CONSENTS
        ),
        (
            sum(map(_is_misspelled, customers)),
            "a number that is not spelled as E.164",
            "texts to them wait (number_spelling): correct customers.phone; each text says how",
        ),
        (
            sum(clocks_of(customer.timezone) is None for customer in customers),
            "a time zone that is not understood",
            "texts to them wait (hours_unreadable): correct customers.timezone",
        ),
        (
            sum(map(_is_elsewhere, customers)),
            "a time zone that is not one of their number's",
            "texts go out when it is day in both: leave customers.timezone null, unless the customer said it",
        ),
    ]
    for count, problem, advice in problems:
        if count:
            verb = "has" if count == 1 else "have"
            subject = f"{count} of {len(customers)} customers checked {verb} {problem}"
            yield Finding(
                subject=subject,
                ok=True,
                advice=advice,
            )


def _is_misspelled(customer: Customer) -> bool:
    phone = customer.phone
    return bool(spelling_problem(phone)) and not recipient_problem(phone)


def _is_elsewhere(customer: Customer) -> bool:
    """Whether the stored zone adds a clock to the number's."""
    with_zone = locate(customer.timezone, phone=customer.phone)
    without = locate(None, phone=customer.phone)
    return bool(with_zone.zones) and with_zone.zones != without.zones
