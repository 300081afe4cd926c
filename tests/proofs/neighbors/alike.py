"""Two texts to one number, in doubt at the same time, of which one begins or ends as the other does."""

from datetime import timedelta
from typing import Final

from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from tests.proofs.neighbors.street import MINUTE, Neighbor, Street
from tests.proofs.neighbors.texts import Text

_WORDS: Final = "Your visit {n:04} is tomorrow at 10:00"
_LONGER: Final = ("{words}. Please bring your card.", "A reminder from Maple Street Dental: {words}")


class Alike(Neighbor):
    """Of each pair the shorter text never reaches Twilio, and the longer one does. Nobody hears of either."""

    name = "texts that are alike"

    def __init__(self, pairs: int, *, first: int) -> None:
        self._pairs = pairs
        self._first = first
        """The minute of the first pair; each takes two."""
        self._put_off: dict[int, tuple[Text, timedelta]] = {}
        """In this minute a text is put off, to be looked for so much later."""

    def move_in(self, street: Street) -> None:
        texts = []
        for n in range(self._pairs):
            minute, words = self._first + 2 * n, _WORDS.format(n=n)
            short = street.text(self.name, 2 * n, minute, body=words)
            long = street.text(self.name, 2 * n + 1, minute + 1, phone=short.phone, customer_id=short.customer_id)
            long.body = _LONGER[n % len(_LONGER)].format(words=words)
            for fault in (DropUnaccepted(), AcceptThenDrop()):  # the shorter one goes first
                street.stack.twilio.fail(fault, to=short.phone)
            # It is also looked for first, and when the other one has been sent.
            self._put_off |= {minute + 1: (short, MINUTE), minute + 2: (long, 2 * MINUTE)}
            texts += [short, long]
        street.move_in(self.name, texts)

    def minute(self, street: Street, n: int) -> None:
        text, more = self._put_off.get(n, (None, MINUTE))
        if text:
            street.connection.execute(
                "update sms_retry_queue set scheduled_for = %s where id = %s and in_doubt_since is not null",
                [street.now + more, text.retry_id],
            )
