"""The settings of the webhook: where Twilio calls it, and the tokens and keys with which Twilio signs."""

import re
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, Json, SecretStr, field_validator

from smsretry.setting_values import AccountSid, Secret
from smsretry.settings import Settings

_ADDRESS: Final = re.compile(r"https?://[^\s/?#,]+(/[^\s?#,]*)?")
_NO_ADDRESS: Final = (
    "must be the address that Twilio calls, https://<host>/<path>, without a query; "
    "several are separated by spaces"
)
_NO_TOKENS: Final[Any] = "{}"  # as the variable would say it


def _as_list(tokens: Any) -> Any:
    return [tokens] if isinstance(tokens, str) else tokens


Tokens = Annotated[list[Secret], BeforeValidator(_as_list)]


class WebhookSettings(Settings):
    """The runner's settings and two of its own. It sends nothing, and needs no sender."""

    CHOICES: ClassVar = [[["TWILIO_WEBHOOK_URL"], ["TWILIO_STATUS_CALLBACK_URL"]]]

    twilio_auth_token: Secret
    """Twilio signs with it. An API key signs nothing."""
    twilio_auth_tokens: Json[dict[AccountSid, Tokens]] = Field(_NO_TOKENS)
    """Further secrets that sign, by account, one or a list: a subaccount's auth token, the next one of an account that
    exchanges its token, and shared keys."""
    twilio_webhook_url: str | None = None
    """The address that Twilio calls, as it is written at Twilio."""

    @property
    def addresses(self) -> list[str]:
        """The addresses that Twilio calls, each without a query."""
        callback = urlsplit(str(self.twilio_status_callback_url or ""))
        addresses = [
            *(self.twilio_webhook_url or "").split(),
            callback._replace(query="", fragment="").geturl(),
        ]
        return list(dict.fromkeys(filter(None, addresses)))

    @property
    def tokens(self) -> dict[str, list[str]]:
        """The further auth tokens and shared keys, by account."""
        tokens_by_account: dict[str, list[SecretStr]] = self.twilio_auth_tokens
        return {
            account: [token.get_secret_value() for token in tokens]
            for account, tokens in tokens_by_account.items()
        }

    @field_validator("twilio_webhook_url")
    @classmethod
    def _addresses(cls, addresses: str | None) -> str | None:
        if not all(map(_ADDRESS.fullmatch, (addresses or "").split())):
            raise ValueError(_NO_ADDRESS)
        return addresses
