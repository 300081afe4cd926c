"""What Twilio posts to a webhook: whether it is Twilio's, and what it says.

The account that has the message signs, with its own auth token, also if it is a subaccount. What is signed is the
address that Twilio calls, and the form: https://www.twilio.com/docs/usage/security#validating-requests
"""

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
    "The signature fits no address in TWILIO_WEBHOOK_URL or TWILIO_STATUS_CALLBACK_URL, with no auth token of the "
    "account. The address must be written as it is at Twilio, without its query; the token must be the account's own.",
)
_NO_ACCOUNT: Final = RejectedPost(403, "This names no account of Twilio's.")
_UNKNOWN: Final = (
    "There is no auth token for account {}, so its signature cannot be checked: add it to TWILIO_ACCOUNTS or to "
    "TWILIO_AUTH_TOKENS. A subaccount signs with its own."
)
_MOST_FIELDS: Final = 200
"""An incoming text has about twenty, and three more for each picture, of which it has ten at most."""


def read_event(
    settings: Settings,
    addresses: Sequence[str],
    further: Mapping[str, Sequence[str]],
    *,
    query: str,
    form: bytes,
    signature: str,
) -> WebhookEvent | RejectedPost:
    """What Twilio says, or why it is not taken.

    Args:
        settings: the main account, and the list of others.
        addresses: where Twilio calls, each without a query.
        further: more auth tokens of an account, by its SID: two are in use while one is exchanged.
        query: of the address that was called, as it came, without the question mark.
        form: the body.
        signature: of the header X-Twilio-Signature.
    """
    from twilio.request_validator import (
        RequestValidator,
    )  # the SDK is loaded by the first webhook

    fields = _fields(form)
    if fields is None:
        return _NO_FORM
    account = fields.get("AccountSid", "")
    if not ACCOUNT_SID.fullmatch(account):
        return _NO_ACCOUNT
    accounts = Accounts(settings)
    # Everybody knows the empty token.
    tokens = list(filter(None, (accounts.token(account), *further.get(account, ()))))
    if not tokens:
        trouble = accounts.trouble(
            account
        )  # somebody can mend it: Twilio may call again
        return (
            RejectedPost(503, trouble)
            if trouble
            else RejectedPost(403, _UNKNOWN.format(account))
        )
    called = [f"{address}?{query}" if query else address for address in addresses]
    if not any(
        RequestValidator(token).validate(url, fields, signature)
        for token in tokens
        for url in called
    ):
        return _FORGED
    return _event_of(fields, account, query)


def _fields(form: bytes) -> dict[str, str] | None:
    """The form; None if it is none, or says something twice: which of both counts would be anybody's guess."""
    try:
        pairs = parse_qsl(
            form.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:  # of UnicodeDecodeError, too
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None


def _event_of(
    fields: Mapping[str, str], account: str, query: str
) -> WebhookEvent | RejectedPost:
    sid, status, phone = (
        fields.get("MessageSid"),
        fields.get("MessageStatus"),
        fields.get("From"),
    )
    if sid and status:
        return StatusReport(
            _attempt(query), sid, status, _number(fields.get("ErrorCode")), account
        )
    if (
        sid
        and phone
        and fields.get("SmsStatus", "received") in ("received", "receiving")
    ):
        # PostgreSQL's text holds no NUL, and a STOP with one is a STOP.
        body = fields["Body"].replace("\0", "") if "Body" in fields else None
        keyword, to, service = (
            fields.get(name) for name in ("OptOutType", "To", "MessagingServiceSid")
        )
        return IncomingText(sid, phone, body, keyword, to, service, account)
    return _NO_MESSAGE


def _attempt(query: str) -> UUID | None:
    """The attempt's id. The application's own callbacks have none, or something else of that name."""
    try:
        return UUID(parse_qs(query)["attempt"][-1])
    except (KeyError, ValueError):
        return None


def _number(code: str | None) -> int | None:
    return (
        int(code)
        if code and code.isascii() and code.isdecimal() and len(code) < 10
        else None
    )
