"""Businesses with senders of their own: accounts at the stand-in for Twilio, and the rows that name them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg

from smsretry.local.stack import Stack
from smsretry.local.twilio.accounts import Account
from tests.support.records import Connection


def open_account(
    stack: Stack,
    sid: str | None = None,
    token: str | None = None,
    *,
    subaccount: bool = True,
    number: str | None = None,
    senders: Sequence[str] = (),
    **options: Any,
) -> Account:
    """A subaccount of the environment's account, or somebody else's; it owns these numbers and messaging services."""
    services = {
        sender: {number_of(sender)} for sender in senders if sender.startswith("MG")
    }
    numbers = {sender for sender in (number, *senders) if sender} - services.keys()
    account = Account(
        sid=sid or f"AC{uuid4().hex}",
        auth_token=token or uuid4().hex,
        numbers=numbers.union(*services.values()),
        owner=stack.twilio.accounts.main if subaccount else None,
        **{"services": services, **options},
    )
    return stack.twilio.accounts.add(account)


def texts_from(
    connection: Connection,
    business: UUID,
    account: str,
    sent_by: str,
    **limits: Any,
) -> UUID:
    """From now on the business's texts go out from this sender; returns its id."""
    row = connection.execute(
        """insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day)
           values (%s, %s, %s, %s)
           on conflict on constraint senders_one do update set account = excluded.account returning id""",
        [
            account,
            sent_by,
            limits.get("segments_per_second"),
            limits.get("segments_per_day"),
        ],
    ).fetchone()
    assert row is not None
    connection.execute(
        "delete from smsretry.business_senders where business_id = %s", [business]
    )
    connection.execute(
        "insert into smsretry.business_senders (business_id, sender_id) values (%s, %s)",
        [business, row["id"]],
    )
    sender_id: UUID = row["id"]
    return sender_id


@dataclass(frozen=True, slots=True)
class OwnSender:
    """A sender that is not the environment's."""

    account: str
    sent_by: str = field(repr=False)
    segments_per_second: float | None = None
    segments_per_day: int | None = None

    @property
    def address(self) -> tuple[str, str]:
        """What a text goes out from: an account, and a messaging service or number of it."""
        return self.account, self.sent_by

    def assign(self, connection: psycopg.Connection[Any], business_id: UUID) -> None:
        """Have it send for a business from now on, as the application does it."""
        connection.execute(
            """select add_sms_sender(%s, %s, %s, null, %s, %s, who => 'proof', because => 'Theirs', replace => true)""",
            [
                business_id,
                *self.address,
                self.segments_per_second,
                self.segments_per_day,
            ],
        )


def hexadecimal(prefix: str, *parts: object) -> str:
    """A SID or a token that the parts alone decide."""
    return prefix + sha256(":".join(map(str, parts)).encode()).hexdigest()[:32]


def number_of(*parts: object) -> str:
    """Likewise a number."""
    return f"+1205{int(hexadecimal('', *parts)[:12], 16) % 8_000_000 + 2_000_000}"
