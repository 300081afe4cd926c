"""The accounts of the Twilio stand-in: a parent, its subaccounts, and accounts of others.

Sources: "Subaccounts" (the parent's auth token reaches its subaccounts' resources of 2010; a subaccount's reaches
neither the parent nor a sister), "API keys" (a key reaches one account, a parent's is nowhere said to reach more,
and only a main key may read `/Accounts`), "Suspended accounts" and the error catalog (20003, 20005, 30023, 30034).
"""

import base64
import binascii
import secrets
import threading
from collections import Counter
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from smsretry.local.twilio.callbacks import Callback, signed
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.segments import segments

_PACIFIC: Final = ZoneInfo("America/Los_Angeles")
_OVER_THE_CAP: Final = 30023


@dataclass(slots=True, kw_only=True)
class Account:
    """What Twilio knows of one account. A test changes it as it pleases."""

    sid: str
    auth_token: str = field(repr=False)
    shared_key: str | None = field(default=None, repr=False)
    """What signs its webhooks while a webhook rule is in force. None: its auth token does."""
    numbers: set[str] = field(default_factory=set, repr=False)
    services: dict[str, set[str]] = field(default_factory=dict, repr=False)
    """Messaging services, each with its numbers."""
    api_keys: dict[str, str] = field(default_factory=dict, repr=False)
    short_codes: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """The short codes of each messaging service."""
    webhooks: dict[str, str] = field(default_factory=dict, repr=False)
    """Where incoming texts go, by the number or messaging service that they come to."""
    voice_only: set[str] = field(default_factory=set, repr=False)
    """Numbers that have no SMS capability."""
    is_trial: bool = False
    balance: str = "20.00"
    owner: "Account | None" = None
    """The parent. None: it is nobody's subaccount."""
    status: Literal["active", "suspended", "closed"] = "active"
    campaigns: dict[str, list[str]] = field(default_factory=dict)
    """The states of the A2P campaigns of each messaging service."""
    refused_by_carriers: dict[str, int] = field(default_factory=dict, repr=False)
    """Twilio's code for all that this sender sends, once it was accepted: 30034 for a number that is not registered."""
    segments_per_day: dict[str, int] = field(default_factory=dict, repr=False)
    """What carriers take of a sender in a day of Pacific time; what is above fails with 30023."""

    @property
    def is_active(self) -> bool:
        """A parent that is suspended suspends its subaccounts."""
        return self.status == "active" and (self.owner is None or self.owner.is_active)

    def sign(self, url: str, form: dict[str, str | None]) -> Callback:
        """What Twilio posts for it."""
        return signed(
            url,
            form,
            account_sid=self.sid,
            auth_token=self.auth_token,
            shared_key=self.shared_key,
        )


class Login(NamedTuple):
    """Credentials that fit."""

    account: Account
    is_token: bool
    """Whether they are the account's auth token, and no API key."""

    def reaches(self, account: Account) -> bool:
        """Whether resources of 2010 of that account are answered."""
        return account is self.account or (
            self.is_token and account.owner is self.account
        )


class Accounts:
    """All accounts, and who may speak for which. Any thread may use it."""

    def __init__(self, main: Account) -> None:
        self.main: Final = main
        self._at_first = asdict(main)
        self._accounts = {main.sid: main}
        self._lock = threading.Lock()
        self._used = Counter[tuple[str, str]]()

    def add(self, account: Account) -> Account:
        """Open an account."""
        self._accounts = {**self._accounts, account.sid: account}
        return account

    def forget_others(self) -> None:
        """Only the first account is left, as it was at first."""
        self._accounts = {self.main.sid: self.main}
        self._used.clear()
        for name, value in deepcopy(self._at_first).items():
            setattr(self.main, name, value)

    def find(self, sid: str) -> Account | None:
        """The account of a SID."""
        return self._accounts.get(sid)

    def of(self, entry: Entry) -> Account:
        """The account that sent a message."""
        return self._accounts.get(entry.account_sid, self.main)

    def owner_of(self, number: str | None) -> Account | None:
        """The account that has a number."""
        return next(
            (
                account
                for account in self._accounts.values()
                if number in account.numbers
            ),
            None,
        )

    def tokens(self) -> dict[str, list[str]]:
        """What signs for each account, as a webhook's settings list it."""
        return {
            sid: [account.shared_key or account.auth_token]
            for sid, account in self._accounts.items()
        }

    def speaker(self, authorization: str) -> Login | None:
        """Whose credentials these are. None: nobody's."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            name, _, secret = (
                base64.b64decode(encoded, validate=True).decode().partition(":")
            )
        except (binascii.Error, UnicodeDecodeError):
            return None
        named = self._accounts.get(name)
        account = named or next(
            (
                account
                for account in self._accounts.values()
                if name in account.api_keys
            ),
            None,
        )
        if account is None or scheme.lower() != "basic":
            return None
        expected = account.auth_token if named else account.api_keys[name]
        is_valid = secrets.compare_digest(expected.encode(), secret.encode())
        return Login(account, is_token=named is not None) if is_valid else None

    def verdict(self, entry: Entry) -> int | None:
        """Twilio's code for an accepted message that carriers do not take. None: they take it."""
        account, sender = self.of(entry), entry.sent_by or ""
        if (
            sender in account.refused_by_carriers
            or sender not in account.segments_per_day
        ):
            return account.refused_by_carriers.get(sender)
        day = sender, f"{entry.accepted_at.astimezone(_PACIFIC):%Y-%m-%d}"
        with self._lock:
            self._used[day] += segments(entry.body)
            return (
                _OVER_THE_CAP
                if self._used[day] > account.segments_per_day[sender]
                else None
            )
