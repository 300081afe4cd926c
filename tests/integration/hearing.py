"""What tests say as somebody who texts STOP or START, and how they read the consents that are there."""

from itertools import count
from typing import Any

from tests.conftest import Business
from tests.support.builders import PHONE

_numbers = count(1)


def answer(
    business: Business, opt_out_type: str | None = None, body: str = "", *, sid: str | None = None, phone: str = PHONE
) -> dict[str, Any]:
    """What the application's webhook is answered."""
    found = business.connection.execute(
        "select * from record_inbound_sms(%s, %s, %s, %s)",
        [phone, sid or f"SM{next(_numbers):032x}", opt_out_type, body],
    ).fetchone()
    assert found is not None
    return found


def hear_in_full(
    business: Business, opt_out_type: str | None = None, body: str = "", *, sid: str | None = None, phone: str = PHONE
) -> dict[str, Any]:
    """What came of it, by whatever words it was known."""
    found = answer(business, opt_out_type, body, sid=sid, phone=phone)
    del found["heard"]
    return found


def hear(
    business: Business, opt_out_type: str | None = None, body: str = "", *, sid: str | None = None, phone: str = PHONE
) -> tuple[Any, ...]:
    """Its answer, the customers it concerns and the texts that waited; each of them could be marked."""
    found = hear_in_full(business, opt_out_type, body, sid=sid, phone=phone)
    assert found["unmarked"] == 0
    return found["answer"], found["customers"], found["cancelled"]


def consents(business: Business) -> list[tuple[Any, ...]]:
    """Status and source of every customer, by status and source."""
    found = business.connection.execute(
        "select sms_consent_status as status, sms_consent_source as source from customers order by status, source"
    )
    return [tuple(row.values()) for row in found]


def consents_of(business: Business) -> list[tuple[Any, ...]]:
    """Those of this business alone."""
    found = business.connection.execute(
        """select sms_consent_status as status, sms_consent_source as source from customers where business_id = %s
           order by status, source""",
        [business.id],
    )
    return [tuple(row.values()) for row in found]


def another(business: Business) -> Business:
    """A second business, of another user."""
    return Business(business.connection, business.now).open()
