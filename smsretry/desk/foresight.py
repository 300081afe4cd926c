"""What will become of waiting texts, by the decisions that their claim will make. Nothing is claimed or written.

A daily cap is counted only when a send begins, so it is not foreseen; nor is an opt-out that has not been said yet.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final, assert_never
from uuid import UUID

from smsretry.retry import policy
from smsretry.retry.decision import Defer, End, Hold, Send
from smsretry.retry.models import Claim, Value
from smsretry.retry.profile import Profile
from smsretry.retry.segments import segments

TOO_SLOW: Final = "The sender's rate does not reach it before its window closes or it expires"
_SOON: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the next claim of a text will come to."""

    claim: Claim
    will: str
    """goes out | waits | is held | ends"""
    at: datetime
    """When: the send, or what it waits for."""
    why: str
    """The rule it goes out under, or why not."""


def foresee(claim: Claim, *, now: datetime, profile: Profile) -> Foreseen:
    """Decide about a waiting text as its claim will, at the time it will be claimed."""
    at = max(now, claim.scheduled_for)
    decision = policy.before_send(claim, at=at, profile=profile)
    match decision:
        case Send():
            return Foreseen(claim, "goes out", at, decision.rule)
        case Defer(until, _, why):
            return Foreseen(claim, "waits", until, why)
        case Hold(why, _):
            return Foreseen(claim, "is held", at, why)
        case End(_, why):
            return Foreseen(claim, "ends", at, why)
        case _:
            assert_never(decision)


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


class Forecast(Value):
    """The hours to come."""

    made_at: datetime
    hours: tuple[HourAhead, ...]
    businesses: tuple[BusinessAhead, ...]
    complete: bool
    """Whether every waiting text was looked at."""

    @property
    def go_out(self) -> int:
        """How many texts go out."""
        return sum(hour.texts for hour in self.hours)


def _in_turn(claims: Iterable[Claim], *, now: datetime, profile: Profile) -> Iterator[Foreseen]:
    """What each text comes to at the sender's rate, business by business in turns, as claims take them."""
    due, free_at = list[Foreseen](), now
    for one in (foresee(claim, now=now, profile=profile) for claim in claims):
        if profile.segments_per_second is None or one.will not in ("goes out", "waits"):
            yield one
        else:
            due.append(one)
    turns = Turns(due)
    while (foreseen := turns.next(free_at)) is not None:
        turn = max(foreseen.at, free_at)
        late = turn - foreseen.at > _SOON
        decision = policy.before_send(foreseen.claim, at=turn, profile=profile) if late else None
        if decision is None or isinstance(decision, Send):
            size = segments(foreseen.claim.body or "")
            free_at = turn + timedelta(seconds=size / (profile.segments_per_second or 1))
            yield replace(foreseen, at=turn)
        elif isinstance(decision, Defer):
            yield replace(foreseen, will="waits", at=decision.until, why=TOO_SLOW)
        else:
            yield replace(foreseen, will="ends", at=turn, why=TOO_SLOW)


class Turns:
    """Whose text is next at the sender: each business's first, then each one's second; transactional ones before."""

    def __init__(self, foreseen: Iterable[Foreseen]) -> None:
        self._coming = deque(sorted(foreseen, key=lambda each: each.at))
        self._lines = dict[UUID, list[tuple[bool, datetime, int, Foreseen]]]()
        """Of the businesses that have something due, the next one first."""
        self._count = count()

    def next(self, at: datetime) -> Foreseen | None:
        """The next one when the sender is free at that time; None: that was all."""
        if not self._lines and self._coming:
            at = max(at, self._coming[0].at)
        while self._coming and self._coming[0].at <= at:
            one = self._coming.popleft()
            line = self._lines.setdefault(one.claim.business_id, [])
            heappush(line, (one.claim.message_class != "transactional", one.at, next(self._count), one))
        if not self._lines:
            return None
        business = next(iter(self._lines))
        line = self._lines.pop(business)
        *_, foreseen = heappop(line)
        if line:
            self._lines[business] = line
        return foreseen


def forecast(
    claims: Iterable[Claim],
    *,
    now: datetime,
    hours: int,
    profile: Profile,
    business_id: UUID | None = None,
    complete: bool = True,
) -> Forecast:
    """Add up what will become of these texts within so many hours; told of one business, or of all.

    Args:
        claims: those of every business, because they share the sender's rate.
    """
    until = now + timedelta(hours=hours)
    by_hour, whys = Counter[int](), dict[UUID, Counter[str]]()
    tallies = dict[UUID, Counter[str]]()
    for foreseen in _in_turn(claims, now=now, profile=profile):
        business = foreseen.claim.business_id
        if business_id not in (None, business):
            continue
        tally = tallies.setdefault(business, Counter())
        if foreseen.will in ("goes out", "waits") and foreseen.at < until:
            tally["go_out"] += 1
            by_hour[int((foreseen.at - now).total_seconds() // 3600)] += 1
            continue
        tally["wait_longer" if foreseen.will == "waits" else "held" if foreseen.will == "is held" else "end"] += 1
        whys.setdefault(business, Counter())[foreseen.why] += 1
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
            )
            for business, tally in sorted(tallies.items(), key=lambda entry: -entry[1].total())
        ),
        complete=complete,
    )
