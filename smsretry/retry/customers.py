"""What stands in the customers' rows: how many numbers and zones make texts wait, or wait longer?"""

from collections.abc import Iterator, Sequence

from smsretry.phone import recipient_problem, spelling_problem
from smsretry.quiet_hours.location import clocks_of, locate
from smsretry.retry.models import Finding, Value


class Customer(Value):
    """A customer's number, its last digits zeros, and zone as stored."""

    phone: str
    timezone: str | None


def customer_findings(customers: Sequence[Customer]) -> Iterator[Finding]:
    """A line for each kind of value that the application may correct. None is an error: the texts wait."""
    looked_at = f"of {len(customers)} customers looked at"
    counts = {
        f"numbers {looked_at} are not spelled as E.164": (
            sum(map(_is_misspelled, customers)),
            "texts to them wait (number_spelling): correct customers.phone; each text says how",
        ),
        f"zones {looked_at} are not understood": (
            sum(clocks_of(customer.timezone) is None for customer in customers),
            "texts to them wait (hours_unreadable): correct customers.timezone",
        ),
        f"zones {looked_at} are not among those of their number": (
            sum(map(_is_elsewhere, customers)),
            "texts go out when it is day in both: leave customers.timezone null, unless the customer said it",
        ),
    }
    for problem, (count, advice) in counts.items():
        if count:
            yield Finding(subject=f"{count} {problem}", ok=True, advice=advice)


def _is_misspelled(customer: Customer) -> bool:
    phone = customer.phone
    return bool(spelling_problem(phone)) and not recipient_problem(phone)


def _is_elsewhere(customer: Customer) -> bool:
    """Whether the stored zone adds a clock to the number's."""
    with_zone = locate(customer.timezone, phone=customer.phone)
    without = locate(None, phone=customer.phone)
    return bool(with_zone.zones) and with_zone.zones != without.zones
