"""The settings of the webhook: where Twilio calls it, and the auth tokens with which Twilio signs."""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from smsretry.setting_values import ACCOUNT_SID, CHOICE, Secret, in_one_piece
from smsretry.settings import Settings

_ADDRESS: Final = (
    "must be the address that Twilio calls, https://<host>/<path>, without a query; several are separated by spaces"
)
_ACCOUNT: Final = re.compile(ACCOUNT_SID)
_TOKENS: Final = 'must be JSON like {"AC…": "token", "AC…": ["token", "another"]}'


class WebhookSettings(Settings):
    """The runner's settings, of which it needs the database, the accounts and the auth tokens, and two of its own."""

    twilio_auth_token: Secret
    """Twilio signs with it. An API key signs nothing."""
    twilio_auth_tokens: SecretStr | None = None
    """Further auth tokens by account: of subaccounts, and the next one of an account that exchanges its token."""
    twilio_webhook_url: str | None = Field(None, validate_default=True)
    """Where Twilio calls, as it is written at Twilio."""

    @property
    def addresses(self) -> list[str]:
        """Where Twilio calls, each without a query."""
        callback = str(self.twilio_status_callback_url or "").partition("#")[0].partition("?")[0]
        return list(dict.fromkeys(filter(None, [*(self.twilio_webhook_url or "").split(), callback])))

    @property
    def tokens(self) -> dict[str, list[str]]:
        """The further auth tokens, by account."""
        return _read(self.twilio_auth_tokens) if self.twilio_auth_tokens else {}

    @field_validator("twilio_from_number")
    @classmethod
    def _one_sender(cls, number: str | None, _: ValidationInfo) -> str | None:
        """In place of the runner's check: a webhook sends nothing, and needs no sender."""
        return number

    @field_validator("twilio_auth_tokens")
    @classmethod
    def _readable(cls, given: SecretStr | None) -> SecretStr | None:
        if given:
            _read(given)
        return given

    @field_validator("twilio_webhook_url")
    @classmethod
    def _some_address(cls, given: str | None, info: ValidationInfo) -> str | None:
        addresses = (given or "").split()
        if not addresses and info.data.get("twilio_status_callback_url", "") is None:
            raise PydanticCustomError(CHOICE, "Set TWILIO_WEBHOOK_URL, or TWILIO_STATUS_CALLBACK_URL")
        if not all(_is_address(address) for address in addresses):
            raise ValueError(_ADDRESS)
        return given


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, too
        return False
    return usable and not set("?#,") & set(text)


def _read(given: SecretStr) -> dict[str, list[str]]:
    """The list. Raises ValueError, and quotes nothing of it."""
    try:
        entries: Any = json.loads(given.get_secret_value())
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict) or not all(map(_ACCOUNT.fullmatch, entries)):
        raise ValueError(_TOKENS)
    found = {account: [entry] if isinstance(entry, str) else entry for account, entry in entries.items()}
    for several in found.values():
        if not isinstance(several, list) or not all(isinstance(token, str) for token in several):
            raise ValueError(_TOKENS)
        for token in several:
            in_one_piece(SecretStr(token))
    # An empty one would be a token that everybody knows.
    return {account: [token for token in several if token] for account, several in found.items()}
