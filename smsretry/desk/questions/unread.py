"""What customers wrote that may mean stop, and nobody has read: whose it is, since when, and what can be recorded."""

from collections.abc import Iterator
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, counted
from smsretry.desk.questions.records import NAMELESS
from smsretry.desk.questions.remedies import remedy_of_unread
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import Value


class UnreadMessage(Value):
    """A row of `unread_sms_words`."""

    twilio_sid: str
    received_at: Instant
    customer_id: UUID
    number: str
    business_id: UUID
    business: str | None


class UnreadMessages(Answer):
    """The messages that nobody has read, the oldest first."""

    words: tuple[UnreadMessage, ...]

    def tell(self) -> Iterator[Block]:
        customers = len({message.customer_id for message in self.words})
        headline = counted(customers, "customer") if customers else "no customers"
        yield f"{headline} to answer. Marketing texts to them wait"
        for message in self.words:
            business = message.business or NAMELESS
            yield f"{message.number} of {business}, wrote on {on_clock(message.received_at)}"
            yield "    ", remedy_of_unread(message.customer_id, message.twilio_sid)
