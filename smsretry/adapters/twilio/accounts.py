"""Whose credentials reach which account: those of the environment, and those of other accounts in a list.

The main account's auth token also reaches its subaccounts' messages, numbers and state (Twilio's API of 2010). An API
key reaches its own account alone. Whether an account is a subaccount only Twilio knows. The list is one variable or one
file of JSON. Each run reads it anew, so a secret is rotated by changing the file:

    {"AC…": {"auth_token": "…"}, "AC…": {"api_key_sid": "SK…", "api_key_secret": "…"}}

What is wrong with one account's entry holds that account's texts, and nobody else's.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from smsretry.retry.models import Finding
from smsretry.setting_values import ACCOUNT_SID, API_KEY_SID, in_one_piece
from smsretry.settings import Settings

ACCOUNT: Final = re.compile(ACCOUNT_SID)
_KEY: Final = re.compile(API_KEY_SID)
_FIELDS: Final = {"auth_token", "api_key_sid", "api_key_secret"}
_NONE: Final = (
    "There are no credentials for account {}: add them to TWILIO_ACCOUNTS, or to the file that TWILIO_ACCOUNTS_FILE "
    "names. For a subaccount of TWILIO_ACCOUNT_SID it is enough to set TWILIO_AUTH_TOKEN"
)


class NoCredentialsError(Exception):
    """There are none for this account. Its message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a request authenticates with."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The list, read entry by entry."""

    logins: dict[str, Login] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """The auth tokens of the accounts whose entry has one."""
    troubles: dict[str, str] = field(default_factory=dict)
    """What is wrong with an account's entry."""
    trouble: str | None = None
    """What is wrong with the list."""


class Accounts:
    """The accounts that can be reached from here."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.main: Final = settings.twilio_account_sid

    def login(self, account: str) -> Login:
        """What reaches the account's messages.

        Raises:
            NoCredentialsError: nothing does.
        """
        if own := self.own(account):
            return own
        if account in self._listed.troubles:
            raise NoCredentialsError(f"{self._variable}: {self._listed.troubles[account]}")
        if (token := self._settings.twilio_auth_token) and ACCOUNT.fullmatch(account):
            return Login(self.main, token.get_secret_value())
        trouble = self._listed.trouble
        raise NoCredentialsError(f"{self._variable}: {trouble}" if trouble else _NONE.format(account))

    def own(self, account: str) -> Login | None:
        """The account's own credentials, which reach more than its messages."""
        if account != self.main:
            return self._listed.logins.get(account)
        key, secret = self._settings.twilio_api_key_sid, self._settings.twilio_api_key_secret
        if key and secret:
            return Login(key, secret.get_secret_value())
        token = self._settings.twilio_auth_token
        return Login(self.main, token.get_secret_value() if token else "")

    def tokens(self, account: str) -> Iterator[str]:
        """The auth token with which the account signs what it posts to a webhook. A subaccount signs with its own."""
        known = dict(self._listed.tokens)
        if token := self._settings.twilio_auth_token:
            known[self.main] = token.get_secret_value()
        yield from (token for sid, token in known.items() if sid.lower() == account.lower())

    def trouble(self, account: str) -> str | None:
        """Why nothing is known of the account: its entry is wrong, or the list is. None: it is not in the list."""
        trouble = self._listed.troubles.get(account) or self._listed.trouble
        return trouble and f"{self._variable}: {trouble}"

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the list."""
        for advice in filter(None, (self._listed.trouble, *self._listed.troubles.values())):
            yield Finding(subject=self._variable, ok=False, advice=advice)
        if self.main in self._listed.logins:
            advice = f"has an entry for {self.main}, which is not used: TWILIO_ACCOUNT_SID has variables of its own"
            yield Finding(subject=self._variable, ok=True, advice=advice)

    @cached_property
    def _listed(self) -> _Listed:
        given, file = self._settings.twilio_accounts, self._settings.twilio_accounts_file
        if given:
            return _read(given.get_secret_value())
        if not file:
            return _Listed()
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            return _Listed(trouble=f"the file cannot be read ({type(error).__name__})")
        return _read(text)

    @property
    def _variable(self) -> str:
        return "TWILIO_ACCOUNTS_FILE" if self._settings.twilio_accounts_file else "TWILIO_ACCOUNTS"


def _read(text: str) -> _Listed:
    """Read the list. What it says of troubles quotes no value, and no name that is not an account's SID."""
    try:
        entries = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return _Listed(trouble='is not JSON like {"AC…": {"auth_token": "…"}}')
    if not isinstance(entries, _Pairs):
        return _Listed(trouble='must be an object like {"AC…": {"auth_token": "…"}}')
    listed, trouble = _Listed(), None
    for number, (account, entry) in enumerate(entries.pairs, start=1):
        if not ACCOUNT.fullmatch(account):
            trouble = trouble or f"entry {number} has a name that is no account's SID (AC and 32 digits from 0 to f)"
        elif account in listed.logins or account in listed.troubles:
            listed.logins.pop(account, None)
            listed.tokens.pop(account, None)
            listed.troubles[account] = f"has more than one entry for account {account}"
        elif isinstance(login := _login(account, entry), Login):
            listed.logins[account] = login
            if token := dict(entry.pairs).get("auth_token"):
                listed.tokens[account] = token
        else:
            listed.troubles[account] = f"account {account}: {login}"
    return replace(listed, trouble=trouble)


class _Pairs:
    """An object of JSON with all its names, also those that come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _login(account: str, entry: object) -> Login | str:
    """An account's login, or what is wrong with its entry."""
    values = dict(entry.pairs) if isinstance(entry, _Pairs) else {}
    token, key, secret = (values.get(name) for name in ("auth_token", "api_key_sid", "api_key_secret"))
    if not values or set(values) - _FIELDS or not (token or (key and secret)):
        return "must have auth_token, or api_key_sid and api_key_secret, and nothing else"
    for name, value in values.items():
        if not isinstance(value, str):
            return f"{name} must be a string"
        try:
            in_one_piece(SecretStr(value))
        except ValueError as error:
            return f"{name} {error}"
    if key and not _KEY.fullmatch(key):
        return "api_key_sid must be SK and 32 digits from 0 to f, as the Twilio console shows it"
    return Login(key, secret) if key and secret else Login(account, str(token))
