"""What Twilio refuses before it creates a message: required parameters, formats, and the magic numbers.

Sources: Twilio's error catalog (code and title of each), "Test Credentials" (the magic numbers), the OpenAPI
description of Messages (limits). Unlike Twilio's test credentials, the magic numbers work beside ordinary ones.
The texts quote the phone number because Twilio's do; callers must not pass them on.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import phonenumbers

from smsretry.local.twilio.ledger import Request

MAGIC_SENDER: Final = "+15005550006"
"""The one magic `From` that passes all validation."""

_MAX_BODY_UNITS: Final = 1600  # counted in UTF-16 units: error 21617 says an emoji counts as several characters
_MAX_CALLBACK_CHARACTERS: Final = 4000
_MAX_VALIDITY_SECONDS: Final = 36_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of Twilio: nothing was created."""

    code: int
    message: str
    http_status: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """What the account may send from: E.164 numbers, and messaging services."""

    numbers: Collection[str]
    services: Mapping[str, Collection[str]]
    """Messaging services, each with its numbers."""
    others: Callable[[str], bool] = field(default=lambda _: False)
    """Whether a number is another account's."""


def check_request(form: Mapping[str, str], senders: Senders) -> Request | Refusal:
    """Judge the form of one `POST Messages`. The first rule broken, in this order, is the answer."""
    to, sender, service = form.get("To", ""), form.get("From") or None, form.get("MessagingServiceSid") or None
    number = _e164(to)
    if not to:
        return Refusal(21604, "A 'To' phone number is required.")
    if number is None or number == "+15005550001":
        return Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
    refusal = (
        _check_sender(sender, service, senders)
        or _check_content(form.get("Body", ""))
        or _check_options(form)
        or _check_reach(number, sender)
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


def _check_sender(sender: str | None, service: str | None, senders: Senders) -> Refusal | None:
    if sender is None and service is None:
        return Refusal(21603, "A 'From' phone number is required.")
    if service is not None and not re.fullmatch(r"MG[0-9a-f]{32}", service):
        return Refusal(21705, f"The Messaging Service Sid {service} is invalid.")
    if service is not None and service not in senders.services:
        return Refusal(21701, f"The Messaging Service {service} does not exist.")
    if service is not None and not senders.services[service]:
        return Refusal(21704, f"The Messaging Service {service} contains no phone numbers.")
    if sender is None or sender in senders.numbers or sender == MAGIC_SENDER:
        return None
    if senders.others(sender):
        return Refusal(21660, f"Mismatch between the 'From' number {sender} and the account.")
    if sender == "+15005550001" or _e164(sender) is None:
        text = f"The 'From' number {sender} is not a valid phone number, shortcode, or alphanumeric sender ID."
        return Refusal(21212, text)
    if sender == "+15005550008":
        # The one source that names a status says 429; Twilio's general guide would make it 400.
        return Refusal(21611, f"The 'From' number {sender} has exceeded the maximum number of queued messages.", 429)
    text = f"The From phone number {sender} is not a valid, SMS-capable inbound phone number or short code"
    return Refusal(21606, f"{text} for your account.")


def _check_content(body: str) -> Refusal | None:
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


def _check_reach(to: str, sender: str | None) -> Refusal | None:
    match to:
        case "+15005550002":
            origin = f" using the 'From' phone number: {sender}" if sender else ""
            return Refusal(21612, f"The 'To' phone number: {to}, is not currently reachable{origin} via SMS.")
        case "+15005550003":
            text = "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"
            return Refusal(21408, f"{text}: {to}.")
        case "+15005550004":
            return Refusal(21610, f"Attempt to send to unsubscribed recipient: {to}")
        case "+15005550009":
            return Refusal(21614, f"'To' number is not a valid mobile number: {to}")
        case _:
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
