"""What happens to a text without a person."""

from datetime import datetime, tzinfo
from typing import Final, assert_never

from smsretry.desk.questions.prediction import PredictedResult, Prediction
from smsretry.desk.questions.records import AttemptRecord, TextRecord
from smsretry.instants import on_clock
from smsretry.retry.backoff import next_look_delay
from smsretry.retry.delivery import FAILURES, FINAL
from smsretry.retry.doubt import MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.vocabulary import InDoubtPolicy


def next_step(text: TextRecord, zone: tzinfo, prediction: Prediction | None, profile: Profile = DEFAULT) -> str:
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
            return f"evidence is looked for at {at or 'this moment'}{_looks(text, zone, profile)}"
        case "held" if prediction is None or prediction.result == "is held":
            return f"it is looked at again at {at}, and goes on by itself once that is fixed"
        case "held":
            return f"it is looked at again at {at}{ahead}"
        case "due" | "waiting":
            return f"it is tried at {at}{ahead}"
        case _:
            assert_never(text.state)


def _looks(text: TextRecord, zone: tzinfo, profile: Profile) -> str:
    """Which look that is, what follows it, and whether a person need do anything."""
    if text.held_since:
        return ". It goes on by itself if it is found; otherwise it waits for a person to say what became of it"
    at = _decided_at(text)
    follows = _NOT_FOUND[profile.in_doubt]
    if text.expires_at and text.expires_at <= at and profile.in_doubt == "resend":
        follows = "it is cancelled, because it expires before"
    by = "then" if text.next_at == at else f"by {on_clock(at, zone)}"
    nth = _NTH[min(text.looks, MIN_LOOKS - 1)]
    return f", for the {nth} of {MIN_LOOKS} times. If nothing is found {by}, {follows}. Nobody need do anything now"


def _decided_at(text: TextRecord) -> datetime:
    """When the last look is made, if none finds anything and none fails: as `smsretry.retry.doubt` decides."""
    at, looks = text.next_at or text.asked_at, text.looks + 1
    while looks < MIN_LOOKS or at - text.since < MIN_QUARANTINE:
        at, looks = at + next_look_delay(looks), looks + 1
    return at


def _predicted(prediction: Prediction | None, zone: tzinfo) -> str:
    """What it will come to, step by step."""
    text, step = "", prediction
    while step:
        text += f" and {_RESULTS[step.result].format(at=on_clock(step.at, zone))} ({step.why})"
        if step.result == "goes out" and step.text.lost_sids:
            text += ", unless an earlier message of it has arrived by then"
        step = step.then
    return text


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
_NTH: Final = ("first", "second", "third")
_NOT_FOUND: Final[dict[InDoubtPolicy, str]] = {
    "resend": "it is sent again",
    "hold": "it is held for a person to decide (SMSRETRY_IN_DOUBT is hold)",
}
"""What becomes of a text of which no evidence is found."""
