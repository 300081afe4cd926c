"""What becomes of what waits, by what `before_send` will decide, and what a text's begin would find now.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.blocks import Block, by_hour
from smsretry.desk.questions.records import Course, Prediction, WaitingText
from smsretry.instants import on_clock
from smsretry.retry.before import (
    CAP_WINDOW,
    before_send,
    stopped_state,
    wait_for_window,
    with_expiry,
)
from smsretry.retry.decision import BeforeSend, Decision, Defer, Send
from smsretry.retry.models import Claim
from smsretry.retry.profile import EVERYBODY, NOT_LISTED, Audience, Profile
from smsretry.vocabulary import WhyCode

HORIZON: Final = timedelta(days=7)
"""How far ahead a prediction looks."""


def predict(
    texts: Iterable[WaitingText],
    *,
    now: datetime,
    until: datetime,
    profile: Profile,
    audience: Audience,
) -> Iterator[tuple[WaitingText, Prediction]]:
    """Predict what the claims of each text will have come to by `until`.

    A person's texts count for one cap, so that those that go out first keep the others.

    Args:
        texts: in the order of their due times.
    """
    reached = dict[UUID | None, list[datetime]]()
    for text in texts:
        times = reached.setdefault(text.customer_id, [*text.reached_at])
        prediction = _predict(text, times, now, until, profile, audience)
        if prediction.course == "go out":
            times.append(prediction.at)
        yield text, prediction


def _predict(
    text: WaitingText,
    reached: Sequence[datetime],
    now: datetime,
    until: datetime,
    profile: Profile,
    audience: Audience,
) -> Prediction:
    """Predict a text, by when texts will have reached its number."""
    at = max(now, text.scheduled_for)
    why = text.why or ""
    decision = _decide(text, at, reached, profile)
    while isinstance(decision, Defer) and at < decision.due_at < until:
        at = decision.due_at
        why = decision.why
        decision = _decide(text, at, reached, profile)
    if not isinstance(decision, Send):
        state = None
        if decision.why_code == "state_stopped":
            state = stopped_state(text, at=at, profile=profile)
        return Prediction(
            state=state,
            course=_course(decision),
            at=at,
            why=decision.why,
            why_code=decision.why_code,
            until=decision.due_after(at),
        )
    course: Course = "go out"
    code: WhyCode | None = None
    if text.refused:
        course = "held" if text.refused_held else "end"
        why, code = text.refused, text.refused_code
    elif text.stopped:
        # Each run tries one text, and it may be another one.
        course, why, code = "wait longer", text.stopped, "sending_stopped"
    elif not audience.includes(text.phone):
        course, why, code = "end", NOT_LISTED, "not_listed"
    return Prediction(course=course, at=at, why=why, why_code=code)


def _decide(
    text: Claim, at: datetime, reached: Sequence[datetime], profile: Profile
) -> BeforeSend:
    """What is decided at that time, by what the text's begin would count."""
    text = with_expiry(text, at=at, profile=profile)
    decision = before_send(text, at=at, profile=profile)
    if isinstance(decision, Send) and (cap := decision.cap):
        times = sorted(time for time in reached if time > at - CAP_WINDOW)
        if len(times) >= cap.texts:
            room_at = times[-cap.texts] + CAP_WINDOW
            return wait_for_window(
                text, room_at, cap.description, "daily_cap", profile=profile
            )
    return decision


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
    complete: bool
    """Whether every waiting text was looked at."""
    silence: str | None = None
    """That nobody runs, and for how long: then nothing of it comes to be."""

    def tell(self) -> Iterator[Block]:
        headline = f"{sum(self.hours)} to go out in the next {len(self.hours)} h"
        for course, texts in self.counts.items():
            if course != "go out":
                headline += f", {course} {texts}"
        yield headline
        if self.silence:
            yield f"But {self.silence}: nothing goes out until one does."
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        hours = enumerate(self.hours)
        yield by_hour(
            "By hour", {self.made_at + timedelta(hours=n): texts for n, texts in hours}
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
    silence: str | None = None,
) -> Forecast:
    """Count what will become of these texts within so many hours.

    Args:
        complete: whether these are all texts that wait.
        audience: the people whom this installation texts.
        silence: that nobody runs; None: somebody does.
    """
    until = now + timedelta(hours=hours)
    predictions = [
        prediction
        for _, prediction in predict(
            texts, now=now, until=until, profile=profile, audience=audience
        )
    ]
    staying = [
        prediction for prediction in predictions if prediction.course != "go out"
    ]
    starts = Counter(
        int((prediction.at - now).total_seconds() // 3600)
        for prediction in predictions
        if prediction.course == "go out"
    )
    return Forecast(
        made_at=now,
        hours=tuple(starts[hour] for hour in range(hours)),
        counts=Counter(prediction.course for prediction in predictions),
        why=dict(Counter(prediction.why for prediction in staying).most_common()),
        complete=complete,
        silence=silence,
    )
