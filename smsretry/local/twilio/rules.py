"""What Twilio refuses before it creates a message: required parameters, formats, and senders of others.

Sources: Twilio's error catalog (code and title of each), the OpenAPI description of Messages (limits). Of the magic
numbers of "Test Credentials" only the one is known that nobody can have.
The texts quote the phone number because Twilio's do; callers must not pass them on.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

import phonenumbers

from smsretry.local.twilio.accounts import Account, Accounts

Refusal: TypeAlias = tuple[int, str]
"""The code and the message of an error of Twilio's, under HTTP 400."""
_MAX_BODY_UNITS: Final = 1600  # counted in UTF-16 units: error 21617 says an emoji counts as several characters
_CALLBACK: Final = re.compile(r"(?=.{1,4000}$)https?://[^/?#\s]+\S*")
_MAX_VALIDITY_SECONDS: Final = 36_000
_NO_NUMBER: Final = "+15005550001"


def refusal(
    form: Mapping[str, str], account: Account, accounts: Accounts
) -> Refusal | None:
    """Judge the form of one `POST Messages`: the first rule broken, in this order. None: it creates a message."""
    to = form.get("To")
    if not to:
        return 21604, "A 'To' phone number is required."
    if e164(to) in (None, _NO_NUMBER):
        return 21211, f"The 'To' number {to} is not a valid phone number."
    sender, service = form.get("From") or None, form.get("MessagingServiceSid") or None
    return _of_sender(sender, service, account, accounts) or _of_text(form)


def _of_sender(
    sender: str | None, service: str | None, account: Account, accounts: Accounts
) -> Refusal | None:
    if sender is None and service is None:
        return 21603, "A 'From' phone number is required."
    if service is not None and not re.fullmatch(r"MG[0-9a-f]{32}", service):
        return 21705, f"The Messaging Service Sid {service} is invalid."
    if service is not None and service not in account.services:
        return 21701, f"The Messaging Service {service} does not exist."
    if service is not None and not account.services[service]:
        return 21704, f"The Messaging Service {service} contains no phone numbers."
    if sender is None or sender in account.numbers:
        return None
    if accounts.owner_of(sender):
        return 21660, f"Mismatch between the 'From' number {sender} and the account."
    if e164(sender) is None:
        return (
            21212,
            f"The 'From' number {sender} is not a valid phone number, shortcode, or sender ID.",
        )
    return (
        21606,
        f"The From phone number {sender} is not an SMS-capable number of your account.",
    )


def _of_text(form: Mapping[str, str]) -> Refusal | None:
    body, callback, validity = (
        form.get(name) for name in ("Body", "StatusCallback", "ValidityPeriod")
    )
    if not body:
        return 21602, "Message body is required."
    if len(body.encode("utf-16-le", "surrogatepass")) // 2 > _MAX_BODY_UNITS:
        return (
            21617,
            f"The concatenated message body exceeds the {_MAX_BODY_UNITS} character limit.",
        )
    if callback and not _CALLBACK.fullmatch(callback):
        return 21609, "The 'StatusCallback' URL is not a valid URL."
    if validity and not (
        re.fullmatch(r"[0-9]{1,5}", validity)
        and 1 <= int(validity) <= _MAX_VALIDITY_SECONDS
    ):
        return (
            21624,
            f"Invalid validity period value: it must be from 1 to {_MAX_VALIDITY_SECONDS} seconds.",
        )
    return None


def e164(text: str) -> str | None:
    """The number as Twilio writes it. None: it is none."""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
