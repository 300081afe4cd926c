"""Which texts go out in the hours to come: each as its claim would decide about it now, counted by hour."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from smsretry.desk.questions.prediction import PredictedResult, Prediction, predict
from smsretry.desk.questions.records import Answer, UnreadText, WaitingText
from smsretry.desk.questions.senders import NO_STOPS, SenderRecord, Stops
from smsretry.instants import on_clock
from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.models import AssignedSender, Value
from smsretry.retry.profile import Profile
from smsretry.retry.segments import segments
from smsretry.vocabulary import WhyCode

_BAR: Final = 30
"""Columns of the longest bar."""
_KINDS: Final[dict[PredictedResult, str]] = {
    "goes out": "go_out",
    "waits": "wait_longer",
    "is stopped": "wait_longer",
    "is looked for": "wait_longer",
    "is held": "held",
    "is cancelled": "end",
    "fails": "end",
}


class HourAhead(Value):
    """One hour to come, and how many texts may go out in it."""

    starts_at: datetime
    texts: int


class BusinessAhead(Value):
    """One business's texts within the hours of the preview."""

    business_id: UUID
    business: str | None = None
    go_out: int = 0
    wait_longer: int = 0
    held: int = 0
    end: int = 0
    why: dict[str, int]
    """Why the others do not go out, and how many."""
    why_codes: dict[WhyCode, int]
    """The same, for programs."""


class TooSlow(Value):
    """A sender whose rate or cap does not reach the texts that may go out from it."""

    sender: str
    starts_at: datetime
    segments: int
    takes: int
    of: str
    """hour, or day."""

    def __str__(self) -> str:
        when = f"in the hour from {on_clock(self.starts_at)}" if self.of == "hour" else "in its day"
        return f"{self.sender} takes {self.takes} segments {when}, and {self.segments} want to go: the others wait"


class Forecast(Answer):
    """The hours to come."""

    made_at: datetime
    hours: tuple[HourAhead, ...]
    businesses: tuple[BusinessAhead, ...]
    too_slow: tuple[TooSlow, ...] = ()
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

    def told(self) -> dict[str, Any]:
        return super().told() | {"go_out": self.go_out}

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
        yield from (f"too slow: {one}" for one in self.too_slow)
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
        yield f"As of {on_clock(self.made_at)}. Nothing was changed. A customer who opts out before then gets no text."


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
    senders: Iterable[SenderRecord] = (),
) -> Forecast:
    """Add up what will become of these texts within so many hours, for one business or for all.

    Args:
        texts: those of every business, because some share a sender's rate.
        stops: why sending is stopped, if it is.
        audience: whom this installation texts.
        senders: with what each sends, and has used of its day.
    """
    known, until = list(texts), now + timedelta(hours=hours)
    by_business = dict[UUID, list[Prediction]]()
    by_hour, by_sender = Counter[int](), dict[UUID, tuple[AssignedSender, Counter[int]]]()
    for text in known:
        if isinstance(text, UnreadText):
            continue
        first = predict(text, now=now, profile=profile, stopped=stops.why(text), audience=audience)
        end = _end(first)
        if end.result == "goes out" and end.at >= until and first.then:  # what it waits for, and not that it is later
            end = replace(first, at=end.at)
        goes, hour = end.result == "goes out" and end.at < until, int((end.at - now).total_seconds() // 3600)
        if goes and text.sender:
            by_sender.setdefault(text.sender.id, (text.sender, Counter()))[1][hour] += segments(text.body or "")
        if business_id in (None, text.business_id):
            by_business.setdefault(text.business_id, []).append(end)
            by_hour[hour] += goes
    names = {user.business_id: user.business for one in senders for user in one.used_by}
    most_first = sorted(by_business.items(), key=lambda entry: -len(entry[1]))
    return Forecast(
        made_at=now,
        hours=tuple(HourAhead(starts_at=now + timedelta(hours=n), texts=by_hour[n]) for n in range(hours)),
        businesses=tuple(_business(one, names.get(one), ends, until) for one, ends in most_first),
        too_slow=tuple(_too_slow(senders, by_sender.values(), now)),
        complete=complete,
        stopped=stops.everybody,
        texts_only=audience.told,
        unreadable=tuple(text.id for text in known if isinstance(text, UnreadText)),
    )


def _end(prediction: Prediction) -> Prediction:
    while prediction.then:
        prediction = prediction.then
    return prediction


def _business(business_id: UUID, name: str | None, ends: list[Prediction], until: datetime) -> BusinessAhead:
    others = [end for end in ends if end.result != "goes out"]
    later = sum(end.result == "goes out" and end.at >= until for end in ends)
    results = Counter(_KINDS[end.result] for end in ends)
    results["go_out"] -= later
    results["wait_longer"] += later
    why = Counter(end.why for end in others) + Counter({"It is due later": later})
    codes = Counter(end.why_code for end in others if end.why_code)
    return BusinessAhead(
        business_id=business_id,
        business=name,
        **results,
        why=dict(why.most_common()),
        why_codes=dict(codes.most_common()),
    )


def _too_slow(
    senders: Iterable[SenderRecord], wants: Iterable[tuple[AssignedSender, Counter[int]]], now: datetime
) -> Iterator[TooSlow]:
    """What a sender does not reach in one hour waits for the next."""
    known = {one.sender_id: one for one in senders}
    for sender, wanted in wants:
        one, rate = known.get(sender.id), sender.segments_per_second
        title = one.whose if one else "the sender of the environment"
        takes, over = int((rate or 0) * 3600), 0
        for hour in range(max(wanted) + 1) if rate else ():
            over += wanted[hour]
            if over > takes:
                yield TooSlow(
                    sender=title, starts_at=now + timedelta(hours=hour), segments=over, takes=takes, of="hour"
                )
            over = max(over - takes, 0)
        if one and one.segments_per_day is not None:
            room = max(one.segments_per_day - (one.used_today or 0), 0)
            today = sum(size for hour, size in wanted.items() if now + timedelta(hours=hour) < one.day_ends_at)
            if today > room:
                yield TooSlow(sender=title, starts_at=now, segments=today, takes=room, of="day")
