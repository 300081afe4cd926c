"""Which texts go out in the hours to come, one after the other at each sender's rate."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

from smsretry.desk.questions.prediction import PredictedResult, Prediction
from smsretry.desk.questions.records import UnreadText, WaitingText
from smsretry.desk.questions.senders import NO_STOPS, SenderRecord, Stops
from smsretry.desk.questions.turns import Turns
from smsretry.instants import on_clock
from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.models import Value
from smsretry.retry.profile import Profile
from smsretry.vocabulary import WhyCode

NOT_YET: Final = "It is due later"
_BAR: Final = 30
"""Columns of the longest bar."""
_TURNS: Final = 50
"""How many waits of one text are predicted. Further ones are later than any preview."""


class HourAhead(Value):
    """One hour to come, and how many texts go out in it."""

    starts_at: datetime
    texts: int


class BusinessAhead(Value):
    """One business's texts within the hours of the preview."""

    business_id: UUID
    business: str | None = None
    """Its name. None if the senders do not list it: each lists twenty."""
    go_out: int
    wait_longer: int
    held: int
    end: int
    why: dict[str, int]
    """Why the others do not go out, and how many."""
    why_codes: dict[WhyCode, int]
    """The same, for programs."""


class Forecast(Value):
    """The hours to come."""

    made_at: datetime
    hours: tuple[HourAhead, ...]
    businesses: tuple[BusinessAhead, ...]
    complete: bool
    """Whether every waiting text was looked at."""
    stopped: str | None = None
    """Why nothing goes out now, if sending is stopped. One text of each run tries whether it works again."""
    texts_only: str | None = None
    """Who alone may be texted from here, in words. None: everybody may."""
    unreadable: tuple[UUID, ...] = ()
    """Waiting texts that cannot be read in full, so that nothing is predicted about them."""

    @property
    def go_out(self) -> int:
        """How many texts go out."""
        return sum(hour.texts for hour in self.hours)

    def lines(self) -> Iterator[str]:
        """All of it, a line each; the first has the numbers. Hours and businesses without a text are left out."""
        others = sum(one.wait_longer + one.held + one.end for one in self.businesses)
        yield f"{self.go_out} to go out in the next {len(self.hours)} h, {others} not"
        if self.texts_only:
            yield f"By the settings here, this installation {self.texts_only}. What else would go out is cancelled."
        if self.stopped:
            yield f"Sending is stopped: {self.stopped}. One text of each run tries whether it works again."
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        yield from (f"cannot be read: row {row}" for row in self.unreadable)
        most = max((hour.texts for hour in self.hours), default=0)
        if most:
            yield "by hour:"
        for hour in self.hours:
            if hour.texts:
                bar = "█" * max(1, round(hour.texts / most * _BAR))
                yield f"  from {on_clock(hour.starts_at)}  {bar} {hour.texts}"
        for one in self.businesses:
            yield f"{one.business + ', ' if one.business else ''}business {one.business_id}"
            numbers = {"go out": one.go_out, "wait longer": one.wait_longer, "held": one.held, "end": one.end}
            yield "  " + ", ".join(f"{name} {texts}" for name, texts in numbers.items() if texts)
            yield from (f"  {texts}: {why}" for why, texts in one.why.items())
            if one.why_codes:
                yield "  why: " + ", ".join(f"{code} {texts}" for code, texts in one.why_codes.items())


def _fates(texts: Iterable[WaitingText], senders: Turns, *, now: datetime, until: datetime) -> Iterator[Prediction]:
    """What each text will come to by then. Texts that are due at once take turns by business, as in claims."""
    turns = Counter[UUID]()
    waiting = list[tuple[datetime, int, int, int, Prediction]]()
    for place, text in enumerate(texts):
        turns[text.business_id] += 1
        due = max(now, text.scheduled_for)
        heappush(waiting, (due, turns[text.business_id], place, 0, Prediction(text, "waits", due, NOT_YET)))
    while waiting:
        at, turn, place, waits, wait = heappop(waiting)
        if at >= until or waits > _TURNS:
            yield replace(wait, at=at)
            continue
        prediction = senders.try_at(wait.text, at, until)
        if prediction.result == "waits":
            later = max(prediction.at, at + timedelta(seconds=1))
            heappush(waiting, (later, turn, place, waits + 1, prediction))
        else:
            yield prediction


def forecast(
    texts: Iterable[WaitingText | UnreadText],
    *,
    now: datetime,
    hours: int,
    profile: Profile,
    business_id: UUID | None = None,
    complete: bool = True,
    stops: Stops = NO_STOPS,
    audience: Audience = EVERYBODY,
    senders: Mapping[UUID, SenderRecord] | None = None,
    names: Mapping[UUID, str] | None = None,
) -> Forecast:
    """Add up what will become of these texts within so many hours, for one business or for all.

    Args:
        texts: those of every business, because they share a sender's rate.
        stops: why sending is stopped, if it is.
        audience: whom this installation texts.
        senders: the businesses' own, by their ids: what each has used of its day.
        names: of businesses, as far as they are known.
    """
    known = list(texts)
    readable = [text for text in known if isinstance(text, WaitingText)]
    by_hour, by_business = Counter[int](), dict[UUID, list[Prediction]]()
    turns = Turns(profile, stops, now, audience, senders or {})
    for prediction in _fates(readable, turns, now=now, until=now + timedelta(hours=hours)):
        if business_id in (None, prediction.text.business_id):
            by_business.setdefault(prediction.text.business_id, []).append(prediction)
            if prediction.result == "goes out":
                by_hour[int((prediction.at - now).total_seconds() // 3600)] += 1
    most_first = sorted(by_business.items(), key=lambda entry: -len(entry[1]))
    return Forecast(
        made_at=now,
        hours=tuple(HourAhead(starts_at=now + timedelta(hours=n), texts=by_hour[n]) for n in range(hours)),
        businesses=tuple(_business(one, (names or {}).get(one), predictions) for one, predictions in most_first),
        complete=complete,
        stopped=stops.everybody,
        texts_only=audience.told,
        unreadable=tuple(text.id for text in known if isinstance(text, UnreadText)),
    )


def _business(business_id: UUID, name: str | None, predictions: Sequence[Prediction]) -> BusinessAhead:
    results = Counter(_KINDS[prediction.result] for prediction in predictions)
    others = [prediction for prediction in predictions if prediction.result != "goes out"]
    why = Counter(prediction.why for prediction in others)
    why_codes = Counter(prediction.why_code for prediction in others if prediction.why_code)
    return BusinessAhead(
        business_id=business_id,
        business=name,
        go_out=results["go_out"],
        wait_longer=results["wait_longer"],
        held=results["held"],
        end=results["end"],
        why=dict(why.most_common()),
        why_codes=dict(why_codes.most_common()),
    )


_KINDS: Final[dict[PredictedResult, str]] = {
    "goes out": "go_out",
    "waits": "wait_longer",
    "is stopped": "wait_longer",
    "is looked for": "wait_longer",
    "is held": "held",
    "is cancelled": "end",
    "fails": "end",
}
