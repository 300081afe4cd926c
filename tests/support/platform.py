"""Accounts at Twilio and the senders in them: subaccounts of the parent, and businesses' own accounts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from smsretry.local.stack import Stack
from smsretry.local.twilio.accounts import Account

Address = tuple[str, str]
"""What a text goes out from: an account, and a messaging service or number of it."""


@dataclass(frozen=True, slots=True)
class OwnSender:
    """A sender that is not the environment's."""

    account: str
    sent_by: str = field(repr=False)
    segments_per_second: float | None = None
    segments_per_day: int | None = None

    @property
    def address(self) -> Address:
        """Its account and itself."""
        return self.account, self.sent_by

    def assign(self, connection: psycopg.Connection[Any], business_id: UUID, message_class: str | None = None) -> None:
        """Have it send for a business from now on, as the application does it."""
        connection.execute(
            """select add_sms_sender(%s, %s, %s, %s, %s, %s, who => 'proof', because => 'Theirs', replace => true)""",
            [business_id, *self.address, message_class, self.segments_per_second, self.segments_per_day],
        )


def open_account(stack: Stack, sid: str, token: str, *, subaccount: bool, senders: Sequence[str]) -> Account:
    """Have the stand-in know an account that owns these numbers and messaging services."""
    services = {sender: {number_of(sender)} for sender in senders if sender.startswith("MG")}
    accounts = stack.twilio.accounts
    return accounts.add(
        Account(
            sid=sid,
            auth_token=token,
            numbers=(set(senders) - services.keys()).union(*services.values()),
            services=services,
            owner=accounts.main if subaccount else None,
        )
    )


def hexadecimal(prefix: str, *parts: object) -> str:
    """A SID or a token that the parts alone decide."""
    return prefix + sha256(":".join(map(str, parts)).encode()).hexdigest()[:32]


def number_of(*parts: object) -> str:
    """Likewise a number."""
    return f"+1205{int(hexadecimal('', *parts)[:12], 16) % 8_000_000 + 2_000_000}"
