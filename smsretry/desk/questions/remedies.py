"""What a person can do: what ends each trouble is said once, for a text's story and for the queue's page."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from smsretry.desk.actions.commands import LEFT
from smsretry.desk.actions.form import Form
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
from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.models import Value


class Lever(NamedTuple):
    """What ends the trouble of each text that has it: a form, filled in."""

    words: str
    """What to do."""
    form: type[Form]
    whose: tuple[str, ...] = ()
    """The fields that say whose trouble it is."""
    values: Mapping[str, Any] = {}
    """The other fields."""
    preparation: str | None = None
    """What to fix before."""


DOCTOR: Final = Remedy(
    words="ask what is wrong", command="smsretry doctor", form="sms-doctor"
)
_FIX_LIST: Final = DOCTOR.model_copy(
    update={"words": "ask what is wrong with the provider's list, and fix that"}
)
_FIX_REASON: Final = "fix the cause"
_SENDER: Final = ("sender",)
_RESUME: Final = {"paused": "no"}
_TRY_AGAIN: Final = Lever(
    "let it send again",
    ChangeSender,
    _SENDER,
    _RESUME,
    "run smsretry doctor and fix what it reports of its sender",
)
_MINUTES: Final = HELD_LOOK // timedelta(minutes=1)
_LIFT: Final = f"lift the stop, once that is over: texts go within {_MINUTES} minutes"
LEVERS: Final[Mapping[str, Lever]] = {
    "sender_paused": Lever(
        "let its sender send again, once that is fixed", ChangeSender, _SENDER, _RESUME
    ),
    "no_credentials": Lever(
        "let its sender try again now",
        ChangeSender,
        _SENDER,
        _RESUME,
        "give the runner credentials for its account",
    ),
    "day_spent": Lever(
        "raise its sender's cap, if the carriers take more in a day",
        ChangeSender,
        _SENDER,
        {"segments_per_day": LEFT},
    ),
    "sender_rate": Lever(
        "raise its sender's rate, if the provider takes more",
        ChangeSender,
        _SENDER,
        {"segments_per_second": LEFT},
    ),
    "account_refused": _TRY_AGAIN,
    "sending_stopped": _TRY_AGAIN,
    "state_stopped": Lever(_LIFT, StopTexts, ("state",), {"lift": True}),
    "business_stopped": Lever(_LIFT, StopTexts, ("business_id",), {"lift": True}),
    "words_unread": Lever(
        "read what they wrote, and say what it means", ListUnreadWords
    ),
}
"""What ends each trouble that has a form of its own, by its `WhyCode`."""
SENDERS_REASONS: Final = {
    code for code, lever in LEVERS.items() if lever.whose == _SENDER
}
"""The reasons that are a sender's."""
_IN_APPLICATION: Final = {
    "consent_unclear": "write customers.sms_consent_status as opted_in, opted_out or unknown",
    "quiet_hours": "if customers.phone or customers.timezone is wrong, correct it",
    "number_spelling": "correct customers.phone",
    "no_time_zone": "set customers.timezone",
    "no_opening": "if customers.timezone or businesses.sms_hours is wrong, correct it",
    "hours_unreadable": "correct the column that it names",
    "daily_cap": "if the cap is the business's own, raise businesses.sms_daily_cap",
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


def remedy_of(
    why_code: str | None,
    of: Mapping[str, str | None],
    look: Mapping[str, Any] | None = None,
) -> Remedy | None:
    """What ends a trouble. None: time alone, or it is not known whose it is.

    Args:
        of: whose it is, as far as that is known: `sender` by its name in a command, `state`, `business_id`.
        look: the fields of `LookAgain` that find its texts. None: a look at them now would change nothing.
    """
    lever = LEVERS.get(why_code or "")
    whose = {name: of.get(name) for name in lever.whose} if lever else {}
    if lever and all(whose.values()):
        values = {**whose, **lever.values}
        preparation = lever.preparation
        return Remedy.of(lever.form, values, lever.words, preparation=preparation)
    if advice := _IN_APPLICATION.get(why_code or ""):
        words = f"{advice} in the application: the text is decided anew at once"
        return Remedy(words=words)
    if look:
        words = "have it looked at again now"
        return Remedy.of(LookAgain, look, words, preparation=_FIX_REASON)
    return None


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
    look = _row(text) if "look-again" in text.can else None
    if text.state == "due":
        # What it waited for is over.
        is_held = prediction and prediction.course == "held"
        why_code = prediction.why_code if prediction and is_held else None
    elif text.state not in WAITING:
        if text.state != "in_doubt" or why_code != "list_unavailable":
            return None
        if not (text.needs_person and look):
            return _FIX_LIST
    of = {
        "sender": text.sender_name,
        "state": prediction.state if prediction else None,
        "business_id": str(text.business_id),
    }
    remedy = remedy_of(why_code, of, look)
    if remedy is None and text.state == "held":
        return Remedy(words=_FIX_REASON)
    return remedy


def _resolutions(retry_id: str) -> Iterator[Remedy]:
    """What a person may know of a text in doubt."""
    for went_out_as, words, preparation in (
        (
            "nothing",
            "have it sent again",
            "make sure that the provider's log does not have it",
        ),
        (LEFT, "say which message it is", "find it in the provider's log"),
    ):
        values = {"retry_id": retry_id, "went_out_as": went_out_as}
        yield Remedy.of(Resolve, values, words, preparation=preparation)


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
