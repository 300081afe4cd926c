"""What becomes of what waits, by what `before_send` will decide, and what a text's begin would find now.

Nothing is claimed or written. It cannot predict what nobody has said yet: an opt-out, a provider's answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.desk.questions.told import Hours, Told
from smsretry.instants import on_clock
from smsretry.retry import before
from smsretry.retry.decision import Send
from smsretry.retry.profile import EVERYBODY, NOT_LISTED, Audience, Profile
from smsretry.retry.segments import segments
from smsretry.vocabulary import Fate

_KINDS: Final[Mapping[Fate, str]] = {
    "Sent": "go out",
    "Deferred": "wait longer",
    "GivenBack": "wait longer",
    "Held": "held",
    "Cancelled": "end",
    "Failed": "end",
}
"""What a preview counts a fate as."""


class Step(NamedTuple):
    """What one claim of a text will come to."""

    fate: Fate
    """GivenBack: sending is stopped, and only one text of each run is tried."""
    at: datetime
    """When that is, or until when it waits."""
    why: str = ""
    """Why it does not go out."""


def predict(text: WaitingText, *, now: datetime, until: datetime, profile: Profile, audience: Audience) -> Step:
    """What its claims will have come to by then."""
    at = max(now, text.scheduled_for)
    while True:
        step = _step(text, at, profile, audience)
        if step.fate != "Deferred" or not at < step.at < until:
            return step
        at = step.at


def _step(text: WaitingText, at: datetime, profile: Profile, audience: Audience) -> Step:
    decision = before.before_send(text, at=at, profile=profile)
    if isinstance(decision, Send):
        if text.refused:
            return Step("Cancelled", at, text.refused)
        if text.stopped:
            return Step("GivenBack", at, text.stopped)
        listed = audience.includes(text.phone)
        return Step("Sent", at) if listed else Step("Cancelled", at, NOT_LISTED)
    until = decision.due_at(at) if decision.fate == "Deferred" else None
    return Step(decision.fate, until or at, decision.why)


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
    """Where a sender's rate or cap does not reach what may go out from it."""
    complete: bool
    """Whether every waiting text was looked at."""
    texts_only: str | None
    """Who alone may be texted from here, in words. None: everybody may."""

    def tell(self) -> Iterator[Told]:
        others = "".join(f", {kind} {texts}" for kind, texts in self.counts.items() if kind != "go out")
        yield f"{sum(self.hours)} to go out in the next {len(self.hours)} h{others}"
        if self.texts_only:
            yield f"By the settings here, this installation {self.texts_only}. What else would go out is cancelled."
        if not self.complete:
            yield "More texts wait than a preview looks at: those that are due last are not in it."
        yield from (f"too slow: {one}" for one in self.too_slow)
        yield Hours("by hour:", [(_hour(self.made_at, n), [texts]) for n, texts in enumerate(self.hours)])
        yield from (f"{texts} not: {why}" for why, texts in self.why.items())
        yield f"As of {on_clock(self.made_at)}. Nothing was changed. A customer who opts out before then gets no text."


def forecast(
    texts: Iterable[WaitingText],
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
    counts, why, by_hour = Counter[str](), Counter[str](), Counter[int]()
    by_sender = defaultdict[UUID, Counter[int]](Counter)
    for text in texts:
        step = predict(text, now=now, until=_hour(now, hours), profile=profile, audience=audience)
        hour = int((step.at - now).total_seconds() // 3600)
        if step.fate == "Sent" and text.sender.id:
            by_sender[text.sender.id][hour] += segments(text.body or "")
        if business_id in (None, text.business_id):
            counts[_KINDS[step.fate]] += 1
            if step.fate == "Sent":
                by_hour[hour] += 1
            else:
                why[step.why] += 1
    return Forecast(
        made_at=now,
        hours=tuple(by_hour[n] for n in range(hours)),
        counts=dict(counts),
        why=dict(why.most_common()),
        too_slow=tuple(words for one in senders for words in _slow(one, by_sender[one.sender_id], now)),
        complete=complete,
        texts_only=audience.told,
    )


def _slow(sender: SenderRecord, wanted: Counter[int], now: datetime) -> Iterator[str]:
    """The first hour that a sender's rate does not reach, and whether its day has room for what is left of it."""
    takes = int((sender.segments_per_second or 0) * 3600)
    for hour, size in sorted(wanted.items()):
        if takes and size > takes:
            when = f"in the hour from {on_clock(_hour(now, hour))}"
            yield f"{sender.title} takes {takes} segments {when}, and {size} want to go: the others wait"
            break
    if sender.segments_per_day is not None:
        room = max(sender.segments_per_day - (sender.used_today or 0), 0)
        today = sum(size for hour, size in wanted.items() if _hour(now, hour) < sender.day_ends_at)
        if today > room:
            yield f"{sender.title} takes {room} segments in its day, and {today} want to go: the others wait"


def _hour(now: datetime, number: int) -> datetime:
    return now + timedelta(hours=number)
