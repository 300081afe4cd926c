"""Twilio's JSON: a message property for property; of other resources what tells their state.

Source: Twilio's OpenAPI description (twilio-oai 2.6.7) and captured answers. Numbers are strings where Twilio's are.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.segments import segments

API: Final = "2010-04-01"
_MESSAGING: Final = "https://messaging.twilio.com"
_MADE: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""When accounts, numbers and services were."""


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
        "date_updated": _rfc2822(entry.updated_at or entry.accepted_at),
        "direction": "outbound-api",
        "error_code": entry.error_code,
        "error_message": None,
        "from": entry.sender,
        "messaging_service_sid": entry.messaging_service_sid,
        "num_media": "0",
        "num_segments": "0" if unrouted else str(segments(entry.body)),
        "price": None,
        "price_unit": None if unrouted else "USD",
        "sid": entry.sid,
        "status": entry.status or waiting,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": entry.to,
        "uri": f"{uri}.json",
    }


def account(account: Account) -> dict[str, Any]:
    """The Account resource, without its auth token."""
    return {
        "date_created": _rfc2822(_MADE),
        "date_updated": _rfc2822(_MADE),
        "friendly_name": "Stand-in",
        "owner_account_sid": (account.owner or account).sid,
        "sid": account.sid,
        "status": "suspended" if account.status == "active" and not account.is_active else account.status,
        "type": "Trial" if account.is_trial else "Full",
        "uri": f"/{API}/Accounts/{account.sid}.json",
    }


def balance(account: Account) -> dict[str, Any]:
    """The Balance resource."""
    return {"account_sid": account.sid, "balance": account.balance, "currency": "USD"}


def phone_number(number: str, account: Account) -> dict[str, Any]:
    """The IncomingPhoneNumber resource: the properties that tell whose it is and that it can text."""
    sid, texts = _sid("PN", number), number not in account.voice_only
    return {
        "account_sid": account.sid,
        "api_version": API,
        "capabilities": {"voice": True, "sms": texts, "mms": texts, "fax": False},
        "date_created": _rfc2822(_MADE),
        "date_updated": _rfc2822(_MADE),
        "friendly_name": number,
        "phone_number": number,
        "sid": sid,
        "sms_method": "POST",
        "sms_url": account.webhooks.get(number, ""),
        "status": "in-use",
        "uri": f"/{API}/Accounts/{account.sid}/IncomingPhoneNumbers/{sid}.json",
    }


def service(sid: str, account: Account) -> dict[str, Any]:
    """A messaging service."""
    return {
        **_of_messaging(sid, account),
        "friendly_name": "Stand-in",
        "inbound_method": "POST",
        "inbound_request_url": account.webhooks.get(sid),
        "sid": sid,
        "smart_encoding": False,
        "url": f"{_MESSAGING}/v1/Services/{sid}",
        "use_inbound_webhook_on_number": False,
        "validity_period": 36_000,
    }


def senders(kind: str, sid: str, account: Account) -> list[dict[str, Any]]:
    """What a messaging service has of a kind, by the last word of its path. There are no alphanumeric senders here."""
    common = {**_of_messaging(sid, account), "service_sid": sid, "country_code": "US"}
    match kind:
        case "PhoneNumbers":
            return [
                {
                    **common,
                    "sid": _sid("PN", number),
                    "phone_number": number,
                    "capabilities": ["Voice"] if number in account.voice_only else ["Voice", "SMS", "MMS"],
                }
                for number in sorted(account.services[sid])
            ]
        case "ShortCodes":
            codes = account.short_codes.get(sid, [])
            return [{**common, "sid": _sid("SC", code), "short_code": code, "capabilities": ["SMS"]} for code in codes]
        case "Usa2p":
            states = account.campaigns.get(sid, [])
            return [{**common, "sid": _sid("QE", sid + state), "campaign_status": state} for state in states]
        case _:
            return []


def only_page(path: str, key: str, records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The only page of a list of the Messaging API."""
    url = f"{_MESSAGING}{path}"
    meta = {"first_page_url": url, "key": key, "next_page_url": None, "page": 0, "page_size": 50}
    return {"meta": {**meta, "previous_page_url": None, "url": url}, key: list(records)}


def _of_messaging(sid: str, account: Account) -> dict[str, Any]:
    """What the resources of the Messaging API have in common. Their dates are ISO 8601."""
    dated = dict.fromkeys(("date_created", "date_updated"), f"{_MADE:%Y-%m-%dT%H:%M:%SZ}")
    return {"account_sid": account.sid, "messaging_service_sid": sid, **dated}


def _sid(prefix: str, name: str) -> str:
    return prefix + uuid.uuid5(uuid.NAMESPACE_URL, name).hex


def _rfc2822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0))
