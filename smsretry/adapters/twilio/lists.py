"""Read Twilio's list of the messages to a number, up to a bound and each entry by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from smsretry.adapters.twilio.answers import whole_address
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
_TOO_LONG: Final = f"is longer than {PAGES * PAGE_SIZE} messages"
_ILLEGIBLE: Final = "has an entry that cannot be read"
"""An entry that cannot be read, or has no SID, date, direction or sender."""


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

    The list is filtered by `To` alone: `From` misses fresh messages of a messaging service, and `DateSent` misses
    unsent ones (twilio-java#442, twilio-oai#22). Twilio lists newest first, though not always exactly
    (twilio-csharp#65), so reading goes on well past the first message that is older.
    """
    listing = _Listing(messages.page(to=phone, page_size=PAGE_SIZE))
    answer = http.answer()
    clock_ahead = timedelta(0)
    if answer and answer.date:
        clock_ahead = answer.date - at
    oldest = since + min(clock_ahead, timedelta(0)) - _PAST_THE_START
    sightings = list[Sighting]()
    for message in listing.messages():
        if message.date_created < oldest:
            break
        if _may_be_from(message, sent_by):
            sightings.append(_sighting(message))
    return Look(
        sightings=tuple(sightings), clock_ahead=clock_ahead, lacks=listing.lacks
    )


@dataclass(slots=True)
class _Listing:
    """A list of messages."""

    page: Any
    """The first page; later the one that is read."""
    lacks: str | None = None
    """What could not be read so far."""

    def messages(self) -> Iterator[Any]:
        """The messages that can be read."""
        for number in range(1, PAGES + 1):
            yield from self._messages_of_page()
            if number == PAGES and self.page.next_page_url:
                self.lacks = _TOO_LONG
                return
            self.page = self.page.next_page()
            if self.page is None:
                return

    def _messages_of_page(self) -> Iterator[Any]:
        while True:
            try:
                message = next(self.page)
            except StopIteration:
                return
            except Exception:  # noqa: BLE001 - whatever is wrong with an entry, the others can be read
                self.lacks = _ILLEGIBLE
                continue
            if _is_legible(message):
                yield message
            else:
                self.lacks = _ILLEGIBLE


def _is_legible(message: Any) -> bool:
    """Whether it has all that a look needs."""
    has_sender = message.from_ or message.messaging_service_sid
    needed = (message.sid, has_sender, message.direction, message.date_created)
    return isinstance(message.sid, str) and all(needed)


def _may_be_from(message: Any, sent_by: str | None) -> bool:
    """Whether it is a text from that sender. A fresh one of a messaging service may not name the number yet."""
    if message.direction != _OURS:
        return False
    senders = (message.messaging_service_sid, message.from_)
    # A SID may be in capitals.
    return not sent_by or sent_by.casefold() in [
        str(sender).casefold() for sender in senders
    ]


def _sighting(message: Any) -> Sighting:
    """A listed message. A trial account's has words before its body; a redacted one has none."""
    body = message.body if isinstance(message.body, str) else ""
    return Sighting(
        sid=message.sid,
        to=whole_address(message.to),
        body=body.removeprefix(_TRIAL_PREFIX),
        created_at=message.date_created,
    )
