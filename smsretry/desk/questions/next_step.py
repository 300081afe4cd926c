"""What happens to a text without a person."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Final

from smsretry.desk.questions.preview import Step
from smsretry.desk.questions.records import AttemptRecord, TextRecord
from smsretry.instants import on_clock
from smsretry.retry.backoff import next_look_delay
from smsretry.retry.delivery import FAILURES, FINAL
from smsretry.retry.doubt import MIN_LOOKS, MIN_QUARANTINE
from smsretry.retry.profile import Profile

_AHEAD: Final[Mapping[str, str]] = {
    "Sent": "then goes out",
    "Deferred": "then waits until {at}",
    "Held": "is then held",
    "GivenBack": "then waits until one text, which each run tries, has gone out",
    "Cancelled": "will be cancelled",
    "Failed": "will fail",
}
"""What each fate of its next claims means, for people."""
_DELIVERY: Final = {
    "arrived": "nothing more; it was delivered",
    "open": "nothing more; delivery to the phone is up to the carrier, which has not reported yet",
    "unknown": "nothing more; whether it arrived is not known, because the carrier never said",
    "lost": "it did not arrive",
}
"""What follows once the provider has a message, the best first: of several messages of a text, that counts."""


def next_step(text: TextRecord, zone: tzinfo, steps: Sequence[Step], profile: Profile) -> str:
    """In words. `steps`: what its claims will come to, if it waits."""
    at = on_clock(text.next_at, zone) if text.next_at else ""
    ahead = "".join(f" and {_AHEAD[one.fate].format(at=on_clock(one.at, zone))} ({one.why})" for one in steps)
    match text.state:
        case "sent" | "failed" | "cancelled":
            return _over(text)
        case "not_queued":
            return "nothing happens by itself"
        case "scheduled" | "due" if text.next_at and text.next_at <= text.asked_at:
            of = " of process-scheduled-sends" if text.state == "scheduled" else ""
            return f"it is taken by one of the next runs{of}{ahead}"
        case "scheduled":
            return f"it goes into the queue shortly before {at}{ahead}" if at else "nothing: it has no time"
        case "under_way":
            return "its worker says what became of it, or it is taken back after 10 minutes of silence"
        case "in_doubt":
            return f"evidence is looked for at {at or 'this moment'}{_looks(text, zone, profile)}"
        case "held" if not steps or steps[0].fate == "Held":
            return f"it is looked at again at {at}, and goes on by itself once that is fixed"
        case "held":
            return f"it is looked at again at {at}{ahead}"
        case _:
            return f"it is tried at {at}{ahead}"


def _looks(text: TextRecord, zone: tzinfo, profile: Profile) -> str:
    """Which look that is, what follows it, and whether a person need do anything. As `smsretry.retry.doubt` decides."""
    if text.held_since:
        return ". It goes on by itself if it is found; otherwise it waits for a person to say what became of it"
    at, looks = text.next_at or text.asked_at, text.looks + 1
    while looks < MIN_LOOKS or at - text.since < MIN_QUARANTINE:
        at, looks = at + next_look_delay(looks), looks + 1
    if profile.in_doubt == "hold":
        follows = "it is held for a person to decide (SMSRETRY_IN_DOUBT is hold)"
    else:
        over = text.expires_at and text.expires_at <= at
        follows = "it is cancelled, because it expires before" if over else "it is sent again"
    nth = ("first", "second", "third")[min(text.looks, 2)]
    by = "then" if text.next_at == at else f"by {on_clock(at, zone)}"
    return f", for the {nth} of {MIN_LOOKS} times. If nothing is found {by}, {follows}. Nobody need do anything now"


def _over(text: TextRecord) -> str:
    """What follows an end: of what the provider has, what the carrier says."""
    fates = {_fate(attempt) for attempt in text.history if attempt.sid}
    best = next((fate for fate in _DELIVERY if fate in fates), None)
    if best is None:
        sent = text.state == "sent"
        return "nothing more; its send log says that it was sent" if sent else "nothing happens by itself"
    again = "; the next run of sync-delivery-status decides whether it is sent again"
    return _DELIVERY[best] + again * (best == "lost" and text.state == "sent")


def _fate(attempt: AttemptRecord) -> str:
    if attempt.delivery in FINAL:
        return "arrived"
    if attempt.delivery in FAILURES:
        return "lost"
    return "unknown" if attempt.delivery == "unknown" else "open"
