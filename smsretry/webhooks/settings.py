"""The settings of the webhook: where Twilio calls it, and the auth tokens with which Twilio signs."""

import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, Json, SecretStr, field_validator

from smsretry.setting_values import AccountSid, Secret
from smsretry.settings import Settings

_ADDRESS: Final = re.compile(r"https?://[^\s/?#,]+(/[^\s?#,]*)?")
_NO_ADDRESS: Final = (
    "must be the address that Twilio calls, https://<host>/<path>, without a query; "
    "several are separated by spaces"
)
_NO_TOKENS: Final[Any] = "{}"  # as the variable would say it


def _listed(tokens: Any) -> Any:
    return [tokens] if isinstance(tokens, str) else tokens


Tokens = Annotated[list[Secret], BeforeValidator(_listed)]


class WebhookSettings(Settings):
    """The runner's settings, of which it needs the database, the accounts and the auth tokens, and two of its own.

    It sends nothing, and needs no sender.
    """

    CHOICES: ClassVar = [[["TWILIO_WEBHOOK_URL"], ["TWILIO_STATUS_CALLBACK_URL"]]]

    twilio_auth_token: Secret
    """Twilio signs with it. An API key signs nothing."""
    twilio_auth_tokens: Json[dict[AccountSid, Tokens]] = Field(_NO_TOKENS)
    """Further auth tokens by account, one or a list: of subaccounts, and the next one of an account that exchanges its
    token."""
    twilio_webhook_url: str | None = None
    """The address that Twilio calls, as it is written at Twilio."""

    @property
    def addresses(self) -> list[str]:
        """The addresses that Twilio calls, each without a query."""
        callback = (
            str(self.twilio_status_callback_url or "")
            .partition("#")[0]
            .partition("?")[0]
        )
        return list(
            dict.fromkeys(
                filter(None, [*(self.twilio_webhook_url or "").split(), callback])
            )
        )

    @property
    def tokens(self) -> dict[str, list[str]]:
        """The further auth tokens, by account."""
        listed: dict[str, list[SecretStr]] = self.twilio_auth_tokens
        return {
            sid: [token.get_secret_value() for token in tokens]
            for sid, tokens in listed.items()
        }

    @field_validator("twilio_webhook_url")
    @classmethod
    def _addresses(cls, addresses: str | None) -> str | None:
        if not all(map(_ADDRESS.fullmatch, (addresses or "").split())):
            raise ValueError(_NO_ADDRESS)
        return addresses
