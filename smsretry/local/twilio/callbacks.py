"""What Twilio posts to an application: status callbacks and inbound messages, signed by the SDK's own validator.

It only makes them. Whoever plays Twilio posts them late, twice, in another order, or never.

Sources: "Outbound message status in status callbacks", "Webhook security" and "Advanced opt-out" of Twilio's docs.
"""

import uuid
from dataclasses import dataclass, field
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from smsretry.local.twilio.ledger import Entry
from smsretry.local.twilio.resources import API


@dataclass(frozen=True, slots=True)
class Callback:
    """One POST of Twilio's to an application."""

    url: str = field(repr=False)
    form: dict[str, str] = field(repr=False)
    signature: str = field(repr=False)

    @property
    def body(self) -> bytes:
        """The form as it travels."""
        return urlencode(self.form).encode()

    @property
    def headers(self) -> dict[str, str]:
        """What it travels with."""
        return {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": self.signature}


def status_callback(
    entry: Entry, status: str, error_code: int | None, *, account_sid: str, auth_token: str
) -> Callback:
    """A message has become this. Raises ValueError if it was sent without a StatusCallback."""
    if entry.status_callback is None:
        raise ValueError("The message has no StatusCallback: set TWILIO_STATUS_CALLBACK_URL")
    form = {
        "AccountSid": account_sid,
        "ApiVersion": API,
        "From": entry.sender or "",
        "MessageSid": entry.sid,
        "MessageStatus": status,
        "SmsSid": entry.sid,
        "SmsStatus": status,
        "To": entry.to,
    }
    if entry.messaging_service_sid:
        form["MessagingServiceSid"] = entry.messaging_service_sid
    if error_code is not None:
        form["ErrorCode"] = str(error_code)
    return _signed(entry.status_callback, form, auth_token)


def inbound_message(
    url: str,
    *,
    phone: str,
    body: str,
    to: str,
    opt_out_type: str | None,
    messaging_service_sid: str | None = None,
    account_sid: str,
    auth_token: str,
) -> Callback:
    """Somebody with this number texted one of ours."""
    sid = f"SM{uuid.uuid4().hex}"
    form = {
        "AccountSid": account_sid,
        "ApiVersion": API,
        "Body": body,
        "From": phone,
        "MessageSid": sid,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": to,
    }
    if messaging_service_sid is not None:
        form["MessagingServiceSid"] = messaging_service_sid
    if opt_out_type is not None:
        form["OptOutType"] = opt_out_type
    return _signed(url, form, auth_token)


def _signed(url: str, form: dict[str, str], auth_token: str) -> Callback:
    return Callback(url, form, RequestValidator(auth_token).compute_signature(url, form))
