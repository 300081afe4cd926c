"""What Twilio refuses before it creates a message: required parameters, formats, and senders of others.

Sources: Twilio's error catalog (code and title of each), the OpenAPI description of Messages (limits). Of the magic
numbers of "Test Credentials" only the one is known that nobody can have.
The texts quote the phone number because Twilio's do; callers must not pass them on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import phonenumbers

from smsretry.local.twilio.accounts import Account, Accounts
from smsretry.local.twilio.ledger import Request

_MAX_BODY_UNITS: Final = 1600  # counted in UTF-16 units: error 21617 says an emoji counts as several characters
_MAX_CALLBACK_CHARACTERS: Final = 4000
_MAX_VALIDITY_SECONDS: Final = 36_000
_NO_NUMBER: Final = "+15005550001"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of Twilio, under HTTP 400: nothing was created."""

    code: int
    message: str


def check_request(form: Mapping[str, str], account: Account, accounts: Accounts) -> Request | Refusal:
    """Judge the form of one `POST Messages`. The first rule broken, in this order, is the answer."""
    to, sender, service = form.get("To", ""), form.get("From") or None, form.get("MessagingServiceSid") or None
    number = _e164(to)
    if not to:
        return Refusal(21604, "A 'To' phone number is required.")
    if number is None or number == _NO_NUMBER:
        return Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
    refusal = (
        _check_sender(sender, service, account, accounts) or _check_body(form.get("Body", "")) or _check_options(form)
    )
    if refusal is not None:
        return refusal
    validity = form.get("ValidityPeriod")
    return Request(
        to=number,
        sender=sender,
        messaging_service_sid=service,
        body=form["Body"],
        status_callback=form.get("StatusCallback") or None,
        validity_period=timedelta(seconds=int(validity)) if validity else None,
    )


def _check_sender(sender: str | None, service: str | None, account: Account, accounts: Accounts) -> Refusal | None:
    if sender is None and service is None:
        return Refusal(21603, "A 'From' phone number is required.")
    if service is not None and not re.fullmatch(r"MG[0-9a-f]{32}", service):
        return Refusal(21705, f"The Messaging Service Sid {service} is invalid.")
    if service is not None and service not in account.services:
        return Refusal(21701, f"The Messaging Service {service} does not exist.")
    if service is not None and not account.services[service]:
        return Refusal(21704, f"The Messaging Service {service} contains no phone numbers.")
    if sender is None or sender in account.numbers:
        return None
    if accounts.owner_of(sender):
        return Refusal(21660, f"Mismatch between the 'From' number {sender} and the account.")
    if _e164(sender) is None:
        return Refusal(21212, f"The 'From' number {sender} is not a valid phone number, shortcode, or sender ID.")
    return Refusal(21606, f"The From phone number {sender} is not an SMS-capable number of your account.")


def _check_body(body: str) -> Refusal | None:
    if not body:
        return Refusal(21602, "Message body is required.")
    if len(body.encode("utf-16-le", "surrogatepass")) // 2 > _MAX_BODY_UNITS:
        return Refusal(21617, f"The concatenated message body exceeds the {_MAX_BODY_UNITS} character limit.")
    return None


def _check_options(form: Mapping[str, str]) -> Refusal | None:
    callback, validity = form.get("StatusCallback"), form.get("ValidityPeriod")
    if callback and (len(callback) > _MAX_CALLBACK_CHARACTERS or not _is_web_address(callback)):
        return Refusal(21609, "The 'StatusCallback' URL is not a valid URL.")
    if validity and not (re.fullmatch(r"[0-9]{1,5}", validity) and 1 <= int(validity) <= _MAX_VALIDITY_SECONDS):
        return Refusal(21624, f"Invalid validity period value: it must be from 1 to {_MAX_VALIDITY_SECONDS} seconds.")
    return None


def _e164(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
