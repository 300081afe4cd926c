"""What customers wrote that may mean stop, and nobody has read: whose it is, since when, and what can be recorded."""

from collections.abc import Iterator
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block
from smsretry.desk.questions.remedies import after_reading
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import Value


class UnreadWords(Value):
    """A row of `unread_sms_words`."""

    twilio_sid: str
    received_at: Instant
    customer_id: UUID
    number: str
    business_id: UUID
    business: str | None


class Unread(Answer):
    """All of them, the oldest first."""

    words: tuple[UnreadWords, ...]

    def tell(self) -> Iterator[Block]:
        customers = len({words.customer_id for words in self.words})
        yield (
            f"{customers or 'no'} customer{'' if customers == 1 else 's'} to answer. Marketing texts to them wait"
        )
        for words in self.words:
            business = words.business or "a business without a name"
            yield f"{words.number} of {business}, wrote on {on_clock(words.received_at)}"
            yield "    ", after_reading(words.customer_id, words.twilio_sid)
