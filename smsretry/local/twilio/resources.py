"""Twilio's JSON: a message property for property; of other resources what tells their state. And its lists.

Sources: Twilio's OpenAPI description (twilio-oai 2.6.7) and captured answers. Numbers are strings where Twilio's are.
The list of messages has no filter on body, status, creation date or messaging service, and ignores parameters that
Twilio does not know.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlencode

from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.segments import segments

API: Final = "2010-04-01"
Json = dict[str, Any]
Query = Sequence[tuple[str, str]]
_DEFAULT_SIZE: Final = 50
_LARGEST_SIZE: Final = 1000
_PAGING: Final = ("Page", "PageSize", "PageToken")


def message(entry: Entry, account_sid: str) -> Json:
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


def account(account: Account) -> Json:
    """The Account resource."""
    return {
        "owner_account_sid": (account.owner or account).sid,
        "sid": account.sid,
        "status": "suspended"
        if account.status == "active" and not account.is_active
        else account.status,
        "type": "Trial" if account.is_trial else "Full",
    }


def numbers(account: Account, containing: str) -> list[Json]:
    """IncomingPhoneNumber resources."""
    return [
        {
            "account_sid": account.sid,
            "capabilities": {
                "voice": True,
                "sms": number not in account.voice_only,
                "fax": False,
            },
            "phone_number": number,
            "sid": _sid("PN", number),
            "sms_url": account.webhooks.get(number, ""),
        }
        for number in sorted(account.numbers)
        if containing in number
    ]


def service(sid: str, account: Account) -> Json:
    """A messaging service."""
    fields = {
        "inbound_request_url": account.webhooks.get(sid),
        "use_inbound_webhook_on_number": False,
    }
    return {"account_sid": account.sid, "sid": sid, **fields}


def of_service(kind: str, sid: str, account: Account) -> Json | None:
    """The only page of what a messaging service has of a kind, by the last word of its path; None: of no such kind."""

    def listed(key: str, records: Iterable[Json]) -> Json:
        return {"meta": {"key": key, "next_page_url": None}, key: list(records)}

    in_us = {"country_code": "US"}
    match kind:
        case "PhoneNumbers":
            pool = sorted(account.services[sid])
            able = {
                number: ["Voice"] if number in account.voice_only else ["Voice", "SMS"]
                for number in pool
            }
            rows = (
                {
                    "sid": _sid("PN", n),
                    "phone_number": n,
                    "capabilities": able[n],
                    **in_us,
                }
                for n in pool
            )
            return listed("phone_numbers", rows)
        case "ShortCodes":
            codes = account.short_codes.get(sid, [])
            return listed(
                "short_codes",
                (
                    {"sid": _sid("SC", code), "short_code": code, **in_us}
                    for code in codes
                ),
            )
        case "AlphaSenders":
            return listed("alpha_senders", ())
        case "Usa2p":
            states = account.campaigns.get(sid, [])
            return listed(
                "compliance",
                (
                    {"sid": _sid("QE", sid + state), "campaign_status": state}
                    for state in states
                ),
            )
        case _:
            return None


def select(entries: Iterable[Entry], query: Query) -> list[Entry]:
    """The entries that pass every filter, newest first. Raises ValueError for a date that cannot be read."""
    return [
        entry
        for entry in entries
        if all(_passes(entry, name, value) for name, value in query)
    ][::-1]


def _passes(entry: Entry, name: str, value: str) -> bool:
    match name:
        case "To":
            return entry.to == value
        case "From":
            # A message that waits for its service's choice of a number has none, so this filter misses it.
            return entry.sender == value
        case "DateSent" | "DateSent<" | "DateSent>":
            # A date (YYYY-MM-DD) lasts a day from midnight UTC; a time (with T and Z) lasts a second.
            start = datetime.fromisoformat(value)
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            length = timedelta(seconds=1) if "T" in value else timedelta(days=1)
            if entry.sent_at is None:
                # Whether Twilio lets a message without `date_sent` through is undocumented; users report it missing.
                return False
            sent = entry.sent_at.replace(microsecond=0)
            return {
                "": start <= sent < start + length,
                "<": sent <= start,
                ">": sent >= start,
            }[name[8:]]
    return True


def page(
    key: str, records: Sequence[Json], *, path: str, query: Query, endless: bool = False
) -> Json:
    """One page of a list of 2010, under the fields that the SDK pages by.

    Like Twilio's, the token of the next page names the last record of this one, so that records which arrive
    meanwhile shift nothing. Raises ValueError for a page or a size that is no number.
    """
    parameters = dict(query)
    size = min(max(int(parameters.get("PageSize", _DEFAULT_SIZE)), 1), _LARGEST_SIZE)
    number, start = max(int(parameters.get("Page", 0)), 0), 0
    if "PageToken" in parameters:
        start = [record["sid"] for record in records].index(
            parameters["PageToken"].removeprefix("PA")
        ) + 1
    records_shown = records[start : start + size]

    def uri(of_page: int, **extra: str) -> str:
        filters = [(name, value) for name, value in query if name not in _PAGING]
        return f"{path}?{urlencode([*filters, ('PageSize', size), ('Page', of_page), *extra.items()])}"

    following = (
        uri(number + 1, PageToken=f"PA{records_shown[-1]['sid']}")
        if start + size < len(records)
        else None
    )
    return {
        "next_page_uri": uri(number) if endless else following,
        "page": number,
        "page_size": size,
        "uri": uri(number),
        key: list(records_shown),
    }


def _sid(prefix: str, name: str) -> str:
    return prefix + uuid.uuid5(uuid.NAMESPACE_URL, name).hex


def _rfc2822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0))
