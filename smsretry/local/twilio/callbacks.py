"""What Twilio posts to an application: status callbacks and inbound messages, signed by the SDK's own validator.

It only makes them. Whoever plays Twilio posts them late, twice, in another order, or never.

Sources: "Outbound message status in status callbacks", "Webhook security", "Sign webhooks with shared keys" and
"Advanced opt-out" of Twilio's docs.
"""

import uuid
from dataclasses import dataclass, field
from urllib.parse import urlencode

from twilio.request_validator import (
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
)

from smsretry.local.twilio.ledger import Entry


@dataclass(frozen=True, slots=True)
class Callback:
    """One POST of Twilio's to an application."""

    url: str = field(repr=False)
    form: dict[str, str] = field(repr=False)
    signature: str = field(repr=False)
    signature_settings: str = ""
    """The shared key that signed it, and how. Empty: the auth token did."""

    @property
    def body(self) -> bytes:
        """The form as it travels."""
        return urlencode(self.form).encode()

    @property
    def headers(self) -> dict[str, str]:
        """What it travels with."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": self.signature,
        }
        if self.signature_settings:
            headers[SIGNATURE_SETTINGS_HEADER] = self.signature_settings
        return headers


def signed(
    url: str,
    form: dict[str, str | None],
    *,
    account_sid: str,
    auth_token: str,
    shared_key: str | None = None,
) -> Callback:
    """What this account posts, without the fields that have no value.

    Args:
        shared_key: what signs instead of the auth token while a webhook rule is in force.
    """
    fields = {"AccountSid": account_sid, "ApiVersion": "2010-04-01", **form}
    posted = {name: value for name, value in fields.items() if value is not None}
    algorithm = HMAC_SHA256 if shared_key else HMAC_SHA1
    signature = RequestValidator(shared_key or auth_token).compute_signature(
        url, posted, algorithm
    )
    settings = f"key=webhooks_sharedkey_1,algorithm={algorithm}" if shared_key else ""
    return Callback(url, posted, signature, settings)


def status_form(
    entry: Entry, status: str, error_code: int | None
) -> dict[str, str | None]:
    """A message has become this."""
    return {
        "ErrorCode": None if error_code is None else str(error_code),
        "From": entry.sender or "",
        "MessageSid": entry.sid,
        "MessageStatus": status,
        "MessagingServiceSid": entry.messaging_service_sid,
        "SmsSid": entry.sid,
        "SmsStatus": status,
        "To": entry.to,
    }


def inbound_form(
    *,
    phone: str,
    body: str,
    to: str,
    opt_out_type: str | None,
    messaging_service_sid: str | None,
) -> dict[str, str | None]:
    """Somebody with this number texted one of ours."""
    sid = f"SM{uuid.uuid4().hex}"
    return {
        "Body": body,
        "From": phone,
        "MessageSid": sid,
        "MessagingServiceSid": messaging_service_sid,
        "NumMedia": "0",
        "NumSegments": "1",
        "OptOutType": opt_out_type,
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": to,
    }
