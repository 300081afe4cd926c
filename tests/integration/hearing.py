"""What tests say as somebody who texts STOP or START, and how they read the consents that are there."""

from itertools import count
from typing import Any
from uuid import UUID

from tests.conftest import Business
from tests.support.builders import PHONE
from tests.support.records import Record, columns

_numbers = count(1)


def answer(
    business: Business,
    opt_out_type: str | None = None,
    body: str = "",
    *,
    sid: str | None = None,
    phone: str = PHONE,
    to: str | None = None,
    service: str | None = None,
    account: str | None = None,
) -> Record:
    """What the application's webhook is answered. to, service and account: what Twilio says of our sender."""
    record = business.connection.execute(
        """select * from record_inbound_sms(%s, %s, %s, %s, to_number => %s, messaging_service_sid => %s,
                                            account_sid => %s)""",
        [
            phone,
            sid or f"SM{next(_numbers):032x}",
            opt_out_type,
            body,
            to,
            service,
            account,
        ],
    ).fetchone()
    assert record is not None
    return record


def hear_in_full(business: Business, *said: str | None, **named: str | None) -> Record:
    """What came of it."""
    return answer(business, *said, **named)  # type: ignore[arg-type]  # as answer takes them


def hear(business: Business, *said: str | None, **named: str | None) -> tuple[Any, ...]:
    """Its answer, the customers it concerns and the texts that waited; each of them could be marked."""
    record = hear_in_full(business, *said, **named)
    assert record["unmarked"] == 0
    return columns(record, "answer", "customers", "cancelled")


def refuse(business: Business, phone: str = PHONE) -> None:
    """The provider has refused a text to the number, because it stopped texts at its sender."""
    business.connection.execute(
        """select smsretry.write_consent(smsretry.keep_words(
               smsretry.words_at(array[%s], %s, 'opted_out', 'twilio_21610', smsretry.clock()),
               everyone => true, marks => true))""",
        [business.id, phone],
    )


def consents(business: Business) -> list[tuple[Any, ...]]:
    """Status and source of every customer, by status and source."""
    rows = business.connection.execute(
        "select sms_consent_status as status, sms_consent_source as source from customers order by status, source"
    )
    return [tuple(row.values()) for row in rows]


def consents_of(business: Business) -> list[tuple[Any, ...]]:
    """Those of this business alone."""
    rows = business.connection.execute(
        """select sms_consent_status as status, sms_consent_source as source from customers where business_id = %s
           order by status, source""",
        [business.id],
    )
    return [tuple(row.values()) for row in rows]


def is_out(business: Business, phone: str = PHONE) -> bool:
    """Whether an opt-out of the number stands at the business."""
    return bool(
        business.connection.execute(
            """select from smsretry.objections(array[%s], array[%s], array[null::uuid]) o
               where (o.word).said = 'opted_out'""",
            [business.id, phone],
        ).fetchall()
    )


def customer_of(business: Business, customer: UUID) -> Record:
    """The customer's row."""
    record = business.connection.execute(
        "select * from customers where id = %s", [customer]
    ).fetchone()
    assert record is not None
    return record


def another(business: Business) -> Business:
    """A second business, of another user."""
    return Business(business.connection, business.now).open()


def sends_from(
    business: Business, account: str, sent_by: str, *, message_class: str = "any"
) -> None:
    """Its texts, or those of a class, go out from this sender from now on."""
    business.connection.execute(
        """with sender as (
               insert into smsretry.senders (account, sent_by) values (%s, %s)
               on conflict (account, sent_by) do update set sent_by = excluded.sent_by returning id)
           insert into smsretry.business_senders (business_id, message_class, sender_id) select %s, %s, id from sender
           on conflict (business_id, message_class) do update set sender_id = excluded.sender_id""",
        [account, sent_by, business.id, message_class],
    )


def environment_sends_from(business: Business, account: str, sent_by: str) -> None:
    """The sender of the runner's environment, as its first claim writes it down."""
    business.connection.execute(
        "insert into smsretry.senders (sent_by, account, named_at) values (%s, %s, %s)",
        [sent_by, account, business.now()],
    )
