"""When each sender's next text may leave, and so what a claim of a text at some time comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from smsretry.desk.questions.prediction import Prediction, predict_at
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord, Stops
from smsretry.retry.audience import EVERYBODY, Audience
from smsretry.retry.profile import Profile
from smsretry.retry.segments import segments, sending_seconds

TOO_SLOW: Final = "The sender's rate does not reach it before its window closes or it expires"
TOO_FAR: Final = "The sender's rate does not reach it within these hours"
SPENT: Final = "The sender will have used its day"
_DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class _Pace:
    """How fast a sender sends, and what is left of its day."""

    segments_per_second: float | None
    free_at: datetime
    segments_per_day: int | None = None
    used: int = 0
    day_ends_at: datetime | None = None

    def spent_until(self, at: datetime, size: int) -> datetime | None:
        """When its day ends, if it has no room left for so many segments. Each further day counts 24 hours."""
        if self.segments_per_day is None or self.day_ends_at is None:
            return None
        while at >= self.day_ends_at:
            self.day_ends_at += _DAY
            self.used = 0
        return self.day_ends_at if self.used + size > self.segments_per_day else None

    def take(self, turn: datetime, size: int) -> None:
        """Send so many segments at this time."""
        self.used += size
        if self.segments_per_second is not None:
            self.free_at = turn + timedelta(seconds=sending_seconds(size, self.segments_per_second))


@dataclass(slots=True)
class Turns:
    """The senders, each at its own pace, and when each number had its texts."""

    profile: Profile
    stops: Stops
    now: datetime
    audience: Audience = EVERYBODY
    senders: Mapping[UUID, SenderRecord] = field(default_factory=dict)
    """The businesses' own, as far as texts of this preview go out from them."""
    _paces: dict[UUID | None, _Pace] = field(default_factory=dict)
    _texts_at: dict[tuple[UUID, str | None], list[datetime]] = field(default_factory=dict)

    def try_at(self, text: WaitingText, at: datetime, until: datetime) -> Prediction:
        """What a claim at this time comes to. A text that goes out takes its share of its sender's time and day."""
        had = self._texts_at.setdefault((text.business_id, text.phone), list(text.texts_at))
        prediction = self._predict(text, at, had)
        if prediction.result != "goes out":
            return prediction
        pace, size = self._pace(text), segments(text.body or "")
        turn = at if pace.segments_per_second is None else max(at, pace.free_at)
        if prediction.send_before and turn >= prediction.send_before:
            late = self._predict(text, turn, had)
            if late.result != "goes out":
                return replace(late, why=TOO_SLOW, why_code="sender_rate")
        if turn > at and turn >= until:
            return replace(prediction, result="waits", at=turn, why=TOO_FAR, why_code="sender_rate")
        if spent := pace.spent_until(turn, size):
            return replace(prediction, result="waits", at=spent, why=SPENT, why_code="day_spent")
        pace.take(turn, size)
        had.insert(0, turn)
        return replace(prediction, at=turn)

    def _predict(self, text: WaitingText, at: datetime, had: Sequence[datetime]) -> Prediction:
        stopped = self.stops.why(text)
        return predict_at(text, at=at, profile=self.profile, stopped=stopped, texts_at=had, audience=self.audience)

    def _pace(self, text: WaitingText) -> _Pace:
        """Of a business's own sender, or of the environment's, as the profile has it."""
        own = text.sender
        if own is None:
            return self._paces.setdefault(None, _Pace(self.profile.segments_per_second, self.now))
        known = self.senders.get(own.id)
        return self._paces.setdefault(
            own.id,
            _Pace(
                own.segments_per_second,
                self.now,
                own.segments_per_day,
                (known.used_today or 0) if known else 0,
                known.day_ends_at if known else None,
            ),
        )
