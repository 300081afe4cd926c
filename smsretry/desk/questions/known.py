"""What is known where there is no text: what an id is of, and what the application sent itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from smsretry.desk.actions.requests import WhichText
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.history import one_word
from smsretry.instants import Instant, on_clock
from smsretry.retry.models import Value

NOTHING: Final = (
    "No row, scheduled send, send log or customer has this id or number: check it. A text that ended long ago is "
    "deleted, but its send log stays"
)


class Known(Value):
    """A line of `look_up_sms`: what an id is of, or a customer with the number."""

    kind: Literal["text", "attempt", "scheduled_send", "send_log", "customer", "business", "sender"]
    row_id: UUID
    business: UUID | None
    business_name: str | None
    customer_id: UUID | None
    number: str | None
    channel: str | None
    status: str | None
    sid: str | None
    at: Instant | None
    why: str | None
    texts: int | None
    own_texts: int | None
    older_texts: int | None
    records_since: Instant | None
    """Since when smsretry's records are complete. None: there are none."""
    elsewhere: bool = False
    """Whether it is of another business than the one that was asked for."""

    @property
    def which(self) -> WhichText | None:
        """The texts that the id leads to, if it may have some."""
        match self.kind:
            case "text" | "attempt" | "scheduled_send":
                return WhichText(retry_id=self.row_id)
            case "send_log":
                return WhichText(send_log_id=self.row_id)
            case "customer":
                return WhichText(customer_id=self.row_id)
            case _:
                return None

    def within(self, business_id: UUID | None) -> "Known":
        """The same, for who asked about one business."""
        return self.model_copy(
            update={"elsewhere": business_id is not None and self.business not in (None, business_id)}
        )

    @property
    def is_an_answer(self) -> bool:
        """Whether it says what became of a text or a customer's texts. Otherwise it is the id of something else."""
        return self.kind in ("send_log", "customer", "scheduled_send") and not self.elsewhere

    @property
    def headline(self) -> str:
        """What it is, in a line."""
        if self.elsewhere:
            return f"It is of another business than was asked for: leave the business out, or give {self.business}"
        match self.kind:
            case "send_log":
                return self._send_log()
            case "customer":
                return self._customer()
            case "business":
                return (
                    "This is a business's id, and a text is found by its customer: give the customer's id or number, "
                    f"or `smsretry explain --business {self.row_id} --last-digits …`. `smsretry status` says what waits"
                )
            case "sender":
                return "This is a sender's id: `smsretry senders list` and the form sms-senders show it"
            case "scheduled_send":
                return (
                    "This is a scheduled send that has become a text, which is gone: it was deleted, or ended long ago"
                )
            case _:
                return "This text is gone: it was deleted a moment ago"

    def lines(self) -> Iterator[str]:
        """All of it, a line each; the headline is the first."""
        yield self.headline
        if self.kind not in ("customer", "business"):  # each has a line of its own
            yield f"{self.kind.replace('_', ' ')} {self.row_id}"
        if self.customer_id:
            yield f"customer {self.customer_id}, {self.number or 'without a number'}"
        if self.business:
            yield f"business {self.business}, {self.business_name or 'its name is not known'}"

    def _send_log(self) -> str:
        made = f"Its send log, made on {on_clock(self.at)}, " if self.at else "Its send log "
        says = f"says {one_word(self.status or 'nothing')}{f': {self.why}' if self.why else ''}"
        if self.channel != "sms":
            return f"This was sent by {self.channel or 'no channel'}, and smsretry sends texts only. {made}{says}"
        if self.sid or self.status in ("sent", "delivered", "undelivered"):
            sid = f", SID {self.sid}" if self.sid else ", without a SID"
            if self._is_recorded:
                return f"The application sent it itself; smsretry never had it. {made}{says}{sid}"
            return f"The application sent it itself, or {self._pruned}. {made}{says}{sid}"
        if self._is_recorded:
            return f"It was never queued, and nothing says that it was sent. {made}{says}"
        return f"Nothing says that it was sent. It was never queued, or {self._pruned}. {made}{says}"

    def _customer(self) -> str:
        since = f" since {on_clock(self.records_since)}" if self.records_since else ""
        told = [f"This customer has had no text through the queue{since}"]
        told.append(f"The application itself sent {self.own_texts or 'none'}")
        if self.older_texts:
            were = "older was" if self.older_texts == 1 else "older were"
            told.append(f"{self.older_texts} {were} sent by it, or by smsretry")
        if self.at:
            told.append(
                f"The last one's send log was made on {on_clock(self.at)}{f', SID {self.sid}' if self.sid else ''}"
            )
        return ". ".join(told)

    @property
    def _is_recorded(self) -> bool:
        return bool(self.at and self.records_since and self.at >= self.records_since)

    @property
    def _pruned(self) -> str:
        since = (
            f"before {on_clock(self.records_since)}, when smsretry's records begin" if self.records_since else "unseen"
        )
        return f"smsretry's record of it is gone ({since})"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: texts, or else what is known without one."""

    texts: tuple[Explanation, ...]
    known: tuple[Known, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether it says what became of a text or of a customer's texts."""
        return bool(self.texts) or any(one.is_an_answer for one in self.known)
