"""What becomes of what waits, by what `before_send` will decide, and what a text's begin would find now.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
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
"""How far ahead a prediction looks."""
Course: TypeAlias = Literal["go out", "wait longer", "held", "end"]
"""What a text is predicted to do."""


class Prediction(Value):
    """What the next runs will make of a text, if nobody says or mends anything meanwhile."""

    course: Course
    at: datetime
    """When that will be."""
    detail: str = ""
    """Why it does not go out, or what it waits for until it goes out."""
    why_code: WhyCode | None = None
    until: datetime | None = None
    """The end of a longer wait. None: nobody knows."""


def predict(
    text: WaitingText,
    *,
    now: datetime,
    until: datetime,
    profile: Profile,
    audience: Audience,
) -> Prediction:
    """Predict what the claims of a text will have come to by `until`."""
    at = max(now, text.scheduled_for)
    detail = text.why or ""
    decision = before_send(text, at=at, profile=profile)
    while isinstance(decision, Defer) and at < decision.until < until:
        at = decision.until
        detail = decision.detail
        decision = before_send(text, at=at, profile=profile)
    if not isinstance(decision, Send):
        return Prediction(
            course=_course(decision),
            at=at,
            detail=decision.detail,
            why_code=decision.why_code,
            until=decision.due_at(at),
        )
    if text.refused:
        course: Course = "held" if text.refused_held else "end"
        return Prediction(
            course=course, at=at, detail=text.refused, why_code=text.refused_code
        )
    if text.stopped:
        # Each run tries one text, and it may be another one.
        return Prediction(
            course="wait longer", at=at, detail=text.stopped, why_code="sending_stopped"
        )
    if not audience.includes(text.phone):
        return Prediction(course="end", at=at, detail=NOT_LISTED, why_code="not_listed")
    return Prediction(course="go out", at=at, detail=detail)


def _course(decision: Decision) -> Course:
    if decision.is_held:
        return "held"
    return "wait longer" if decision.row_status == "pending" else "end"


class Forecast(Answer):
    """The hours to come."""

    made_at: datetime
    hours: tuple[int, ...]
    """How many texts may go out in each hour from then on."""
    counts: dict[str, int]
    """How many texts go out, wait longer, are held, and end."""
    why: dict[str, int]
    """Why the other texts do not go out, and how many do not for that reason."""
    too_slow: tuple[str, ...]
    """The senders whose rate does not reach what may go out from them."""
    complete: bool
    """Whether every waiting text was looked at."""

    def tell(self) -> Iterator[Block]:
        headline = f"{sum(self.hours)} to go out in the next {len(self.hours)} h"
        for course, texts in self.counts.items():
            if course != "go out":
                headline += f", {course} {texts}"
        yield headline
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        for sender in self.too_slow:
            yield f"too slow: {sender}"
        yield Hours(
            "by hour:",
            [
                (self.made_at + timedelta(hours=hour), [texts])
                for hour, texts in enumerate(self.hours)
            ],
        )
        for reason, texts in self.why.items():
            yield f"{texts} not: {reason}"
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
        complete: whether these are all texts that wait.
        audience: the people whom this installation texts.
        senders: all senders, for the limits of their rates.
    """
    courses = Counter[str]()
    reasons = Counter[str]()
    texts_by_hour = Counter[int]()
    demands = defaultdict[UUID | None, Counter[int]](Counter)
    for text in texts:
        prediction = predict(
            text,
            now=now,
            until=now + timedelta(hours=hours),
            profile=profile,
            audience=audience,
        )
        courses[prediction.course] += 1
        if prediction.course == "go out":
            hour = int((prediction.at - now).total_seconds() // 3600)
            texts_by_hour[hour] += 1
            demands[text.sender.id][hour] += segments(text.body or "")
        else:
            reasons[prediction.detail] += 1
    shortfalls = (
        _shortfall(sender, demands[sender.sender_id], now) for sender in senders
    )
    return Forecast(
        made_at=now,
        hours=tuple(texts_by_hour[hour] for hour in range(hours)),
        counts=dict(courses),
        why=dict(reasons.most_common()),
        too_slow=tuple(filter(None, shortfalls)),
        complete=complete,
    )


def _shortfall(
    sender: SenderRecord, demand: Mapping[int, int], now: datetime
) -> str | None:
    """The first hour whose segments a sender's rate does not reach. None: it reaches all."""
    if sender.segments_per_second is None:
        return None
    capacity = int(sender.segments_per_second * 3600)
    for hour in sorted(demand):
        if demand[hour] > capacity:
            start = on_clock(now + timedelta(hours=hour))
            words = f"takes {capacity} segments in the hour from {start}"
            return f"{sender.title} {words}, and {demand[hour]} want to go: the others wait"
    return None
