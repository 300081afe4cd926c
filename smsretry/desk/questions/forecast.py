"""What goes out in the hours to come, one text after the other at the sender's rate."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

from smsretry.desk.questions.prediction import Foreseen, Will, foresee_at
from smsretry.desk.questions.records import UnreadText, WaitingText
from smsretry.retry.models import Value
from smsretry.retry.profile import Profile
from smsretry.retry.segments import segments, sending_seconds
from smsretry.vocabulary import WhyCode

TOO_SLOW: Final = "The sender's rate does not reach it before its window closes or it expires"
TOO_FAR: Final = "The sender's rate does not reach it within these hours"
NOT_YET: Final = "It is due later"
_TURNS: Final = 50
"""How often a text is foreseen to wait. One that would wait more often waits longer than anybody asks."""


class HourAhead(Value):
    """One hour to come, and how many texts go out in it."""

    starts_at: datetime
    texts: int


class BusinessAhead(Value):
    """One business's texts within the hours asked about."""

    business_id: UUID
    go_out: int
    wait_longer: int
    held: int
    end: int
    why: dict[str, int]
    """Why those that do not go out do not."""
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
    unreadable: tuple[UUID, ...] = ()
    """Waiting texts of which something cannot be read, so that nothing is foreseen of them."""

    @property
    def go_out(self) -> int:
        """How many texts go out."""
        return sum(hour.texts for hour in self.hours)


@dataclass(slots=True)
class _Sender:
    """What the texts before have left of the sender's time, and what their numbers have had."""

    profile: Profile
    stopped: str | None
    free_at: datetime
    texts_at: dict[tuple[UUID, str | None], list[datetime]] = field(default_factory=dict)

    def try_at(self, text: WaitingText, at: datetime, until: datetime) -> Foreseen:
        """What a claim at this time comes to, when the text has had its turn; one that goes out is sent."""
        had = self.texts_at.setdefault((text.business_id, text.phone), list(text.texts_at))
        foreseen = self._foresee(text, at, had)
        if foreseen.will != "goes out":
            return foreseen
        if self.profile.segments_per_second is not None:
            turn = max(at, self.free_at)
            if foreseen.send_before and turn >= foreseen.send_before:
                late = self._foresee(text, turn, had)
                if late.will != "goes out":
                    return replace(late, why=TOO_SLOW, why_code="sender_rate")
            if turn >= until:
                return replace(foreseen, will="waits", at=turn, why=TOO_FAR, why_code="sender_rate")
            size = segments(text.body or "")
            self.free_at = turn + timedelta(seconds=sending_seconds(size, self.profile.segments_per_second))
            foreseen = replace(foreseen, at=turn)
        had.insert(0, foreseen.at)
        return foreseen

    def _foresee(self, text: WaitingText, at: datetime, had: Sequence[datetime]) -> Foreseen:
        return foresee_at(text, at=at, profile=self.profile, stopped=self.stopped, texts_at=had)


def _fates(texts: Iterable[WaitingText], sender: _Sender, *, now: datetime, until: datetime) -> Iterator[Foreseen]:
    """What each text comes to by then. What is due at once goes business by business in turns, as claims do."""
    turns = Counter[UUID]()
    waiting = list[tuple[datetime, int, int, int, Foreseen]]()
    for place, text in enumerate(texts):
        turns[text.business_id] += 1
        due = max(now, text.scheduled_for)
        heappush(waiting, (due, turns[text.business_id], place, 0, Foreseen(text, "waits", due, NOT_YET)))
    while waiting:
        at, turn, place, waits, wait = heappop(waiting)
        if at >= until or waits > _TURNS:
            yield replace(wait, at=at)
            continue
        foreseen = sender.try_at(wait.text, at, until)
        if foreseen.will == "waits":
            later = max(foreseen.at, at + timedelta(seconds=1))
            heappush(waiting, (later, turn, place, waits + 1, foreseen))
        else:
            yield foreseen


def forecast(
    texts: Iterable[WaitingText | UnreadText],
    *,
    now: datetime,
    hours: int,
    profile: Profile,
    business_id: UUID | None = None,
    complete: bool = True,
    stopped: str | None = None,
) -> Forecast:
    """Add up what will become of these texts within so many hours; told of one business, or of all.

    Args:
        texts: those of every business, because they share the sender's rate.
        stopped: why sending is stopped, if it is.
    """
    until = now + timedelta(hours=hours)
    by_hour, tallies, whys = Counter[int](), dict[UUID, Counter[str]](), dict[UUID, Counter[str]]()
    codes = dict[UUID, Counter[WhyCode]]()
    unread, readable = list[UUID](), list[WaitingText]()
    for text in texts:
        if isinstance(text, UnreadText):
            unread.append(text.id)
        else:
            readable.append(text)
    for foreseen in _fates(readable, _Sender(profile, stopped, now), now=now, until=until):
        business = foreseen.text.business_id
        if business_id not in (None, business):
            continue
        tally = tallies.setdefault(business, Counter())
        tally[_KINDS[foreseen.will]] += 1
        if foreseen.will == "goes out":
            by_hour[int((foreseen.at - now).total_seconds() // 3600)] += 1
        else:
            whys.setdefault(business, Counter())[foreseen.why] += 1
            if foreseen.why_code:
                codes.setdefault(business, Counter())[foreseen.why_code] += 1
    return Forecast(
        made_at=now,
        hours=tuple(HourAhead(starts_at=now + timedelta(hours=n), texts=by_hour[n]) for n in range(hours)),
        businesses=tuple(
            BusinessAhead(
                business_id=business,
                go_out=tally["go_out"],
                wait_longer=tally["wait_longer"],
                held=tally["held"],
                end=tally["end"],
                why=dict(whys.get(business, Counter()).most_common()),
                why_codes=dict(codes.get(business, Counter()).most_common()),
            )
            for business, tally in sorted(tallies.items(), key=lambda entry: -entry[1].total())
        ),
        complete=complete,
        stopped=stopped,
        unreadable=tuple(unread),
    )


_KINDS: Final[dict[Will, str]] = {
    "goes out": "go_out",
    "waits": "wait_longer",
    "is stopped": "wait_longer",
    "is looked for": "wait_longer",
    "is held": "held",
    "is cancelled": "end",
    "fails": "end",
}
