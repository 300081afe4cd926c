"""Twilio's JSON, property for property: a message, an account, a number, a service, an error.

Source: Twilio's OpenAPI description (twilio-oai 2.6.7) and captured answers. Numbers are strings where Twilio's are.
"""

import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

from smsretry.local.twilio.ledger import Entry

if TYPE_CHECKING:
    from smsretry.local.twilio.accounts import Account

API: Final = "2010-04-01"

_GSM7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION: Final = frozenset("^{}\\[~]|€\f")  # each costs two


def count_segments(body: str) -> int:
    """The number of parts in which a text is sent.

    A part has 160 septets, or 153 where there are several; if a character is not in GSM 03.38, 70 and 67 UTF-16 units.
    """
    if all(character in _GSM7 or character in _GSM7_EXTENSION for character in body):
        units, alone, part = len(body) + sum(character in _GSM7_EXTENSION for character in body), 160, 153
    else:
        units, alone, part = len(body.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    return 1 if units <= alone else -(-units // part)


def message(entry: Entry, account_sid: str) -> dict[str, Any]:
    """The Message resource: exactly its 20 properties."""
    uri = f"/{API}/Accounts/{account_sid}/Messages/{entry.sid}"
    unrouted = entry.sender is None
    waiting = "queued" if entry.messaging_service_sid is None else "accepted"
    return {
        "account_sid": account_sid,
        "api_version": API,
        "body": entry.body,
        "date_created": _rfc2822(entry.accepted_at),
        "date_sent": None if entry.sent_at is None else _rfc2822(entry.sent_at),
        "date_updated": _rfc2822(entry.updated_at or entry.sent_at or entry.accepted_at),
        "direction": "outbound-api",
        "error_code": entry.error_code,
        "error_message": None,
        "from": entry.sender,
        "messaging_service_sid": entry.messaging_service_sid,
        "num_media": "0",
        "num_segments": "0" if unrouted else str(count_segments(entry.body)),
        "price": None,
        "price_unit": None if unrouted else "USD",
        "sid": entry.sid,
        "status": entry.status or (waiting if entry.sent_at is None else "sent"),
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": entry.to,
        "uri": f"{uri}.json",
    }


def error(*, code: int, http_status: int, text: str) -> dict[str, Any]:
    """Twilio's error JSON. Its `message` often quotes the recipient's number."""
    return {
        "code": code,
        "message": text,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": http_status,
    }


def account(account: "Account", *, trial: bool, since: datetime) -> dict[str, Any]:
    """The Account resource, without its auth token."""
    uri = f"/{API}/Accounts/{account.sid}"
    return {
        "date_created": _rfc2822(since),
        "date_updated": _rfc2822(since),
        "friendly_name": "Stand-in",
        "owner_account_sid": (account.owner or account).sid,
        "sid": account.sid,
        "status": "suspended" if account.status == "active" and not account.is_active else account.status,
        "subresource_uris": {"messages": f"{uri}/Messages.json"},
        "type": "Trial" if trial else "Full",
        "uri": f"{uri}.json",
    }


def balance(account: "Account") -> dict[str, Any]:
    """The Balance resource."""
    return {"account_sid": account.sid, "balance": account.balance, "currency": "USD"}


def incoming_phone_number(number: str, account_sid: str, *, texts: bool = True, since: datetime) -> dict[str, Any]:
    """The IncomingPhoneNumber resource: the properties that tell whose it is and that it can text."""
    sid = f"PN{uuid.uuid5(uuid.NAMESPACE_URL, number).hex}"
    return {
        "account_sid": account_sid,
        "api_version": API,
        "capabilities": {"voice": True, "sms": texts, "mms": texts, "fax": False},
        "date_created": _rfc2822(since),
        "date_updated": _rfc2822(since),
        "friendly_name": number,
        "phone_number": number,
        "sid": sid,
        "status": "in-use",
        "uri": f"/{API}/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
    }


def messaging_service(sid: str, account_sid: str, *, since: datetime) -> dict[str, Any]:
    """The Service resource of the Messaging API, whose dates are ISO 8601."""
    return {
        "account_sid": account_sid,
        "date_created": _iso8601(since),
        "date_updated": _iso8601(since),
        "friendly_name": "Stand-in",
        "sid": sid,
        "smart_encoding": False,
        "sticky_sender": True,
        "url": f"https://messaging.twilio.com/v1/Services/{sid}",
        "usecase": "notifications",
        "validity_period": 36_000,
    }


def service_number(
    number: str, service: str, account_sid: str, *, texts: bool = True, since: datetime
) -> dict[str, Any]:
    """The PhoneNumber resource of a messaging service."""
    sid = f"PN{uuid.uuid5(uuid.NAMESPACE_URL, number).hex}"
    return {
        "account_sid": account_sid,
        "capabilities": ["Voice", *(["SMS", "MMS"] if texts else [])],
        "country_code": "US",
        "date_created": _iso8601(since),
        "date_updated": _iso8601(since),
        "phone_number": number,
        "service_sid": service,
        "sid": sid,
        "url": f"https://messaging.twilio.com/v1/Services/{service}/PhoneNumbers/{sid}",
    }


def short_code(code: str, service: str, account_sid: str, *, since: datetime) -> dict[str, Any]:
    """The ShortCode resource of a messaging service."""
    sid = f"SC{uuid.uuid5(uuid.NAMESPACE_URL, code).hex}"
    return {
        "account_sid": account_sid,
        "capabilities": ["SMS"],
        "country_code": "US",
        "date_created": _iso8601(since),
        "date_updated": _iso8601(since),
        "service_sid": service,
        "short_code": code,
        "sid": sid,
        "url": f"https://messaging.twilio.com/v1/Services/{service}/ShortCodes/{sid}",
    }


def campaign(state: str, service: str, account_sid: str, *, since: datetime) -> dict[str, Any]:
    """The UsAppToPerson resource: the properties that tell how its registration stands."""
    sid = f"QE{uuid.uuid5(uuid.NAMESPACE_URL, service + state).hex}"
    return {
        "account_sid": account_sid,
        "campaign_status": state,
        "date_created": _iso8601(since),
        "date_updated": _iso8601(since),
        "messaging_service_sid": service,
        "sid": sid,
        "url": f"https://messaging.twilio.com/v1/Services/{service}/Compliance/Usa2p/{sid}",
    }


def page_of(path: str, key: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The only page of a list of the Messaging API."""
    url = f"https://messaging.twilio.com{path}"
    meta = {"first_page_url": url, "key": key, "next_page_url": None, "page": 0, "page_size": 50}
    return {"meta": {**meta, "previous_page_url": None, "url": url}, key: records}


def _iso8601(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rfc2822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0))
