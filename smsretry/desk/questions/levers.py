"""What a person can do about a text: by its reason and by what is so now, so that the first of it ends the trouble."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Cancel, LookAgain, RecordConsent, Requeue, Resolve, StopState, WhichText
from smsretry.desk.actions.senders import ChangeSender, ResumeSender
from smsretry.desk.questions.preview import Step
from smsretry.desk.questions.records import TextRecord
from smsretry.desk.questions.told import Lever
from smsretry.retry.models import Value
from smsretry.vocabulary import WhyCode

_NUMBER: Final = "in the application (customers.phone of customer {customer})"
_WORDS: Final = "in the application (send_logs.subject of send log {send_log})"
_HOURS: Final = "in the application (businesses.sms_hours of business {business})"
MENDING: Final[Mapping[WhyCode, str]] = {
    "not_sms": "make it a text in the application, if it is one (send_logs.channel of send log {send_log} is sms)",
    "no_phone": f"give the customer a number {_NUMBER}",
    "number_invalid": f"correct the number {_NUMBER}",
    "no_body": f"write its words {_WORDS}",
    "body_too_long": f"shorten its words {_WORDS}",
    "bad_row": "correct the columns of the row that it names",
    "row_refused": "fix the trigger or the rule of the application's tables that it names",
    "expired": "make sure that it is still of use",
    "not_listed": "let this installation text them (SMSRETRY_SEND_TO), if it should",
    "operator": "make sure that it is wanted after all",
    "application": "make sure that the application took it back by mistake",
    "quiet_hours": "if that is wrong, correct their number, their time zone or the business's hours in the application "
    "(customers.phone and customers.timezone of customer {customer}, businesses.sms_hours of business {business})",
    "number_spelling": f"write the number as it says, {_NUMBER}",
    "no_time_zone": "give the customer a time zone in the application, such as America/New_York (customers.timezone of "
    "customer {customer})",
    "no_opening": f"widen the business's hours {_HOURS}, or correct the customer's time zone",
    "hours_unreadable": f"correct the business's hours {_HOURS}",
    "state_stopped": "lift the stop of its state, once that is over",
    "mark_mismatch": "set SMSRETRY_SEND_TO where the worker runs, or say with smsretry mark what the database is",
    "customer_locked": "end the transaction that holds the customer locked, if it goes on",
    "database_trouble": "fix what keeps the database, if it goes on (smsretry doctor)",
    "sending_stopped": "fix what stopped the sending (smsretry status says what it was)",
    "business_trouble": "fix what the business's texts come to nothing for, as it says",
    "sender_paused": "fix what its sender is paused for",
    "no_credentials": "give the runner credentials for its account",
    "unreachable": "fix the way to the provider, if it goes on (smsretry doctor)",
    "account_refused": "fix the account at the provider (smsretry doctor)",
    "refused": "fix what the provider refused",
    "list_unavailable": "fix what keeps the provider's list from being read, as it says",
    "unforeseen": "find what the error was, in the log of its run, and fix it",
}
"""What has to be mended before a text can go on, where no form of ours can. What is not here needs no mending first."""
_BY_ITSELF: Final = frozenset({"quiet_hours", "number_spelling", "no_time_zone", "no_opening", "hours_unreadable"})
"""What is decided from number, zones and hours: once one of them is corrected, the text is looked at anew at once."""
_FORESEEN: Final = _BY_ITSELF | {"state_stopped", "sender_paused"}
"""Whether these still stand is decided by what a claim reads, so a prediction knows when they are mended."""
_FOR_ITS_TIME: Final = frozenset({"daily_cap", "sender_rate", "day_spent"})
"""A look before its time would change nothing."""
_ASK_PROVIDER: Final = "ask the provider what is wrong with its sender (smsretry senders check {name}) and fix that"
_CREDENTIALS: Final = "give the runner credentials for account {account}"
SENDER_MENDING: Final[Mapping[str, tuple[str | None, str, type[Form]]]] = {
    "sender_paused": (None, "let its sender send again, once that is fixed", ResumeSender),
    "no_credentials": (_CREDENTIALS, "let its sender try again now", ResumeSender),
    "day_spent": (None, "raise its sender's cap, if the carriers take more in a day", ChangeSender),
    "sender_rate": (None, "raise its sender's rate, if the provider takes more in a second", ChangeSender),
    "account_refused": (_ASK_PROVIDER, "let it send again", ResumeSender),
    "sending_stopped": (_ASK_PROVIDER, "let it send again", ResumeSender),
}
"""What is about the business's own sender: what to fix, what then to do, and the form of it."""


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
    def first(self) -> str:
        """What to do, within a sentence."""
        return self.to_do[:1].lower() + self.to_do[1:]


def levers(
    text: TextRecord, prediction: Step | None, code: CodeMeaning | None, *, slow: bool = False
) -> Iterator[Lever]:
    """What a person can do, the first of it first.

    Args:
        prediction: what its next claim will come to, if it waits.
        code: what the provider's code means, if its trouble has one.
        slow: whether its sender's rate is too slow for what is due.
    """
    if text.stop_sid:  # a message of theirs that may mean stop changes nothing until somebody has read it
        read = f"read {text.stop_sid} in the provider's log"
        yield _record(text, "opted_out", "text", "record that they said stop, if it says so", read)
        yield _record(text, "unchanged", "text", "record that it changes nothing, if it does not mean stop", read)
    match text.state:
        case "failed" | "cancelled":
            yield from _ended(text, code)
        case "in_doubt" if "look-again" in text.can:  # it is held: before, looks may still find it
            if text.why_code == "list_unavailable":
                yield _row(LookAgain, text, "have it looked at again now", _fix(text, text.why_code))
            yield from _resolve(text)
        case "scheduled" | "due" | "waiting" | "held":
            yield from _waits(text, prediction, code, slow)
    if code:
        yield Lever(words=f"read what it means: {code.meaning}: {code.link}")


def nothing_to_do(text: TextRecord) -> str | None:
    """Why a person can do nothing about a text that has not gone out; None: they can, or it went out, or waits."""
    match text.state:
        case "under_way":
            return "a worker has it at this moment. Ask again in a minute"
        case "in_doubt":
            return "evidence of it is looked for first, and nothing is needed before that"
        case "not_queued":
            return "it is the application's own. Queue it there, if it should go out"
        case "failed" | "cancelled" if not text.can:
            if text.kind != "row":
                return "it never became a text. Schedule it anew in the application"
            if text.send_log_status is None:
                return "its send log is gone, and its words with it. Queue it anew in the application"
            if text.number is None and text.consent is None:
                return "its customer is gone. Queue it anew in the application for one who is there"
            return "its send log says that it was sent"
        case _:
            return None


def _ended(text: TextRecord, code: CodeMeaning | None) -> Iterator[Lever]:
    if "resolve" in text.can:
        yield from _resolve(text)
    if "explain" in text.can:
        yield Lever.of(WhichText, {"send_log_id": str(text.send_log_id)}, "look at its next try, another row")
    if "requeue" not in text.can:
        return
    consent = list(_consent(text))
    yield from consent
    if consent:
        first: str | None = "wait until their consent is on record"
    elif text.number is None:
        first = _fix(text, "no_phone")
    elif code and code.opted_out:
        first = "make sure that they have texted START to the sender since: until then the provider blocks their number"
    elif code:
        first = None if code.passes else code.first
    else:
        first = None if text.why_code in ("no_phone", "quiet_hours") else _fix(text, text.why_code)
    yield _row(Requeue, text, "send it again, with every check", first, states=[text.state])


def _consent(text: TextRecord) -> Iterator[Lever]:
    """How somebody who opted out gets texts again."""
    if text.consent == "opted_in" and not text.opted_out_since:
        return
    unheard = "they did, by telephone for example"
    if text.needs_start:
        blocked = "because the provider itself blocks their number until then"
        yield Lever(words=f"ask them to text START to the sender, {blocked}")
        unheard = "they texted START, and it was not heard here"
    source = "text" if text.needs_start else "telephone"
    yield _record(text, "opted_in", source, f"record that they said yes to texts, if {unheard}")


def _record(text: TextRecord, consent: str, source: str, words: str, first: str | None = None) -> Lever:
    values = {"customer_id": str(text.customer_id), "consent": consent, "source": source}
    return Lever.of(RecordConsent, values, words, first)


def _resolve(text: TextRecord) -> Iterator[Lever]:
    row = {"retry_id": str(text.retry_id)}
    unseen, seen = "make sure that the provider's log does not have it", "find it in the provider's log"
    yield Lever.of(Resolve, row | {"send_again": True}, "have it sent again", unseen)
    yield Lever.of(Resolve, row | {"went_out_as": "SID"}, "say which message it is", seen)


def _row(form: type[Form], text: TextRecord, words: str, first: str | None = None, **values: Any) -> Lever:
    return Lever.of(form, {"retry_ids": [str(text.retry_id)], **values}, words, first)


def _waits(text: TextRecord, prediction: Step | None, code: CodeMeaning | None, slow: bool) -> Iterator[Lever]:
    trouble, own = _trouble(text, prediction, slow), text.sender
    if trouble == "opted_out":
        yield from _consent(text)
    for state in prediction.stopped_in if prediction else ():
        words = f"let marketing texts go to {state} again, once that is over: they go within 15 minutes"
        yield Lever.of(StopState, {"state": state, "lift": True}, words)
    first = code.first if code and trouble == "account_refused" else _fix(text, trouble)
    if own and trouble and trouble in SENDER_MENDING:
        before, words, form = SENDER_MENDING[trouble]
        first = before and before.format(name=own.name, account=own.account)
        yield Lever.of(form, {"sender": own.name}, words, first)
    elif trouble in _BY_ITSELF:
        yield Lever(words=f"{first}: it is looked at anew at once")
    elif "look-again" in text.can and trouble not in _FOR_ITS_TIME:
        yield _row(LookAgain, text, "have it looked at again now", first)
    elif first and trouble not in ("expired", "operator"):
        yield Lever(words=first)
    if "cancel" in text.can:
        yield _row(Cancel, text, "end it, if it is no longer wanted")


def _trouble(text: TextRecord, prediction: Step | None, slow: bool) -> WhyCode | None:
    """What stands in a waiting text's way now; None: nothing, or what it waited for is fixed."""
    if prediction is None:
        return text.why_code
    match prediction.fate:
        case "Sent" if slow:
            return "sender_rate"
        case "Held" | "Cancelled" | "Failed":
            return prediction.why_code
        case "GivenBack" if text.why_code not in SENDER_MENDING:
            return "sending_stopped"
        case "Deferred" if prediction.why_code == "quiet_hours":
            return "quiet_hours"
    waits_for_hours = text.state == "waiting" and text.why_code == "quiet_hours"
    return text.why_code if waits_for_hours or text.why_code not in _FORESEEN else None


def _fix(text: TextRecord, trouble: WhyCode | None) -> str | None:
    """What has to be fixed first, where it is."""
    words = MENDING.get(trouble) if trouble else None
    where = {"customer": text.customer_id, "business": text.business_id, "send_log": text.send_log_id}
    return words and words.format(**where)
