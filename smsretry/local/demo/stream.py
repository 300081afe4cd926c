"""New texts, one after the other, so that there is something to watch: most are sent, some meet trouble.

They belong to a business that has its own sender. No more are queued while a few hundred wait, at night for example.
"""

import time
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg

from smsretry.local.demo.people import Special, area_codes
from smsretry.local.demo.seeding import business_named, name_customers, queue_text
from smsretry.local.demo.senders import HARBOR
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError, SendFault

_FIRST_LINE: Final = 50  # the numbers below are the other business's customers'
_WAITING: Final = 300
_LAST_NAMES: Final = (
    "Adams",
    "Baker",
    "Clark",
    "Diaz",
    "Evans",
    "Flores",
    "Garcia",
    "Hill",
    "Ito",
    "Jones",
    "Kim",
)
# Each so-many-th text; the numbers share no divisor, so that no pattern shows.
_TROUBLES: Final[tuple[tuple[int, SendFault], ...]] = (
    (11, JsonError(14107, http_status=400)),  # a rate limit: sent a minute later
    (17, AcceptThenDrop()),  # in doubt, then found in Twilio's list
    (23, JsonError(21702, http_status=400)),  # sent once its delay is over
    (31, JsonError(21612, http_status=400)),  # failed, until somebody queues it again
    (37, JsonError(21614, http_status=400)),  # failed for good: no mobile number
)
_NO_CONSENT: Final = 29

_COUNT_WAITING: Final = """
    select count(*) from sms_retry_queue where business_id = %s and status in ('pending', 'processing')
"""


class Stream:
    """`rate` new texts a minute, each when `tick` is called and one is due. 0: none."""

    def __init__(self, stack: Stack, *, rate: float) -> None:
        self._stack = stack
        self._every = 60 / rate if rate else None
        self._next = time.monotonic()
        # From the clock, so that it goes on with other numbers when the stack is started again.
        self._number = int(stack.now().timestamp()) // 10
        if rate:
            with stack.connect() as connection:
                name_customers(connection)

    def __str__(self) -> str:
        if self._every is None:
            return "none"
        return f"{60 / self._every:g} a minute, of {HARBOR.business}; most are sent, some meet trouble"

    def tick(self) -> UUID | None:
        """Queue a text if one is due; its row's id. A database that is away is asked again at the next tick."""
        if self._every is None or time.monotonic() < self._next:
            return None
        self._next = max(self._next + self._every, time.monotonic() - self._every)
        try:
            return self._queue()
        except psycopg.OperationalError:
            return None

    def _queue(self) -> UUID | None:
        with self._stack.connect() as connection:
            business = business_named(HARBOR.business, self._stack, connection)
            waiting = connection.execute(_COUNT_WAITING, [business.id]).fetchone()
            if waiting and waiting["count"] >= _WAITING:
                return None
            customer, zone = _customer(self._number)
            self._number += 1
            if customer.fault and customer.phone:
                self._stack.twilio.fail(customer.fault, to=customer.phone)
            return queue_text(business, customer, zone)


def _customer(number: int) -> tuple[Special, str]:
    places = area_codes()
    around, at = divmod(number, len(places))
    name, zone, code = places[at]
    customer = Special(
        f"{name} {_LAST_NAMES[around % len(_LAST_NAMES)]}",
        f"+1{code}55501{_FIRST_LINE + around % (100 - _FIRST_LINE)}",
        fault=next((fault for nth, fault in _TROUBLES if number % nth == 0), None),
        consent="unknown" if number % _NO_CONSENT == 0 else "opted_in",
        body=HARBOR.body,
        queued_ago=timedelta(0),
    )
    return customer, zone
