"""Read Twilio's lists: of the messages to a number, up to a bound and each entry by itself; of deactivated numbers."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from smsretry.retry.models import Look, Sighting

if TYPE_CHECKING:
    from smsretry.adapters.twilio.http import TwilioHttp

PAGE_SIZE: Final = 100
PAGES: Final = 10
"""The most pages that a look reads. Nobody gets a thousand messages in the days that matter, and an endless list would
keep its worker forever."""
_PAST_THE_START: Final = timedelta(hours=1)
"""How far a list is read beyond the earliest message that matters."""
_TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "
_OURS: Final = "outbound-api"
"""The direction of messages that were sent through the API, as ours are."""
_ADDRESS: Final = re.compile(r"(?:rcs:|sms:)?(\+[0-9]+)|([a-z]+:.*)")
"""A whole number, which a messaging service may reach by RCS, or an address of another channel. What is neither is
masked or missing: it may be any number."""
_US_NUMBERS: Final = re.compile(r"^(?:[+]?1)?([2-9][0-9]{9})\s*$", re.MULTILINE)
_TOO_LONG: Final = f"is longer than {PAGES * PAGE_SIZE} messages"
_ILLEGIBLE: Final = "has an entry that cannot be read"
"""Or one that does not tell its date, direction or sender."""


def read_list(
    messages: Any,
    http: "TwilioHttp",
    phone: str,
    *,
    sent_by: str | None,
    since: datetime,
    at: datetime,
) -> Look:
    """Messages from that sender to this number, back to `since` at least. Raises whatever the SDK does.

    It filters by `To` alone: `From` misses fresh messages of a messaging service, and `DateSent` misses unsent ones
    (twilio-java#442, twilio-oai#22). Twilio lists newest first, though not always exactly (twilio-csharp#65), so
    reading goes on well past the first message that is older.
    """
    page = messages.page(to=phone, page_size=PAGE_SIZE)
    answer = http.answer()
    ahead = answer.date - at if answer and answer.date else timedelta(0)
    oldest = since + min(ahead, timedelta(0)) - _PAST_THE_START
    sightings, lacks = list[Sighting](), None
    for message in _entries(page):
        if isinstance(message, str):
            lacks = message
            continue
        if message.date_created < oldest:
            break
        if _may_be_from(message, sent_by):
            sightings.append(_sighting(message))
    return Look(sightings=tuple(sightings), clock_ahead=ahead, lacks=lacks)


def _entries(page: Any) -> Iterator[Any]:
    """The messages of this page and of the next ones. A string stands for what could not be read, and says so."""
    for number in range(1, PAGES + 1):
        yield from _entries_of_page(page)
        if number == PAGES and page.next_page_url:
            yield _TOO_LONG
            return
        page = page.next_page()
        if page is None:
            return


def _entries_of_page(page: Any) -> Iterator[Any]:
    while True:
        try:
            message = next(page)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - whatever is wrong with an entry, the others can be read
            yield _ILLEGIBLE
        else:
            named = isinstance(message.sid, str) and (
                message.from_ or message.messaging_service_sid
            )
            yield (
                message
                if message.sid and named and message.direction and message.date_created
                else _ILLEGIBLE
            )


def _may_be_from(message: Any, sent_by: str | None) -> bool:
    """Whether it is a text from that sender. A fresh one of a messaging service may not name the number yet."""
    senders = (
        str(message.messaging_service_sid).casefold(),
        str(message.from_).casefold(),
    )
    return message.direction == _OURS and (
        not sent_by or sent_by.casefold() in senders
    )  # a SID may be in capitals


def _sighting(message: Any) -> Sighting:
    """A listed message. A trial account's has words before its body; a redacted one has none."""
    body = message.body if isinstance(message.body, str) else ""
    address = _ADDRESS.fullmatch(str(message.to))
    return Sighting(
        sid=message.sid,
        to=(address[1] or address[2]) if address else None,
        body=body.removeprefix(_TRIAL_PREFIX),
        created_at=message.date_created,
    )


def read_deactivated(client: Any, http: "TwilioHttp", day: date) -> list[str]:
    """The US numbers that carriers deactivated on that day, in E.164. Raises whatever the SDK or urllib3 does.

    Twilio answers `GET messaging.twilio.com/v1/Deactivations?Date=…` with a 307 and, in `redirect_to`, the signed
    address of a text file that holds a number a line. It is valid for up to two minutes, and takes no credentials.
    https://www.twilio.com/docs/messaging/api/deactivations-resource. How numbers are written there is not documented.

    Raises:
        ValueError: it is no such list.
    """
    address = client.messaging.v1.deactivations().fetch(date=day).redirect_to
    file = http.request("GET", address)
    numbers = _US_NUMBERS.findall(file.text)
    if not file.ok or bool(file.text) != bool(numbers):
        raise ValueError
    return [f"+1{number}" for number in numbers]
