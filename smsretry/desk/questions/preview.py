"""What becomes of what waits, by what `before_send` will decide, and what a text's begin would find now.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.records import UnreadText, WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.desk.questions.told import Hours, Told
from smsretry.instants import on_clock
from smsretry.retry import before
from smsretry.retry.decision import Send
from smsretry.retry.models import Value
from smsretry.retry.profile import EVERYBODY, NOT_LISTED, Audience, Profile
from smsretry.retry.segments import segments
from smsretry.vocabulary import Fate, WhyCode

_KINDS: Final[Mapping[str, str]] = {
    "Sent": "go out",
    "Deferred": "wait longer",
    "GivenBack": "wait longer",
    "Held": "held",
    "Cancelled": "end",
    "Failed": "end",
}
"""What a preview counts a fate as."""
_STEPS: Final = 4
"""How many steps one prediction follows."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one claim of a text will come to."""

    fate: Fate
    """GivenBack: sending is stopped, and only one text of each run is tried."""
    at: datetime
    """When that is, or until when it waits."""
    why: str
    """The rule it goes out under, or why not."""
    why_code: WhyCode | None = None
    """Why not, for programs."""
    stopped_in: tuple[str, ...] = ()
    """US states whose stop holds it."""


def predict(text: WaitingText, *, now: datetime, profile: Profile, audience: Audience = EVERYBODY) -> tuple[Step, ...]:
    """What a text's claims will come to, one after the other: all but the last one let it wait.

    Args:
        audience: whom this installation texts.
    """
    at, steps = max(now, text.scheduled_for), list[Step]()
    while len(steps) < _STEPS:
        steps.append(_step(text, at, profile, audience))
        if steps[-1].fate != "Deferred" or steps[-1].at <= at:
            break
        at = steps[-1].at
    return tuple(steps)


def _step(text: WaitingText, at: datetime, profile: Profile, audience: Audience) -> Step:
    decision = before.before_send(text, at=at, profile=profile)
    if isinstance(decision, Send):
        if text.refused:
            return Step("Cancelled", at, text.refused, text.refused_code)
        if text.stopped:
            return Step("GivenBack", at, text.stopped, "sending_stopped")
        cap = decision.cap
        counted = [moment for moment in text.texts_at if cap and moment > cap.since]
        if cap is None or len(counted) < cap.texts:
            if audience.includes(text.phone):
                unless = ", unless an earlier message of it has arrived by then" if text.lost_sids else ""
                return Step("Sent", at, f"{decision.rule}{unless}")
            return Step("Cancelled", at, NOT_LISTED, "not_listed")
        decision = before.after_cap(text, reached_at=counted[cap.texts - 1], profile=profile)
    until = decision.due_at(at) if decision.fate == "Deferred" else None
    return Step(decision.fate, until or at, decision.why, decision.why_code, _stops(text, at, profile))


def _stops(text: WaitingText, at: datetime, profile: Profile) -> tuple[str, ...]:
    def holds(state: str) -> bool:
        alone = text.model_copy(update={"stopped_states": (state,)})
        return getattr(before.before_send(alone, at=at, profile=profile), "why_code", None) == "state_stopped"

    return tuple(filter(holds, text.stopped_states))


class HourAhead(Value):
    """One hour to come, and how many texts may go out in it."""

    starts_at: datetime
    texts: int


class BusinessAhead(Value):
    """One business's texts within the hours of the preview."""

    business_id: UUID
    business: str
    counts: dict[str, int]
    """How many go out, wait longer, are held, and end."""
    why: dict[str, int]
    """Why the others do not go out, and how many."""
    why_codes: dict[WhyCode, int]
    """The same, for programs."""


class Forecast(Answer):
    """The hours to come."""

    made_at: datetime
    hours: tuple[HourAhead, ...]
    businesses: tuple[BusinessAhead, ...]
    too_slow: tuple[str, ...] = ()
    """Where a sender's rate or cap does not reach what may go out from it."""
    complete: bool
    """Whether every waiting text was looked at."""
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

    def tell(self) -> Iterator[Told]:
        others = sum(sum(one.counts.values()) for one in self.businesses) - self.go_out
        yield f"{self.go_out} to go out in the next {len(self.hours)} h, {others} not"
        if self.texts_only:
            yield f"By the settings here, this installation {self.texts_only}. What else would go out is cancelled."
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        yield from (f"cannot be read: row {row}" for row in self.unreadable)
        yield from (f"too slow: {one}" for one in self.too_slow)
        yield Hours("by hour:", [(hour.starts_at, [hour.texts]) for hour in self.hours])
        for one in self.businesses:
            numbers = ", ".join(f"{name} {texts}" for name, texts in one.counts.items())
            yield f"{one.business}: {numbers}"
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
    audience: Audience = EVERYBODY,
    senders: Iterable[SenderRecord] = (),
) -> Forecast:
    """Count what will become of these texts within so many hours, for one business or for all.

    Args:
        texts: those of every business, because some share a sender's rate.
        audience: whom this installation texts.
        senders: all of them.
    """
    unread, ahead = list[UUID](), defaultdict[tuple[UUID, str | None], list[tuple[str, Step]]](list)
    by_hour, by_sender = Counter[int](), defaultdict[UUID, Counter[int]](Counter)
    for text in texts:
        if isinstance(text, UnreadText):
            unread.append(text.id)
            continue
        steps = predict(text, now=now, profile=profile, audience=audience)
        end = steps[-1]
        kind, hour = _KINDS[end.fate], int((end.at - now).total_seconds() // 3600)
        if kind == "go out" and hour >= hours:
            kind, end = "wait longer", steps[0] if len(steps) > 1 else replace(end, why="It is due later")
        if kind == "go out" and text.sender:
            by_sender[text.sender.id][hour] += segments(text.body or "")
        if business_id in (None, text.business_id):
            ahead[text.business_id, text.business].append((kind, end))
            by_hour[hour] += kind == "go out"
    slow = (words for one in senders for words in _slow(one, by_sender[one.sender_id], now))
    return Forecast(
        made_at=now,
        hours=tuple(HourAhead(starts_at=now + timedelta(hours=n), texts=by_hour[n]) for n in range(hours)),
        businesses=tuple(_business(*one, ends) for one, ends in sorted(ahead.items(), key=lambda one: -len(one[1]))),
        too_slow=tuple(slow),
        complete=complete,
        texts_only=audience.told,
        unreadable=tuple(unread),
    )


def _business(business_id: UUID, name: str | None, ends: Sequence[tuple[str, Step]]) -> BusinessAhead:
    counts, others = Counter(kind for kind, _ in ends), [end for kind, end in ends if kind != "go out"]
    return BusinessAhead(
        business_id=business_id,
        business=name or f"business {business_id}",
        counts={kind: counts[kind] for kind in dict.fromkeys(_KINDS.values()) if counts[kind]},
        why=dict(Counter(end.why for end in others).most_common()),
        why_codes=dict(Counter(end.why_code for end in others if end.why_code).most_common()),
    )


def _slow(sender: SenderRecord, wanted: Counter[int], now: datetime) -> Iterator[str]:
    """The first hour that a sender's rate does not reach, and whether its day has room for what is left of it."""
    takes = int((sender.segments_per_second or 0) * 3600)
    for hour, size in sorted(wanted.items()):
        if takes and size > takes:
            when = f"in the hour from {on_clock(now + timedelta(hours=hour))}"
            yield f"{sender.whose} takes {takes} segments {when}, and {size} want to go: the others wait"
            break
    if sender.segments_per_day is not None:
        room = max(sender.segments_per_day - (sender.used_today or 0), 0)
        today = sum(size for hour, size in wanted.items() if now + timedelta(hours=hour) < sender.day_ends_at)
        if today > room:
            yield f"{sender.whose} takes {room} segments in its day, and {today} want to go: the others wait"
