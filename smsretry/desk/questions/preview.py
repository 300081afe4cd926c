"""What becomes of what waits, by what `before_send` will decide, and what a text's begin would find now.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from math import inf
from typing import Final, Literal, TypeAlias
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, Hours
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.instants import on_clock
from smsretry.retry.before import before_send
from smsretry.retry.decision import Decision, Defer, Send
from smsretry.retry.models import Value
from smsretry.retry.profile import EVERYBODY, NOT_LISTED, Audience, Profile
from smsretry.retry.segments import segments
from smsretry.vocabulary import WhyCode

HORIZON: Final = timedelta(days=7)
"""How far ahead anybody looks."""


PredictedFate: TypeAlias = Literal["go out", "wait longer", "held", "end"]


class Prediction(Value):
    """What the next runs will make of a text, if nobody says or mends anything meanwhile."""

    fate: PredictedFate
    at: datetime
    """When that will be."""
    detail: str = ""
    """Why it does not go out; of one that goes out, what it waits for until then."""
    why_code: WhyCode | None = None
    until: datetime | None = None
    """Until when one that waits longer does so. None: nobody knows."""


def predict(
    text: WaitingText,
    *,
    now: datetime,
    until: datetime,
    profile: Profile,
    audience: Audience,
) -> Prediction:
    """What its claims will have come to by then."""
    at, detail = max(now, text.scheduled_for), text.why or ""
    decision = before_send(text, at=at, profile=profile)
    while isinstance(decision, Defer) and at < decision.until < until:
        at, detail = decision.until, decision.detail
        decision = before_send(text, at=at, profile=profile)
    if not isinstance(decision, Send):
        return Prediction(
            fate=_fate(decision),
            at=at,
            detail=decision.detail,
            why_code=decision.why_code,
            until=decision.due_at(at),
        )
    if text.refused:
        fate: PredictedFate = "held" if text.refused_held else "end"
        return Prediction(
            fate=fate, at=at, detail=text.refused, why_code=text.refused_code
        )
    if text.stopped:  # only one text of each run is tried
        return Prediction(
            fate="wait longer", at=at, detail=text.stopped, why_code="sending_stopped"
        )
    if not audience.includes(text.phone):
        return Prediction(fate="end", at=at, detail=NOT_LISTED, why_code="not_listed")
    return Prediction(fate="go out", at=at, detail=detail)


def _fate(decision: Decision) -> PredictedFate:
    if decision.is_held:
        return "held"
    return "wait longer" if decision.row_status == "pending" else "end"


class Forecast(Answer):
    """The hours to come."""

    made_at: datetime
    hours: tuple[int, ...]
    """How many texts may go out in each hour from then on."""
    counts: dict[str, int]
    """How many go out, wait longer, are held, and end."""
    why: dict[str, int]
    """Why the others do not go out, and how many."""
    too_slow: tuple[str, ...]
    """Where a sender's rate does not reach what may go out from it."""
    complete: bool
    """Whether every waiting text was looked at."""

    def tell(self) -> Iterator[Block]:
        remark = "".join(
            f", {kind} {texts}"
            for kind, texts in self.counts.items()
            if kind != "go out"
        )
        yield f"{sum(self.hours)} to go out in the next {len(self.hours)} h{remark}"
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        yield from (f"too slow: {sender_text}" for sender_text in self.too_slow)
        yield Hours(
            "by hour:",
            [
                (self.made_at + timedelta(hours=n), [texts])
                for n, texts in enumerate(self.hours)
            ],
        )
        yield from (f"{texts} not: {reason}" for reason, texts in self.why.items())
        yield f"As of {on_clock(self.made_at)}. Nothing was changed. A customer who opts out before then gets no text."


def forecast(
    texts: Iterable[WaitingText],
    *,
    now: datetime,
    hours: int,
    profile: Profile,
    complete: bool = True,
    audience: Audience = EVERYBODY,
    senders: Iterable[SenderRecord] = (),
) -> Forecast:
    """Count what will become of these texts within so many hours.

    Args:
        audience: whom this installation texts.
        senders: all of them.
    """
    counts, reasons, by_hour = Counter[str](), Counter[str](), Counter[int]()
    by_sender = defaultdict[UUID | None, Counter[int]](Counter)
    for text in texts:
        prediction = predict(
            text,
            now=now,
            until=now + timedelta(hours=hours),
            profile=profile,
            audience=audience,
        )
        counts[prediction.fate] += 1
        if prediction.fate == "go out":
            hour = int((prediction.at - now).total_seconds() // 3600)
            by_hour[hour] += 1
            by_sender[text.sender.id][hour] += segments(text.body or "")
        else:
            reasons[prediction.detail] += 1
    return Forecast(
        made_at=now,
        hours=tuple(by_hour[n] for n in range(hours)),
        counts=dict(counts),
        why=dict(reasons.most_common()),
        too_slow=tuple(
            words
            for sender in senders
            for words in _slow(sender, by_sender[sender.sender_id], now)
        ),
        complete=complete,
    )


def _slow(sender: SenderRecord, demand: Counter[int], now: datetime) -> Iterator[str]:
    """The first hour that a sender's rate does not reach."""
    takes = (sender.segments_per_second or inf) * 3600
    crowded = [hour for hour, segments in demand.items() if segments > takes]
    if crowded:
        hour = min(crowded)
        when = f"in the hour from {on_clock(now + timedelta(hours=hour))}"
        yield f"{sender.title} takes {int(takes)} segments {when}, and {demand[hour]} want to go: the others wait"
