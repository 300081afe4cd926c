"""Whose credentials reach which account: those of the environment, and those of other accounts in a list.

The main account's auth token also reaches its subaccounts' messages, numbers and state (Twilio's API of 2010). An API
key reaches its own account alone. Whether an account is a subaccount only Twilio knows. The list is JSON:

    {"AC…": {"auth_token": "…"}, "AC…": {"api_key_sid": "SK…", "api_key_secret": "…"}}

What is wrong with one account's entry holds that account's texts, and nobody else's.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from smsretry.retry.models import Finding
from smsretry.setting_values import ACCOUNT_SID, ApiKeySid, Secret
from smsretry.settings import Settings

_NONE: Final = (
    "There are no credentials for account {}: add them to TWILIO_ACCOUNTS. For a subaccount of TWILIO_ACCOUNT_SID it "
    "is enough to set TWILIO_AUTH_TOKEN"
)
_LIST: Final = 'must be an object of JSON like {"AC…": {"auth_token": "…"}}'
_ENTRY: Final = (
    "account {}: must have auth_token, or api_key_sid (SK and 32 digits from 0 to f) and api_key_secret, each without "
    "a space or a line break, and nothing else"
)


class NoCredentialsError(Exception):
    """There are none for this account. Its message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a request."""

    user: str
    password: str = field(repr=False)


class _Entry(BaseModel):
    """An account's entry in the list."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    auth_token: Secret | None = None
    api_key_sid: ApiKeySid | None = None
    api_key_secret: Secret | None = None

    def login(self, account: str) -> Login | None:
        """The credentials for the account. None: the entry does not say."""
        if self.api_key_sid and self.api_key_secret:
            return Login(self.api_key_sid, self.api_key_secret.get_secret_value())
        token = self.auth_token.get_secret_value() if self.auth_token else ""
        return Login(account, token) if token else None


class Accounts:
    """The accounts that can be reached from here. What is said of the list quotes no value."""

    def __init__(self, settings: Settings) -> None:
        self.main: Final = settings.twilio_account_sid
        self._entries = dict[str, _Entry]()
        self._troubles = dict[str, str]()
        """The fault of an account's entry, or, without an account, of the list."""
        self._read_entries(
            settings.twilio_accounts.get_secret_value()
            if settings.twilio_accounts
            else "{}"
        )
        self._entries[self.main] = _Entry.model_construct(
            auth_token=settings.twilio_auth_token,
            api_key_sid=settings.twilio_api_key_sid,
            api_key_secret=settings.twilio_api_key_secret,
        )

    def login(self, account: str) -> Login:
        """The credentials for the account's messages.

        Raises:
            NoCredentialsError: nothing does.
        """
        if login := self.own_login(account):
            return login
        if (
            (token := self.token(self.main))
            and ACCOUNT_SID.fullmatch(account)
            and account not in self._troubles
        ):
            return Login(self.main, token)
        raise NoCredentialsError(self.trouble(account) or _NONE.format(account))

    def own_login(self, account: str) -> Login | None:
        """The account's own credentials, which reach more than its messages."""
        entry = self._entries.get(account)
        return entry.login(account) if entry else None

    def token(self, account: str) -> str | None:
        """The auth token with which the account signs what it posts to a webhook. A subaccount signs with its own."""
        entry = self._entries.get(account)
        return (
            entry.auth_token.get_secret_value() if entry and entry.auth_token else None
        )

    def trouble(self, account: str) -> str | None:
        """Why nothing is known of the account: its entry is wrong, or the list is. None: it is not in the list."""
        trouble = self._troubles.get(account) or self._troubles.get("")
        return trouble and f"TWILIO_ACCOUNTS: {trouble}"

    def findings(self) -> Iterator[Finding]:
        """The fault of the list."""
        for trouble in self._troubles.values():
            yield Finding(subject="TWILIO_ACCOUNTS", ok=False, advice=trouble)

    def _read_entries(self, text: str) -> None:
        try:
            accounts = json.loads(text)
        except (ValueError, RecursionError):
            accounts = None
        if not isinstance(accounts, dict):
            self._troubles[""] = _LIST
            return
        for account, entry_given in accounts.items():
            if not ACCOUNT_SID.fullmatch(account):
                self._troubles[""] = (
                    "has a name that is no account's SID (AC and 32 digits from 0 to f)"
                )
            elif entry := _entry(account, entry_given):
                self._entries[account] = entry
            else:
                self._troubles[account] = _ENTRY.format(account)


def _entry(account: str, value: object) -> _Entry | None:
    try:
        entry = _Entry.model_validate(value)
    except ValidationError:
        return None
    return entry if entry.login(account) else None
