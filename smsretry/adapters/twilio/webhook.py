"""What Twilio posts to a webhook: whether it is Twilio's, and what it says.

The account that has the message signs with its own auth token, also if it is a subaccount, or with a shared key while a
webhook rule is in force. Both sign the address that Twilio calls, and the form.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, parse_qsl
from uuid import UUID

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.sending.webhook_events import (
    IncomingText,
    RejectedPost,
    StatusReport,
    WebhookEvent,
)
from smsretry.setting_values import ACCOUNT_SID
from smsretry.settings import Settings

_NO_FORM: Final = RejectedPost(
    400,
    "This is not the form of one message: each field must be there once, and no more.",
)
_NO_MESSAGE: Final = RejectedPost(
    422, "This is about no text message: give its webhook another address at Twilio."
)
_FORGED: Final = RejectedPost(
    403,
    "The signature fits no address in TWILIO_WEBHOOK_URL or TWILIO_STATUS_CALLBACK_URL, with no auth token or shared "
    "key of the account. The address must be written as it is at Twilio, without its query; the token or key must be "
    "the account's own.",
)
_NO_ACCOUNT: Final = RejectedPost(403, "This names no account of Twilio's.")
_UNKNOWN_ACCOUNT: Final = (
    "There is no auth token for account {}, so its signature cannot be checked: add it to TWILIO_ACCOUNTS or to "
    "TWILIO_AUTH_TOKENS. A subaccount signs with its own."
)
_MOST_FIELDS: Final = 200
"""An incoming text has about twenty, and three more for each picture, of which it has ten at most."""


def read_event(
    settings: Settings,
    addresses: Sequence[str],
    more_tokens: Mapping[str, Sequence[str]],
    *,
    query: str,
    form: bytes,
    signature: str,
    signature_settings: str = "",
) -> WebhookEvent | RejectedPost:
    """The event that Twilio reports, or why the post is refused.

    Args:
        settings: the main account, and the list of others.
        addresses: where Twilio calls, each without a query.
        more_tokens: more auth tokens and the shared keys of an account, by its SID.
        query: the query of the address that was called, as it came, without the question mark.
        form: the body.
        signature: the header X-Twilio-Signature.
        signature_settings: the header X-Twilio-Webhooks-Signature-Settings, which names a shared key's algorithm.
    """
    # The first webhook loads the SDK.
    from twilio.request_validator import (
        HMAC_SHA1,
        HMAC_SHA256,
        RequestValidator,
        get_signature_algorithm,
    )

    fields = _fields(form)
    if fields is None:
        return _NO_FORM
    account = fields.get("AccountSid", "")
    if not ACCOUNT_SID.fullmatch(account):
        return _NO_ACCOUNT
    accounts = Accounts(settings)
    # Everybody knows the empty token.
    tokens = filter(None, [accounts.token(account), *more_tokens.get(account, ())])
    validators = [RequestValidator(token) for token in tokens]
    if not validators:
        if trouble := accounts.trouble(account):
            # Somebody can mend it, so Twilio may call again.
            return RejectedPost(503, trouble)
        return RejectedPost(403, _UNKNOWN_ACCOUNT.format(account))
    algorithm = get_signature_algorithm(signature_settings)
    # The SDK would log what anybody may have written there.
    if algorithm not in (HMAC_SHA1, HMAC_SHA256):
        return _FORGED
    for address in addresses:
        url = f"{address}?{query}".removesuffix("?")
        if any(
            validator.validate(url, fields, signature, algorithm)
            for validator in validators
        ):
            return _event_of(fields, account, query)
    return _FORGED


def _fields(form: bytes) -> dict[str, str] | None:
    """The fields. None: it is no form, or has a field twice, and nobody knows which of them counts."""
    try:
        pairs = parse_qsl(
            form.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:  # UnicodeDecodeError, too
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None


def _event_of(
    fields: Mapping[str, str], account: str, query: str
) -> WebhookEvent | RejectedPost:
    sid = fields.get("MessageSid")
    status = fields.get("MessageStatus")
    phone = fields.get("From")
    is_incoming = fields.get("SmsStatus", "received") in ("received", "receiving")
    if sid and status:
        return StatusReport(
            attempt_id=_attempt_id(query),
            twilio_sid=sid,
            delivery_status=status,
            error_code=_error_code(fields.get("ErrorCode", "")),
            account_sid=account,
        )
    if not (sid and phone and is_incoming):
        return _NO_MESSAGE
    body = fields.get("Body")
    return IncomingText(
        twilio_sid=sid,
        phone=phone,
        # PostgreSQL's text holds no NUL, and a STOP with one is a STOP.
        body=body and body.replace("\0", ""),
        opt_out_type=fields.get("OptOutType"),
        to_number=fields.get("To"),
        messaging_service_sid=fields.get("MessagingServiceSid"),
        account_sid=account,
    )


def _attempt_id(query: str) -> UUID | None:
    """The attempt's id. The application's own callbacks have none, or something else of that name."""
    try:
        return UUID(parse_qs(query)["attempt"][-1])
    except (KeyError, ValueError):
        return None


def _error_code(code: str) -> int | None:
    return int(code) if re.fullmatch("[0-9]{1,9}", code) else None
