"""What a person can do: what ends each trouble is said once, for a text's story and for the queue's page."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from smsretry.desk.actions.requests import (
    Cancel,
    ExplainText,
    LookAgain,
    ReadWords,
    RecordConsent,
    Requeue,
    Resolve,
    StopTexts,
)
from smsretry.desk.actions.senders import ChangeSender
from smsretry.desk.questions.blocks import LEFT, Remedy
from smsretry.desk.questions.records import TextRecord
from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.models import Value
from smsretry.vocabulary import REASONS_OF, WhyCode

_ASK: Final = "run smsretry doctor and fix what it reports of its sender"
_CREDENTIALS: Final = "give the runner credentials for its account"
_RESUME: Final = {"paused": "no"}
OF_SENDERS: Final[
    Mapping[WhyCode | None, tuple[str | None, str, Mapping[str, str]]]
] = {
    "sender_paused": (None, "let its sender send again, once that is fixed", _RESUME),
    "no_credentials": (_CREDENTIALS, "let its sender try again now", _RESUME),
    "day_spent": (
        None,
        "raise its sender's cap, if the carriers take more in a day",
        {"segments_per_day": LEFT},
    ),
    "sender_rate": (
        None,
        "raise its sender's rate, if the provider takes more",
        {"segments_per_second": LEFT},
    ),
    "account_refused": (_ASK, "let it send again", _RESUME),
    "sending_stopped": (_ASK, "let it send again", _RESUME),
}
"""For each reason that is a sender's: what to fix, what then to do, and how the sender is changed."""
_MEND: Final = "fix what it says, if something can be fixed"


class CodeMeaning(Value):
    """What a provider's error code means, in plain words."""

    meaning: str
    to_do: str
    link: str
    passes: bool = False
    """Whether the same text may go out later, although nothing is changed."""
    opted_out: bool = False
    """Whether the provider blocks the number until it texts START."""

    @property
    def preparation(self) -> str | None:
        """What to do before it is sent again, within a sentence."""
        if self.opted_out:
            return "make sure that they have texted START to the sender since: until then the provider blocks them"
        return None if self.passes else self.to_do[:1].lower() + self.to_do[1:]


def ending(
    why_code: WhyCode | None,
    texts: Mapping[str, Any] | None,
    sender: str | None,
    customer: UUID | str | None = LEFT,
    business: UUID | None = None,
) -> Remedy | None:
    """What ends the trouble of texts that wait; None: nothing but time.

    Args:
        texts: the fields of `LookAgain` that find them. None: a look at them now would change nothing.
        sender: what names theirs in a command, where it is known.
        customer: whose number and zone they are decided from.
        business: whose they are.
    """
    if sender and why_code in OF_SENDERS:
        preparation, words, change = OF_SENDERS[why_code]
        return Remedy.of(ChangeSender, {"sender": sender, **change}, words, preparation)
    if why_code in REASONS_OF["place"] and why_code != "daily_cap":
        columns = "customers.phone, customers.timezone, businesses.timezone or businesses.sms_hours"
        advice = f"if {columns} is wrong, correct it in the application"
        places = f"customer {customer}, business {business}"
        return Remedy(words=f"{advice} ({places}): it is looked at anew at once")
    if why_code in ("state_stopped", "business_stopped"):
        stopped = {"business_id": str(business)}
        stopped = {"state": LEFT} if why_code == "state_stopped" else stopped
        return lifting(stopped)
    if why_code == "words_unread":
        return Remedy.of(ReadWords, {}, "read what they wrote, and say what it means")
    return (
        Remedy.of(LookAgain, texts, "have it looked at again now", _MEND)
        if texts
        else None
    )


def lifting(stopped: Mapping[str, str]) -> Remedy:
    """What lifts a person's stop of a state or a business."""
    minutes = HELD_LOOK // timedelta(minutes=1)
    words = f"lift the stop, once that is over: texts go within {minutes} minutes"
    return Remedy.of(StopTexts, {**stopped, "lift": True}, words)


def remedies(
    text: TextRecord, obstacle: Remedy | None, code: CodeMeaning | None
) -> Iterator[Remedy]:
    """What a person can do, the first of it first.

    Args:
        obstacle: what ends the trouble that its sender has, or all sending, if it is due.
        code: what the provider's code means, if its trouble has one.
    """
    row, can = {"retry_ids": [str(text.retry_id)]}, text.can
    if text.stop_sid:
        yield after_reading(text.customer_id, text.stop_sid)
    if (
        text.state in ("scheduled", "due", "waiting", "held")
        or text.why_code == "list_unavailable"
    ):
        end = ending(
            text.why_code,
            row if "look-again" in can else None,
            text.sender_name,
            text.customer_id,
            text.business_id,
        )
        mend = Remedy(words=_MEND) if text.state == "held" else None
        if remedy := obstacle if text.state == "due" else end or mend:
            yield remedy
    if "resolve" in can and (
        text.state != "in_doubt" or "look-again" in can
    ):  # before it is held, looks may find it
        resolve = {"retry_id": str(text.retry_id)}
        unseen, candidates = (
            "make sure that the provider's log does not have it",
            "find it in the provider's log",
        )
        yield Remedy.of(
            Resolve, resolve | {"went_out_as": "nothing"}, "have it sent again", unseen
        )
        yield Remedy.of(
            Resolve,
            resolve | {"went_out_as": LEFT},
            "say which message it is",
            candidates,
        )
    if "explain" in can:
        yield Remedy.of(
            ExplainText,
            {"id": str(text.send_log_id)},
            "look at its next try, another row",
        )
    if "requeue" in can:
        consent = list(_consent(text))
        yield from consent
        preparation = code.preparation if code else _MEND
        preparation = (
            "wait until their consent is on record" if consent else preparation
        )
        state = {} if text.state == "failed" else {"states": [text.state]}
        yield Remedy.of(
            Requeue, row | state, "send it again, with every check", preparation
        )
    if "cancel" in can:
        yield Remedy.of(Cancel, row, "end it, if it is no longer wanted")
    if code:
        yield Remedy(words=f"read what it means: {code.meaning}: {code.link}")


def _consent(text: TextRecord) -> Iterator[Remedy]:
    """How somebody who opted out gets texts again."""
    if text.consent == "opted_in" and not text.opted_out_since:
        return
    if text.needs_start:
        yield Remedy(
            words="ask them to text START to the sender: until then the provider itself blocks their number"
        )
    yield Remedy.of(
        RecordConsent,
        {
            "customer_id": str(text.customer_id),
            "consent": "opted_in",
            "source": "text" if text.needs_start else "telephone",
        },
        "record that they said yes to texts, if they did and it was not recorded here",
    )


def after_reading(customer_id: UUID | None, sid: str) -> Remedy:
    """What a person does about a message that may mean stop."""
    return Remedy.of(
        RecordConsent,
        {"customer_id": str(customer_id), "consent": "opted_out", "source": "text"},
        "record that they said stop; if they did not, choose unchanged instead",
        f"read {sid} in the provider's log",
    )
