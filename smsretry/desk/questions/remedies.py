"""What a person can do: what ends each trouble is said once, for a text's story and for the queue's page."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from smsretry.desk.actions.commands import LEFT
from smsretry.desk.actions.requests import (
    Cancel,
    ExplainText,
    ListUnreadWords,
    LookAgain,
    RecordConsent,
    Requeue,
    Resolve,
    StopTexts,
)
from smsretry.desk.actions.senders import ChangeSender
from smsretry.desk.questions.blocks import Remedy
from smsretry.desk.questions.records import WAITING, Prediction, TextRecord
from smsretry.quiet_hours.location import clocks_of
from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.models import Value
from smsretry.vocabulary import WhyCode


class SenderRemedy(NamedTuple):
    """What ends a trouble that is a sender's."""

    words: str
    """What to do."""
    change: Mapping[str, str]
    """The fields of `ChangeSender` that do it."""
    preparation: str | None = None
    """What to fix before."""


_DOCTOR_FIRST: Final = "run smsretry doctor and fix what it reports of its sender"
_RESUME: Final = {"paused": "no"}
SENDER_REMEDIES: Final = {
    "sender_paused": SenderRemedy(
        "let its sender send again, once that is fixed", _RESUME
    ),
    "no_credentials": SenderRemedy(
        "let its sender try again now",
        _RESUME,
        "give the runner credentials for its account",
    ),
    "day_spent": SenderRemedy(
        "raise its sender's cap, if the carriers take more in a day",
        {"segments_per_day": LEFT},
    ),
    "sender_rate": SenderRemedy(
        "raise its sender's rate, if the provider takes more",
        {"segments_per_second": LEFT},
    ),
    "account_refused": SenderRemedy("let it send again", _RESUME, _DOCTOR_FIRST),
    "sending_stopped": SenderRemedy("let it send again", _RESUME, _DOCTOR_FIRST),
}
"""The remedy for each reason that is a sender's."""
DOCTOR: Final = Remedy(
    words="ask what is wrong", command="smsretry doctor", form="sms-doctor"
)
_FIX_LIST: Final = "ask what is wrong with the provider's list, and fix that"
_FIX_REASON: Final = "fix the cause"
_IN_APPLICATION: Final = {
    "consent_unclear": "write customers.sms_consent_status as opted_in, opted_out or unknown in the application",
    "quiet_hours": "if customers.phone or customers.timezone is wrong, correct it in the application",
    "number_spelling": "correct customers.phone in the application",
    "no_time_zone": "set customers.timezone in the application",
    "no_opening": "if customers.timezone or businesses.sms_hours is wrong, correct it in the application",
    "hours_unreadable": "correct customers.timezone, businesses.timezone or businesses.sms_hours in the application",
    "daily_cap": "if the cap is the business's own, raise businesses.sms_daily_cap in the application",
}
"""What ends a wait that is decided from the application's columns."""


class CodeMeaning(Value):
    """What a provider's error code means, in plain words."""

    meaning: str
    to_do: str
    link: str
    passes: bool = False
    """Whether the same text may go out later, although nothing is changed."""
    opted_out: bool = False
    """Whether it says that the number opted out at the provider, which then blocks it until it texts START."""

    @property
    def preparation(self) -> str | None:
        """What to do before the text is sent again, within a sentence."""
        if self.opted_out:
            return "make sure that they have texted START to the sender since: until then the provider blocks them"
        return None if self.passes else self.to_do[:1].lower() + self.to_do[1:]


def remedy_of_sender(why_code: WhyCode | None, sender: str | None) -> Remedy | None:
    """What ends the trouble of a sender. None: its name in a command is not known, or the trouble is not a sender's.

    Args:
        sender: what names it in a command.
    """
    remedy = SENDER_REMEDIES.get(why_code or "")
    if sender is None or remedy is None:
        return None
    change = {"sender": sender, **remedy.change}
    return Remedy.of(ChangeSender, change, remedy.words, preparation=remedy.preparation)


def remedy_of_texts(
    why_code: WhyCode | None,
    texts: Mapping[str, Any] | None,
    *,
    customer_id: UUID | str | None = LEFT,
    business_id: UUID | str | None,
    state: str | None = None,
    column: str | None = None,
) -> Remedy | None:
    """What ends the trouble of texts that wait. None: time alone.

    Args:
        texts: the fields of `LookAgain` that find them. None: a look at them now would change nothing.
        customer_id: the customer whose number and zone they are decided from.
        business_id: the business that they are of.
        state: the US state whose stop holds them.
        column: the application's column that cannot be understood, if it is known.
    """
    if why_code == "state_stopped":
        return remedy_of_stop({"state": state or LEFT})
    if why_code == "business_stopped":
        return remedy_of_stop({"business_id": str(business_id)})
    if why_code == "words_unread":
        return Remedy.of(
            ListUnreadWords, {}, "read what they wrote, and say what it means"
        )
    if advice := _IN_APPLICATION.get(why_code or ""):
        if column:
            advice = f"correct {column} in the application"
        ids = {"customer": customer_id, "business": business_id}
        places = ", ".join(
            f"{place} {place_id}" for place, place_id in ids.items() if place_id != LEFT
        )
        where = f" ({places})" if places else ""
        return Remedy(words=f"{advice}{where}: the text is decided anew at once")
    if texts:
        return Remedy.of(
            LookAgain, texts, "have it looked at again now", preparation=_FIX_REASON
        )
    return None


def remedy_of_stop(stop: Mapping[str, str]) -> Remedy:
    """What lifts a person's stop of a state or a business."""
    minutes = HELD_LOOK // timedelta(minutes=1)
    words = f"lift the stop, once that is over: texts go within {minutes} minutes"
    return Remedy.of(StopTexts, {**stop, "lift": True}, words)


def remedy_of_unread(customer_id: UUID | None, sid: str) -> Remedy:
    """What a person does about a message that may mean stop."""
    return Remedy.of(
        RecordConsent,
        {"customer_id": str(customer_id), "consent": "opted_out", "source": "text"},
        "record that they said stop; if they did not, choose unchanged instead",
        preparation=f"read {sid} in the provider's log",
    )


def remedies(
    text: TextRecord,
    obstacle: Remedy | None,
    prediction: Prediction | None,
    code: CodeMeaning | None,
) -> Iterator[Remedy]:
    """What a person can do, the best first.

    Args:
        obstacle: what ends the trouble that its sender has, or all sending, if it is due.
        prediction: what becomes of it, if it waits.
        code: the meaning of the provider's code, if its trouble has one.
    """
    if text.stop_sid:
        yield remedy_of_unread(text.customer_id, text.stop_sid)
    trouble = obstacle or _remedy_of_wait(text, prediction)
    if trouble:
        yield trouble
    # Before a text in doubt is held, looks may find it.
    is_lost_to_looks = text.needs_person or text.why_code == "list_unavailable"
    if "resolve" in text.can and (text.state != "in_doubt" or is_lost_to_looks):
        yield from _resolutions(str(text.retry_id))
    if "explain" in text.can:
        send_log = {"id": str(text.send_log_id)}
        yield Remedy.of(ExplainText, send_log, "look at its next try, another row")
    if "requeue" in text.can:
        yield from _requeueing(text, code)
    if "cancel" in text.can:
        yield Remedy.of(Cancel, _row(text), "end it, if it is no longer wanted")
    if code:
        yield Remedy(words=f"read what it means: {code.meaning}: {code.link}")


def _row(text: TextRecord) -> dict[str, Any]:
    """The fields of `TextFilter` that find it."""
    return {"retry_ids": [str(text.retry_id)]}


def _remedy_of_wait(text: TextRecord, prediction: Prediction | None) -> Remedy | None:
    """What ends the trouble of a text that waits, or will be held; or that keeps one in doubt."""
    why_code = text.why_code
    if text.state == "due":
        # What it waited for is over.
        is_held = prediction and prediction.course == "held"
        why_code = prediction.why_code if prediction and is_held else None
    elif text.state == "in_doubt" and why_code == "list_unavailable":
        is_held = text.needs_person and "look-again" in text.can
        if not is_held:
            return DOCTOR.model_copy(update={"words": _FIX_LIST})
    elif text.state not in WAITING:
        return None
    column = None
    if why_code == "hours_unreadable":
        column = _unreadable_column(text)
    look = _row(text) if "look-again" in text.can else None
    remedy = remedy_of_sender(why_code, text.sender_name) or remedy_of_texts(
        why_code,
        look,
        customer_id=text.customer_id,
        business_id=text.business_id,
        state=prediction.state if prediction else None,
        column=column,
    )
    if remedy is None and text.state == "held":
        return Remedy(words=_FIX_REASON)
    return remedy


def _unreadable_column(text: TextRecord) -> str:
    """The application's column of which a text's hours are not understood."""
    if clocks_of(text.timezone) is None:
        return "customers.timezone"
    if clocks_of(text.business_timezone) is None:
        return "businesses.timezone"
    return "businesses.sms_hours"


def _resolutions(retry_id: str) -> Iterator[Remedy]:
    """What a person may know of a text in doubt."""
    yield Remedy.of(
        Resolve,
        {"retry_id": retry_id, "went_out_as": "nothing"},
        "have it sent again",
        preparation="make sure that the provider's log does not have it",
    )
    yield Remedy.of(
        Resolve,
        {"retry_id": retry_id, "went_out_as": LEFT},
        "say which message it is",
        preparation="find it in the provider's log",
    )


def _requeueing(text: TextRecord, code: CodeMeaning | None) -> Iterator[Remedy]:
    """How a text that has ended goes out after all, and before that, how its customer gets texts again."""
    preparation = code.preparation if code else _FIX_REASON
    if text.consent != "opted_in" or text.opted_out_since:
        yield from _consent(text)
        preparation = "wait until their consent is on record"
    row = _row(text)
    if text.state != "failed":
        row["states"] = [text.state]
    words = "send it again, with every check"
    yield Remedy.of(Requeue, row, words, preparation=preparation)


def _consent(text: TextRecord) -> Iterator[Remedy]:
    """How somebody who opted out gets texts again."""
    source = "telephone"
    if text.needs_start:
        source = "text"
        yield Remedy(
            words="ask them to text START to the sender: until then the provider itself blocks their number"
        )
    yield Remedy.of(
        RecordConsent,
        {
            "customer_id": str(text.customer_id),
            "consent": "opted_in",
            "source": source,
        },
        "record that they said yes to texts, if they did and it was not recorded here",
    )
