"""What a person can do about a text: by its reason and by what is so now, so that the first of it ends the trouble."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from smsretry.desk.questions.mending import FORESEEN, MENDING, OF_SENDER
from smsretry.desk.questions.prediction import Prediction
from smsretry.desk.questions.records import TextRecord
from smsretry.retry.models import Value
from smsretry.vocabulary import WhyCode

_SIGNED: Final = "--because '…'"
_SEND_AGAIN: Final = "send it again, with every check"
_LOOK_AGAIN: Final = "have it looked at again now"


class CodeMeaning(Value):
    """What a provider's error code means, in plain words."""

    meaning: str
    to_do: str
    link: str
    passes: bool = False
    """Whether the same text may go out later, although nothing is changed."""
    opted_out: bool = False
    """Whether the provider blocks the number until it texts START."""


class Lever(Value):
    """What a person can do about a text's trouble."""

    words: str
    """What to do."""
    first: str | None = None
    """What to fix or find out before, where no form of ours can."""
    command: str | None = None
    """The command that does it, whole but for why. None: it has none."""
    form: str | None = None
    """The deployment whose form does it. None: it has none."""
    ask: dict[str, Any] = Field(default_factory=dict)
    """What the form is filled in with. Who and why are left to the person, and a message's id."""

    def __str__(self) -> str:
        first = f"{self.first}, then " if self.first else ""
        return f"{first}{self.words}{f' ({self.command})' if self.command else ''}"


def levers(text: TextRecord, prediction: Prediction | None, code: CodeMeaning | None) -> Iterator[Lever]:
    """What a person can do, the first of it first.

    Args:
        prediction: what its next claim will come to, if it waits.
        code: what the provider's code means, if its trouble has one.
    """
    if text.stop_sid:
        yield from _read_words(text)
    match text.state:
        case "failed" | "cancelled":
            yield from _ended(text, code)
        case "in_doubt" if "look_again_sms" in text.can:  # it is held: before, looks may still find it
            unseen = text.why_code == "list_unavailable"
            yield from (*((_look_again(text),) if unseen else ()), *_resolve(text))
        case "scheduled" | "due" | "waiting" | "held":
            yield from _waits(text, prediction, code)
    if code:
        yield Lever(words=f"read what it means: {code.meaning}: {code.link}")


def nothing_to_do(text: TextRecord) -> str | None:
    """Why a person can do nothing about a text that has not gone out; None: they can, or it went out, or waits."""
    match text.state:
        case "under_way":
            return "a worker has it at this moment. Ask again in a minute"
        case "in_doubt":
            return "evidence of it is looked for first, and nothing is needed before that"
        case "failed" | "cancelled" if not text.can:
            if not text.is_text:
                return "it never became a text. Schedule it anew in the application"
            if text.send_log_status is None:
                return "its send log is gone, and its words with it. Queue it anew in the application"
            if text.number is None and text.consent is None:
                return "its customer is gone. Queue it anew in the application for one who is there"
            return "its send log says that it was sent"
        case _:
            return None


def _ended(text: TextRecord, code: CodeMeaning | None) -> Iterator[Lever]:
    if "resolve_sms_doubt" in text.can:
        yield from _resolve(text)
    if "explain_sms" in text.can:
        command = f"smsretry explain --send-log {text.send_log_id}"
        ask = {"send_log_id": str(text.send_log_id)}
        yield Lever(words="look at its next try, another row", command=command, form="explain-sms", ask=ask)
    if "requeue_failed_sms" not in text.can:
        return
    consent = list(_consent(text))
    yield from consent
    first = "wait until their consent is on record" if consent else _before_requeue(text, code)
    state = "" if text.state == "failed" else f" --state {text.state}"
    yield Lever(
        words=_SEND_AGAIN,
        first=first,
        command=f"smsretry requeue --row {text.retry_id}{state} --yes {_SIGNED}",
        form="requeue-failed-sms",
        ask={"retry_ids": [str(text.retry_id)], "states": [text.state], "dry_run": False},
    )


def _before_requeue(text: TextRecord, code: CodeMeaning | None) -> str | None:
    if text.number is None:
        return _fix(text, "no_phone")
    if code and code.opted_out:
        return "make sure that they have texted START to the sender since: until then the provider blocks their number"
    if code:
        return None if code.passes else code.to_do[:1].lower() + code.to_do[1:]
    return None if text.why_code in (None, "no_phone", "opted_out") else _fix(text, text.why_code)


def _consent(text: TextRecord) -> Iterator[Lever]:
    """How somebody who opted out gets texts again."""
    if text.consent == "opted_in" and not text.opted_out_since:
        return
    if text.needs_start:
        yield Lever(
            words="ask them to text START to the sender, because the provider itself blocks their number until then"
        )
    unheard = (
        "they texted START, and it was not heard here" if text.needs_start else "they did, by telephone for example"
    )
    source = "text" if text.needs_start else "telephone"
    yield _record(text, "opted_in", source, f"record that they said yes to texts, if {unheard}")


def _read_words(text: TextRecord) -> Iterator[Lever]:
    """For a message of theirs that may mean stop, and changes nothing until somebody has read it."""
    read = f"read {text.stop_sid} in the provider's log"
    yield _record(text, "opted_out", "text", "record that they said stop, if it says so", first=read)
    yield _record(text, "unchanged", "text", "record that it changes nothing, if it does not mean stop", first=read)


def _record(text: TextRecord, consent: str, source: str, words: str, first: str | None = None) -> Lever:
    option = f"--{consent.replace('opted_', 'opt-')}"
    return Lever(
        words=words,
        first=first,
        command=f"smsretry consent --customer {text.customer_id} {option} --source {source} {_SIGNED}",
        form="record-sms-consent",
        ask={"customer_id": str(text.customer_id), "consent": consent, "source": source},
    )


def _resolve(text: TextRecord) -> Iterator[Lever]:
    row = {"retry_id": str(text.retry_id)}
    command = f"smsretry resolve {text.retry_id}"
    yield Lever(
        first="make sure that the provider's log does not have it",
        words="have it sent again",
        command=f"{command} --send-again {_SIGNED}",
        form="resolve-sms-doubt",
        ask=row | {"send_again": True},
    )
    yield Lever(
        first="find it in the provider's log",
        words="say which message it is",
        command=f"{command} --went-out-as SID {_SIGNED}",
        form="resolve-sms-doubt",
        ask=row,
    )


def _waits(text: TextRecord, prediction: Prediction | None, code: CodeMeaning | None) -> Iterator[Lever]:
    trouble = _trouble(text, prediction)
    if trouble == "opted_out":
        yield from _consent(text)
    yield from map(_lift, prediction.stopped_in if prediction else ())
    first = _fix(text, trouble)
    if trouble == "account_refused" and code:
        first = code.to_do[:1].lower() + code.to_do[1:]
    if text.sender_name and trouble in OF_SENDER:
        yield _of_sender(text, trouble)
    elif "look_again_sms" in text.can:
        yield _look_again(text, first)
    elif first and trouble not in ("expired", "operator"):
        yield Lever(words=first)
    if "cancel_sms_retries" in text.can:
        yield Lever(
            words="end it, if it is no longer wanted",
            command=f"smsretry cancel --row {text.retry_id} --yes {_SIGNED}",
            form="cancel-sms-retries",
            ask={"retry_ids": [str(text.retry_id)], "dry_run": False},
        )


def _trouble(text: TextRecord, prediction: Prediction | None) -> WhyCode | None:
    """What stands in a waiting text's way now; None: nothing, or what it waited for is fixed."""
    match prediction.result if prediction else None:
        case "is held" | "is cancelled" | "fails":
            return prediction.why_code if prediction else None
        case "is stopped" if text.why_code not in OF_SENDER:
            return "sending_stopped"
        case None:
            return text.why_code
        case _:
            return None if text.why_code in FORESEEN else text.why_code


def _look_again(text: TextRecord, first: str | None = None) -> Lever:
    return Lever(
        words=_LOOK_AGAIN,
        first=first or _fix(text, text.why_code if text.state == "in_doubt" else None),
        command=f"smsretry look-again --row {text.retry_id} --yes {_SIGNED}",
        form="look-again-sms",
        ask={"retry_ids": [str(text.retry_id)], "dry_run": False},
    )


def _of_sender(text: TextRecord, trouble: WhyCode) -> Lever:
    """About the business's own sender."""
    first, words, order = OF_SENDER[trouble]
    name = str(text.sender_name)
    command = f"smsretry senders {order} {name}{' --cap N' if order == 'change' else ''} {_SIGNED}"
    return Lever(
        words=words,
        first=first and first.format(name=name, account=text.account),
        command=command,
        form="resume-sms-sender" if order == "resume" else None,
        ask={"sender": name} if order == "resume" else {},
    )


def _lift(state: str) -> Lever:
    return Lever(
        words=f"let marketing texts go to {state} again, once that is over: they go within 15 minutes",
        command=f"smsretry stop {state} --lift",
        form="lift-sms-stop",
        ask={"state": state},
    )


def _fix(text: TextRecord, trouble: WhyCode | None) -> str | None:
    """What has to be fixed first, where it is."""
    words = MENDING[trouble] if trouble else None
    where = {"customer": text.customer_id, "business": text.business_id, "send_log": text.send_log_id}
    return words and words.format(**where)
