"""The credentials for each account: the environment has those of the main account, and a list those of others.

The main account's auth token also reaches its subaccounts' messages, numbers and state (Twilio's API of 2010). An API
key reaches its own account alone. Whether an account is a subaccount only Twilio knows. The list is JSON:

    {"AC…": {"auth_token": "…"}, "AC…": {"api_key_sid": "SK…", "api_key_secret": "…"}}

A wrong entry holds the texts of its account, and nobody else's. A list that cannot be read holds those of all accounts
that only it could reach.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from smsretry.retry.models import Finding
from smsretry.setting_values import ACCOUNT_SID, ApiKeySid, Secret
from smsretry.settings import Settings

_NO_CREDENTIALS: Final = (
    "There are no credentials for account {}: add them to TWILIO_ACCOUNTS. For a subaccount of TWILIO_ACCOUNT_SID it "
    "is enough to set TWILIO_AUTH_TOKEN"
)
_NO_OBJECT: Final = 'must be an object of JSON like {"AC…": {"auth_token": "…"}}'
_NO_ACCOUNT: Final = (
    "has a name that is no account's SID (AC and 32 digits from 0 to f)"
)
_WRONG_ENTRY: Final = (
    "account {}: must have auth_token, or api_key_sid (SK and 32 digits from 0 to f) and api_key_secret, each without "
    "a space or a line break, and nothing else"
)


class NoCredentialsError(Exception):
    """There are no credentials for this account. The message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a request."""

    user: str
    password: str = field(repr=False)


class _Entry(BaseModel):
    """An account's entry in the list."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    auth_token: Secret | None = None
    api_key_sid: ApiKeySid | None = None
    api_key_secret: Secret | None = None

    def login(self, account: str) -> Login | None:
        """The credentials for the account. None: the entry holds none."""
        if self.api_key_sid and self.api_key_secret:
            return Login(self.api_key_sid, self.api_key_secret.get_secret_value())
        token = self.auth_token.get_secret_value() if self.auth_token else ""
        return Login(account, token) if token else None


class Accounts:
    """The accounts that can be reached from here. No message quotes a value of the list but an account's SID."""

    def __init__(self, settings: Settings) -> None:
        self.main: Final = settings.twilio_account_sid
        self._entries = dict[str, _Entry]()
        self._troubles = dict[str, str]()
        """The fault of an account's entry."""
        self._list_trouble: str | None = None
        if settings.twilio_accounts:
            self._read_entries(settings.twilio_accounts.get_secret_value())
        self._entries[self.main] = _Entry.model_construct(
            auth_token=settings.twilio_auth_token,
            api_key_sid=settings.twilio_api_key_sid,
            api_key_secret=settings.twilio_api_key_secret,
        )

    def login(self, account: str) -> Login:
        """The credentials for the account's messages.

        Raises:
            NoCredentialsError: there are none.
        """
        if login := self.own_login(account):
            return login
        # It may be a subaccount, unless the list says otherwise.
        may_be_subaccount = (
            ACCOUNT_SID.fullmatch(account) and account not in self._troubles
        )
        token = self.token(self.main)
        if token and may_be_subaccount:
            return Login(self.main, token)
        raise NoCredentialsError(
            self.trouble(account) or _NO_CREDENTIALS.format(account)
        )

    def own_login(self, account: str) -> Login | None:
        """The account's own credentials, which reach more than its messages."""
        entry = self._entries.get(account)
        return entry.login(account) if entry else None

    def token(self, account: str) -> str | None:
        """The auth token with which the account signs what it posts to a webhook. A subaccount signs with its own."""
        entry = self._entries.get(account)
        if entry and entry.auth_token:
            return entry.auth_token.get_secret_value()
        return None

    def trouble(self, account: str) -> str | None:
        """The fault of the account's entry, or else of the list. None: neither has one."""
        trouble = self._troubles.get(account) or self._list_trouble
        return trouble and f"TWILIO_ACCOUNTS: {trouble}"

    def findings(self) -> Iterator[Finding]:
        """The faults of the list and of its entries."""
        for trouble in (self._list_trouble, *self._troubles.values()):
            if trouble:
                yield Finding(
                    subject="TWILIO_ACCOUNTS",
                    ok=False,
                    advice=trouble,
                )

    def _read_entries(self, text: str) -> None:
        try:
            accounts = json.loads(text)
        except (ValueError, RecursionError):
            accounts = None
        if not isinstance(accounts, dict):
            self._list_trouble = _NO_OBJECT
            return
        for account, value in accounts.items():
            if not ACCOUNT_SID.fullmatch(account):
                self._list_trouble = _NO_ACCOUNT
            elif entry := _entry(account, value):
                self._entries[account] = entry
            else:
                self._troubles[account] = _WRONG_ENTRY.format(account)


def _entry(account: str, value: object) -> _Entry | None:
    try:
        entry = _Entry.model_validate(value)
    except ValidationError:
        return None
    return entry if entry.login(account) else None
