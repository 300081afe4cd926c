"""A text for each outcome, with one call: queued as the application queues it, with whatever makes it come to that.

Each is to a customer and a number of its own, so that several in one test have nothing to do with each other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Final
from uuid import UUID

from smsretry.errors import InputError
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, JsonError
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.retry.before import LIFE
from smsretry.retry.profile import STALE_MINUTES
from smsretry.testing.business import BODY, Business
from smsretry.testing.clock import Clock
from smsretry.testing.twilio import Twilio

_AREAS: Final = ("212", "347", "646", "718", "917", "929", "315", "518", "585", "607", "631", "716", "845", "914")
"""In the state of New York. Each has a hundred numbers that are reserved for fiction (555-01xx)."""
_ASLEEP: Final = (
    ("Pacific/Honolulu", "+1808555{:04d}"),
    ("Europe/London", "+447700900{:03d}"),
    ("Asia/Tokyo", "+8190555{:05d}"),
)
"""In one of these it is night at every moment."""
_EXPIRED: Final = LIFE + timedelta(hours=2)
_SILENT: Final = timedelta(minutes=STALE_MINUTES + 1)


@dataclass(frozen=True, slots=True)
class QueuedText:
    """A text in the queue. What it reads is as the database has it now."""

    id: UUID
    """Of its row in `sms_retry_queue`."""
    business: Business = field(repr=False)
    phone: str | None = field(repr=False)

    @property
    def row(self) -> dict[str, Any]:
        """Its row in `sms_retry_queue`: `status`, `scheduled_for`, `attempt_count`, `why`, `last_error` and more."""
        return self.business.row(self.id)

    @property
    def log(self) -> dict[str, Any]:
        """Its row in `send_logs`."""
        return self.business.log_of(self.id)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Its sends, in order: `sms_send_attempts`."""
        return self.business.attempts_of(self.id)


class Seeds:
    """Queues texts that are due now. What each comes to in the next run is in its name.

    All take the `business` whose text it is; without one they share one in New York. Faults of Twilio's strike the
    text's own number, once: the next try is answered as usual.
    """

    def __init__(self, clock: Clock, twilio: Twilio, open_business: Callable[[], Business]) -> None:
        self._clock = clock
        self._twilio = twilio
        self._open_business = open_business
        self._business: Business | None = None
        self._numbers = count()

    @property
    def business(self) -> Business:
        """The business of the seeds that name none."""
        self._business = self._business or self._open_business()
        return self._business

    def phone(self) -> str:
        """A number in the state of New York that no other seed of this test has. Raises InputError after 1,400."""
        area, number = divmod(next(self._numbers), 100)
        if area >= len(_AREAS):
            raise InputError("All 1,400 numbers are used: empty the stack, or write rows with numbers of your own")
        return f"+1{_AREAS[area]}555{100 + number:04d}"

    def sent(self, business: Business | None = None, *, body: str = BODY) -> QueuedText:
        """Twilio accepts it: `Sent`."""
        return self._text(business, body=body)

    def deferred(self, business: Business | None = None) -> QueuedText:
        """It is night where the customer lives: `Deferred` until the next opening."""
        for zone, pattern in _ASLEEP:
            phone = pattern.format(100 + next(self._numbers) % 100)
            found = check_quiet_hours(zone, phone=phone, at=self._clock.now)
            if found.next_send_at:
                return self._text(business, phone=phone, timezone=zone)
        raise InputError(f"At {self._clock.now} it is night in none of {[zone for zone, _ in _ASLEEP]}: set the clock")

    def retried(self, business: Business | None = None) -> QueuedText:
        """Twilio fails for a moment (21702): `RetryScheduled`, and sent once its delay is over."""
        return self._refused(21702, business)

    def rate_limited(self, business: Business | None = None) -> QueuedText:
        """Twilio says that it is too much at once (20429): `RetryScheduled`, without an attempt.

        That is the sender's trouble, so the run sends no more from it: texts that it has claimed are `GivenBack`.
        """
        return self._refused(20429, business, http_status=429)

    def failed(self, business: Business | None = None) -> QueuedText:
        """Twilio refuses the number for good (21211): `Failed`."""
        return self._refused(21211, business)

    def used_up(self, business: Business | None = None) -> QueuedText:
        """The third send fails, too: `Failed` with the last error."""
        return self._refused(21702, business, attempts=2)

    def opted_out(self, business: Business | None = None) -> QueuedText:
        """The customer's row says so: `Cancelled`, and nothing is sent."""
        return self._text(business, consent="opted_out")

    def blocked(self, business: Business | None = None) -> QueuedText:
        """Twilio knows of an opt-out that the database does not (21610): `Failed`, and the customer is opted out."""
        return self._refused(21610, business)

    def in_doubt(self, business: Business | None = None, *, went_out: bool = True) -> QueuedText:
        """The answer to the send is lost: `InDoubt`. If it went out, a later run finds it in Twilio's list: `Sent`."""
        text = self._text(business)
        self._twilio.fail(AcceptThenDrop() if went_out else DropUnaccepted(), to=text.phone)
        return text

    def held(self, business: Business | None = None) -> QueuedText:
        """Nobody knows the time zone of a satellite phone: `Held`, until somebody sets the customer's `timezone`."""
        return self._text(business, phone=f"+88161234{next(self._numbers) % 10_000:04d}", timezone=None)

    def expired(self, business: Business | None = None) -> QueuedText:
        """It might have gone out two hours longer ago than a text lives: `Cancelled`."""
        text = self._text(business, due=-_EXPIRED)
        text.business.connection.execute(
            "update sms_retry_queue set created_at = scheduled_for, expires_at = scheduled_for + %s where id = %s",
            [LIFE, text.id],
        )
        return text

    def without_number(self, business: Business | None = None) -> QueuedText:
        """The customer has no phone number: `Failed`."""
        return self._text(business, phone=None)

    def too_long(self, business: Business | None = None) -> QueuedText:
        """The body is longer than Twilio's 1,600 characters: `Failed`."""
        return self._text(business, body="x" * 1601)

    def abandoned(self, business: Business | None = None) -> QueuedText:
        """A worker took it, died before it sent, and has been silent for too long: it is recovered, then `Sent`."""
        text = self._text(business)
        connection = text.business.connection
        connection.execute("select claim_sms_retry(retry_id => %s)", [text.id])
        connection.execute(
            "update sms_retry_queue set claimed_at = claimed_at - %s where id = %s returning id", [_SILENT, text.id]
        )
        return text

    def _refused(
        self, code: int, business: Business | None, *, http_status: int = 400, attempts: int = 0
    ) -> QueuedText:
        text = self._text(business, attempts=attempts)
        self._twilio.fail(JsonError(code, http_status=http_status), to=text.phone)
        return text

    def _text(self, business: Business | None, **values: Any) -> QueuedText:
        business = business or self.business
        phone = values.pop("phone") if "phone" in values else self.phone()
        return QueuedText(business.due_text(phone=phone, **values), business, phone)
