"""What will become of a waiting text, by the decisions that its claim and its send will make.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, TypeAlias, assert_never

from smsretry.desk.questions.records import WaitingText
from smsretry.retry import before
from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.decision import Cancel, Cap, Defer, Fail, Hold, Send
from smsretry.retry.profile import Profile
from smsretry.vocabulary import WhyCode

PredictedResult: TypeAlias = Literal[
    "goes out", "waits", "is held", "is stopped", "is looked for", "is cancelled", "fails"
]
"""What a claim will come to.

is stopped: sending is stopped, and only one text of each run is tried. is looked for: evidence of an earlier message is
looked for before another one leaves.
"""
_STEPS: Final = 4
"""How many steps one prediction follows."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a claim of a text will come to."""

    text: WaitingText
    result: PredictedResult
    at: datetime
    """When it goes out, or until when it waits."""
    why: str
    """The rule it goes out under, or why not."""
    why_code: WhyCode | None = None
    """Why not, for programs. None: it goes out, or is only due later."""
    send_before: datetime | None = None
    """When it must have gone out, if it goes out."""
    then: "Prediction | None" = None
    """What follows when it has waited."""
    stopped_in: tuple[str, ...] = ()
    """US states whose stop keeps it, if one does."""


def predict(
    text: WaitingText,
    *,
    now: datetime,
    profile: Profile,
    stopped: str | None = None,
    audience: Audience = EVERYBODY,
    steps: int = _STEPS,
) -> Prediction:
    """Decide about a waiting text as its claim will, and about what follows if that is to wait.

    Args:
        stopped: why its sender, or everybody's, does not send now, as a sentence.
        audience: whom this installation texts.
    """
    at = max(now, text.scheduled_for)
    first = predict_at(text, at=at, profile=profile, stopped=stopped, texts_at=text.texts_at, audience=audience)
    if first.result != "waits" or first.at <= at or steps <= 1:
        return first
    then = predict(text, now=first.at, profile=profile, stopped=stopped, audience=audience, steps=steps - 1)
    return replace(first, then=then)


def predict_at(
    text: WaitingText,
    *,
    at: datetime,
    profile: Profile,
    stopped: str | None,
    texts_at: Sequence[datetime],
    audience: Audience = EVERYBODY,
) -> Prediction:
    """What a claim at this time comes to.

    Args:
        texts_at: when its number will have had texts that count against a cap, the newest first.
    """
    decision = before.before_send(text, at=at, profile=profile)
    if not isinstance(decision, Send):
        stops = [state for state in text.stopped_states if waits_for_stop(text, {state}, at=at, profile=profile)]
        return replace(_put_off(text, at, decision), stopped_in=tuple(stops))
    if text.refused:
        return Prediction(text, "is cancelled", at, text.refused, text.refused_code)
    if text.doubted:
        return Prediction(text, "is looked for", at, text.doubted, "in_doubt")
    if stopped is not None:
        return Prediction(text, "is stopped", at, stopped, "sending_stopped")
    if decision.cap and (reached_at := _reached(decision.cap, texts_at)):
        return _put_off(text, at, before.after_cap(text, reached_at=reached_at, profile=profile))
    if not audience.includes(phone=text.phone, business_id=text.business_id):
        return Prediction(text, "is cancelled", at, audience.refusal, "not_listed")
    return Prediction(text, "goes out", at, decision.rule, send_before=decision.send_before)


def waits_for_stop(text: WaitingText, states: Collection[str], *, at: datetime, profile: Profile) -> bool:
    """Whether it would be held at this time because no marketing text may go to these states."""
    stopped = text.model_copy(update={"stopped_states": tuple(sorted(states))})
    decision = before.before_send(stopped, at=at, profile=profile)
    return isinstance(decision, Hold) and decision.why_code == "state_stopped"


def _reached(cap: Cap, texts_at: Sequence[datetime]) -> datetime | None:
    """Counts as `smsretry.cap_reached_at` in SQL does."""
    counted = [moment for moment in texts_at if moment > cap.since]
    return counted[cap.texts - 1] if len(counted) >= cap.texts else None


def _put_off(text: WaitingText, at: datetime, decision: Defer | Hold | Fail | Cancel) -> Prediction:
    match decision:
        case Defer(why, code, until=until):
            return Prediction(text, "waits", until, why, code)
        case Hold(why, code):
            return Prediction(text, "is held", at, why, code)
        case Cancel(why, code):
            return Prediction(text, "is cancelled", at, why, code)
        case Fail(why, code):
            return Prediction(text, "fails", at, why, code)
        case _:
            assert_never(decision)
