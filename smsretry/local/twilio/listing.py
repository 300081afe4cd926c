"""Twilio's lists: which messages a filter lets through, and how the rest is cut into pages, newest first.

Source: the OpenAPI description of `GET Messages.json`. There is no filter on body, status, creation date or
messaging service, and parameters it does not know are ignored.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from smsretry.local.twilio.ledger import Entry

_DEFAULT_SIZE: Final = 50
_LARGEST_SIZE: Final = 1000
_PAGING: Final = ("Page", "PageSize", "PageToken")

Query = Sequence[tuple[str, str]]


def select(entries: Iterable[Entry], query: Query) -> list[Entry]:
    """The entries that pass every filter, newest first. Raises ValueError for a date that cannot be read."""
    passed = [entry for entry in entries if all(_passes(entry, name, value) for name, value in query)]
    return passed[::-1]


def _passes(entry: Entry, name: str, value: str) -> bool:
    if name == "To":
        return entry.to == value
    if name == "From":
        # A message that waits for its service's choice of a number has none, so this filter misses it.
        return entry.sender == value
    if name not in ("DateSent", "DateSent<", "DateSent>"):
        return True
    start, length = _moment(value)
    if entry.sent_at is None:
        # Whether Twilio lets a message without `date_sent` through is undocumented; users report it missing.
        return False
    sent = entry.sent_at.replace(microsecond=0)
    if name == "DateSent":
        return start <= sent < start + length
    return sent <= start if name == "DateSent<" else sent >= start


def _moment(text: str) -> tuple[datetime, timedelta]:
    """A date (YYYY-MM-DD) lasts a day from midnight UTC; a time (with T and Z) lasts a second."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment, timedelta(seconds=1) if "T" in text else timedelta(days=1)


def page(key: str, records: Sequence[dict[str, Any]], *, path: str, query: Query) -> dict[str, Any]:
    """One page of `records`, under the fields that the SDK pages by.

    Like Twilio's, the token of the next page names the last record of this one, so that records which arrive
    meanwhile shift nothing. Raises ValueError for a page or a size that is no number.
    """
    asked = dict(query)
    size = min(max(int(asked.get("PageSize", _DEFAULT_SIZE)), 1), _LARGEST_SIZE)
    number = max(int(asked.get("Page", 0)), 0)
    start = 0
    if "PageToken" in asked:
        sids = [record["sid"] for record in records]
        start = sids.index(asked["PageToken"].removeprefix("PA")) + 1
    shown = records[start : start + size]

    def uri(of_page: int, **more: str) -> str:
        kept = [(name, value) for name, value in query if name not in _PAGING]
        return f"{path}?{urlencode([*kept, ('PageSize', size), ('Page', of_page), *more.items()])}"

    more_follow = start + size < len(records)
    return {
        "first_page_uri": uri(0),
        "next_page_uri": uri(number + 1, PageToken=f"PA{shown[-1]['sid']}") if more_follow else None,
        "page": number,
        "page_size": size,
        "uri": uri(number),
        key: list(shown),
    }
