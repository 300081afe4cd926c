"""What happened to a text and why, in lines that the command line and Prefect's artifacts show alike."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final, assert_never

from smsretry.data import place, place_names
from smsretry.desk.questions.prediction import PredictedResult, Prediction
from smsretry.desk.questions.records import AttemptRecord, TextRecord
from smsretry.instants import on_clock, span
from smsretry.retry.delivery import FAILURES, FINAL
from smsretry.retry.models import Value
from smsretry.vocabulary import TextState

STATES: Final[dict[TextState, str]] = {
    "scheduled": "Scheduled, it is queued shortly before its time",
    "due": "Due, the next run takes it",
    "waiting": "Waiting",
    "held": "Held until somebody mends it",
    "under_way": "Under way, a worker has it at this moment",
    "in_doubt": "In doubt, it may or may not have gone out",
    "sent": "Sent, accepted by the provider",
    "failed": "Failed, given up",
    "cancelled": "Cancelled, no longer wanted",
}
"""What each state means, for people."""

ACTIONS: Final = {
    "requeue_failed_sms": "send it again, with every check (requeue)",
    "cancel_sms_retries": "end it, if it is no longer wanted (cancel)",
    "resolve_sms_doubt": "look in the provider's log for it, then say whether it went out (resolve)",
}
"""What a person can do: each call in `TextRecord.can`, in words."""
_READ_INBOUND: Final = (
    "read {sid} in the provider's log: the number wrote what may mean stop, and is opted out. If it does, say so with "
    "smsretry consent - --opt-out --source 'text'; if not, with "
    "smsretry consent - --opt-in --source 'text' --business {business}"
)
_ASK_PROVIDER: Final = (
    "ask the provider what is wrong with its sender (smsretry senders check {name}); once it is mended, let it send "
    "again (smsretry senders resume {name} --because '…')"
)
_OF_SENDER: Final[dict[str, str]] = {
    "sender_paused": "let its sender send again, once that is mended (smsretry senders resume {name} --because '…')",
    "no_credentials": "give the runner credentials for account {account}; it is looked at again within 15 minutes, or "
    "at once after smsretry senders resume {name} --because '…'",
    "day_spent": "raise its sender's cap, if the carriers take more in a day (smsretry senders change {name} --cap N "
    "--because '…')",
    "account_refused": _ASK_PROVIDER,
    "sending_stopped": _ASK_PROVIDER,
}
"""What a person can do about the business's own sender, by the few codes that are about it."""
_ONE_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.IGNORECASE)


class CodeMeaning(Value):
    """What a provider's error code means, in plain words."""

    meaning: str
    to_do: str
    link: str


class Explanation(Value):
    """What is known about one text, for a person."""

    text: TextRecord
    headline: str
    """Its state, and why, in one line."""
    happened: tuple[str, ...]
    """What was done and decided, oldest first."""
    next: str
    """What happens without a person."""
    can_do: tuple[str, ...]
    """What a person can do about it."""
    sender_lever: str | None = None
    """The one of them that is about the business's own sender."""

    def lines(self, *, history: bool = True) -> Iterator[str]:
        """All of it, or all but the history, a line each; the headline is the first."""
        text = self.text
        yield self.headline
        yield f"{'row' if text.is_text else 'scheduled send'} {text.retry_id}"
        yield f"customer {text.customer_id}, {text.number or 'without a number'}"
        yield f"business {text.business_id}, {text.business or 'its name is not known'}"
        if text.sender:
            of_environment = "" if text.sender_name else ", of the environment"
            yield f"sender {text.sender}, account {text.account}{of_environment}"
        if text.is_text:
            status = _one_word(text.send_log_status) if text.send_log_status else "it is gone"
            yield f"send log {text.send_log_id}: {status}"
        if text.why_code:
            yield f"why: {text.why_code}"
        if text.unreadable:
            yield f"cannot be read: {', '.join(text.unreadable)}. Mend what is there; the rest is shown"
        if history:
            yield "History:"
            yield from (f"  {line}" for line in self.happened)
        yield f"Next: {self.next}"
        yield from (f"You can: {line}" for line in self.can_do)


def explain(
    text: TextRecord, *, now: datetime, prediction: Prediction | None, meaning: Callable[[int], CodeMeaning]
) -> Explanation:
    """Explain a text.

    Args:
        prediction: what its next claim will come to, if it waits.
        meaning: what a provider's code means.
    """
    zone = zone_of(text.timezone, text.business_timezone)
    why = f": {text.why}" if text.why else ""
    since = f" (since {on_clock(text.since, zone)}, {span((now - text.since).total_seconds())} ago)"
    code = meaning(text.code) if text.code and text.state != "sent" else None
    can_do = [ACTIONS[call] for call in text.can]
    if text.stop_sid:
        can_do.append(_READ_INBOUND.format(sid=text.stop_sid, business=text.business_id))
    sender_lever = _about_sender(text, prediction)
    if sender_lever:
        can_do.append(sender_lever)
    if code:
        can_do.append(f"{code.to_do}. {code.meaning}: {code.link}")
    return Explanation(
        text=text,
        headline=f"{STATES[text.state]}{why}{since}",
        happened=tuple(_history(text, zone)),
        next=_next(text, zone, prediction),
        can_do=tuple(can_do),
        sender_lever=sender_lever,
    )


def _about_sender(text: TextRecord, prediction: Prediction | None) -> str | None:
    """What a person can do about the business's own sender; None: it has none, or the text waits for something else."""
    stopped = prediction is not None and prediction.result == "is stopped"
    waits = text.state in ("due", "waiting", "held")
    lever = (
        _OF_SENDER.get("sending_stopped" if stopped else text.why_code or "") if waits and text.sender_name else None
    )
    return lever.format(name=text.sender_name, account=text.account) if lever else None


def zone_of(*names: str | None) -> tzinfo:
    """The first of these names that is a place's zone; else UTC. Only for display: hours are decided elsewhere."""
    return next((place(name) for name in names if name and name in place_names()), UTC)


def _history(text: TextRecord, zone: tzinfo) -> Iterator[str]:
    moments = [(text.queued_at, f"{'queued' if text.is_text else 'scheduled'}, {text.message_class}")]
    for attempt in text.history:
        moments.append((attempt.begun_at, _attempt(attempt, text)))
        if attempt.finished_at and attempt.settled_by not in (None, "response"):
            moments.append((attempt.finished_at, f"settled by {attempt.settled_by}: {attempt.outcome}"))
        if attempt.delivery and attempt.delivery_at:
            code = f", code {attempt.delivery_code}" if attempt.delivery_code else ""
            moments.append((attempt.delivery_at, f"attempt {attempt.number}: {attempt.delivery}{code}, as reported"))
    for step in text.steps:
        moments.append((step.taken_at, f"{step.step} by {step.who}: {step.because}"))
    yield from (f"{on_clock(at, zone)}  {what}" for at, what in sorted(moments))
    if text.is_text:
        yield f"{text.attempts} of {text.max_attempts} attempts were counted"
    yield _consent(text, zone)
    if text.phone_status:
        yield f"the number is marked {_one_word(text.phone_status)}"


def _attempt(attempt: AttemptRecord, text: TextRecord) -> str:
    outcome = attempt.outcome.replace("_", " ")
    parts = [
        f"attempt {attempt.number}: {outcome}",
        f"code {attempt.code}" if attempt.code else "",
        f"as {attempt.sid}" if attempt.sid else "",
        f"from {attempt.sender}" if attempt.sender and text.sender not in (None, attempt.sender) else "",
        "its worker died" if attempt.worker_died else "",
        f"under {attempt.rule}" if attempt.rule else "",
        f"consent was {attempt.consent}" if attempt.consent else "",
        f"run {attempt.run_id}" if attempt.run_id else "",
    ]
    return "; ".join(part for part in parts if part)


def _delivery(text: TextRecord) -> str | None:
    """What follows once the provider has the text; None if there is no message. The best of several messages counts."""
    decides = "; the next run of sync-delivery-status decides whether it is sent again" if text.state == "sent" else ""
    best_first = {
        "arrived": "nothing more; it was delivered",
        "open": "nothing more; delivery to the phone is up to the carrier, which has not reported yet",
        "unknown": "nothing more; whether it arrived is not known, because the carrier never said",
        "lost": f"it did not arrive{decides}",
    }
    fates = {_fate(attempt) for attempt in text.history if attempt.sid}
    return next((words for fate, words in best_first.items() if fate in fates), None)


def _fate(attempt: AttemptRecord) -> str:
    if attempt.delivery in FINAL:
        return "arrived"
    if attempt.delivery in FAILURES:
        return "lost"
    return "unknown" if attempt.delivery == "unknown" else "open"


def _consent(text: TextRecord, zone: tzinfo) -> str:
    since = f" since {on_clock(text.consent_at, zone)}" if text.consent_at else ""
    source = f" ({_one_word(text.consent_source)})" if text.consent_source else ""
    suppressed = f"; the number opted out on {on_clock(text.suppressed_since, zone)}" if text.suppressed_since else ""
    return f"consent is {text.consent or 'not known'}{since}{source}{suppressed}"


def _one_word(written: str) -> str:
    """A single word, such as the application writes. Free text may name a person, so it is not shown."""
    return written if _ONE_WORD.fullmatch(written) else "in words that are not shown here"


def _next(text: TextRecord, zone: tzinfo, prediction: Prediction | None) -> str:
    at = on_clock(text.next_at, zone) if text.next_at else ""
    ahead = _predicted(prediction, zone)
    match text.state:
        case "sent":
            return _delivery(text) or "nothing more; its send log says that it was sent"
        case "failed" | "cancelled":
            return _delivery(text) or "nothing happens by itself"
        case "scheduled":
            return f"it goes into the queue shortly before {at}{ahead}" if at else "nothing: it has no time"
        case "under_way":
            return "its worker says what became of it, or it is taken back after 10 minutes of silence"
        case "in_doubt":
            return f"evidence is looked for at {at}" if at else "evidence is looked for at this moment"
        case "held" if prediction is None or prediction.result == "is held":
            return f"it is looked at again at {at}, and goes on by itself once that is mended"
        case "held":
            return f"it is looked at again at {at}{ahead}"
        case "due" | "waiting":
            return f"it is tried at {at}{ahead}"
        case _:
            assert_never(text.state)


def _predicted(prediction: Prediction | None, zone: tzinfo) -> str:
    """What it will come to, step by step."""
    text, step = "", prediction
    while step:
        text += f" and {_RESULTS[step.result].format(at=on_clock(step.at, zone))} ({step.why})"
        if step.result == "goes out" and step.text.lost_sids:
            text += ", unless an earlier message of it has arrived by then"
        step = step.then
    return text


_RESULTS: Final[dict[PredictedResult, str]] = {
    "goes out": "then goes out",
    "waits": "then waits until {at}",
    "is held": "is then held",
    "is stopped": "then waits until one text, which each run tries, has gone out",
    "is looked for": "is then looked for before it may go out",
    "is cancelled": "will be cancelled",
    "fails": "will fail",
}
"""What each result means, for people."""
