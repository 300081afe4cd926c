"""A platform's accounts at Twilio and the senders in them: subaccounts of the parent, and businesses' own accounts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self
from uuid import UUID

import psycopg
from pydantic import SecretStr

from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.accounts import Account
from smsretry.settings import Settings

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


@dataclass(frozen=True, slots=True)
class Platform:
    """The accounts and senders of a run."""

    environment: Address
    tokens: Mapping[str, str] = field(repr=False)
    """By account, the parent's included."""
    foreign: tuple[str, ...]
    """The accounts that the parent's token does not reach."""
    senders: tuple[OwnSender, ...]

    @classmethod
    def open(cls, stack: Stack, *, seed: str, subaccounts: int = 6, foreign: int = 5, senders: int = 19) -> Self:
        """Open the accounts at the stand-in. Every third sender is a messaging service, every fifth has a rate."""
        own = stack.environment()
        parent = own["TWILIO_ACCOUNT_SID"]
        names = [("subaccount", n) for n in range(subaccounts)] + [("foreign", n) for n in range(foreign)]
        accounts = [hexadecimal("AC", seed, *name) for name in names]
        tokens = {account: hexadecimal("", seed, account, "token") for account in accounts}
        made = tuple(
            OwnSender(
                accounts[n % len(accounts)],
                hexadecimal("MG", seed, n) if n % 3 == 0 else number_of(seed, n),
                40.0 if n % 5 == 0 else None,
            )
            for n in range(senders)
        )
        for n, account in enumerate(accounts):
            open_account(stack, account, tokens[account], subaccount=n < subaccounts, senders=_in(made, account))
        return cls(
            environment=(parent, SENDER),
            tokens={parent: own["TWILIO_AUTH_TOKEN"], **tokens},
            foreign=tuple(accounts[subaccounts:]),
            senders=made,
        )

    def credentials(self, *, without: Sequence[str] = ()) -> str:
        """Of the accounts that the parent's token does not reach, as TWILIO_ACCOUNTS has them."""
        return json.dumps({sid: {"auth_token": self.tokens[sid]} for sid in self.foreign if sid not in without})

    def settings(self, settings: Settings, *, without: Sequence[str] = ()) -> Settings:
        """The settings of a runner that has these credentials, too."""
        return settings.model_copy(update={"twilio_accounts": SecretStr(self.credentials(without=without))})


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


def _in(senders: Sequence[OwnSender], account: str) -> list[str]:
    return [sender.sent_by for sender in senders if sender.account == account]


def hexadecimal(prefix: str, *parts: object) -> str:
    """A SID or a token that the parts alone decide."""
    return prefix + sha256(":".join(map(str, parts)).encode()).hexdigest()[:32]


def number_of(*parts: object) -> str:
    """Likewise a number."""
    return f"+1205{int(hexadecimal('', *parts)[:12], 16) % 8_000_000 + 2_000_000}"
