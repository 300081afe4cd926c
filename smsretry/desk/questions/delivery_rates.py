"""How many of the accepted texts arrive, and how soon: by hour, by business, and at all."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import ClassVar, Final, Self
from uuid import UUID

from pydantic import AwareDatetime

from smsretry.desk.questions.clock import span
from smsretry.desk.questions.records import StatusLine
from smsretry.retry.models import Value

DROP: Final = 0.1
"""By how much the last hour's share of texts that arrived is below the day's when somebody should know."""


def delivery_rate(fates: Mapping[str, int]) -> float | None:
    """The share that arrived of those of which that is known; None: it is known of none."""
    delivered = fates.get("delivered", 0)
    known = delivered + fates.get("undelivered", 0)
    return delivered / known if known else None


def told_rate(fates: Mapping[str, int]) -> str:
    """The share in brackets; nothing if none is known."""
    rate = delivery_rate(fates)
    return f" ({rate:.0%} arrived)" if rate is not None else ""


def dropped(lately: Mapping[str, int], usual: Mapping[str, int], *, fewest: int) -> str | None:
    """That far fewer texts of the last hour arrive than of the day, as when a carrier begins to filter them.

    Args:
        fewest: of fewer texts a share says nothing.
    """
    rate, usual_rate = delivery_rate(lately), delivery_rate(usual)
    known = sum(lately.get(fate, 0) for fate in ("delivered", "undelivered"))
    if rate is None or usual_rate is None or known < fewest or rate > usual_rate - DROP:
        return None
    return f"Of the last hour's texts {rate:.0%} arrived, of the day's {usual_rate:.0%}"


class HourOfDelivery(Value):
    """Texts that were accepted within an hour of the clock, by what became of them."""

    FATES: ClassVar = ("delivered", "undelivered", "unknown", "open")

    starts_at: AwareDatetime
    delivered: int = 0
    undelivered: int = 0
    unknown: int = 0
    """Nothing final was ever reported."""
    open: int = 0
    """Nothing final has been reported yet."""

    @property
    def clock(self) -> str:
        """When it began, in UTC."""
        return f"{self.starts_at.astimezone(UTC):%H:%M}"

    @property
    def fates(self) -> dict[str, int]:
        """Texts by what became of them."""
        return {fate: getattr(self, fate) for fate in self.FATES}

    @property
    def accepted(self) -> int:
        """All of them."""
        return sum(self.fates.values())

    @classmethod
    def sorted_from(cls, lines: Iterable[StatusLine]) -> tuple[Self, ...]:
        """From the lines of `sms_status`, oldest first."""
        hours: dict[AwareDatetime, dict[str, int]] = {}
        for line in lines:
            if line.oldest:
                hours.setdefault(line.oldest, {})[line.name] = line.texts or 0
        return tuple(cls.model_validate({"starts_at": hour, **fates}) for hour, fates in sorted(hours.items()))


class DeliveryOfBusiness(Value):
    """What arrived of a business's texts, of those of which that is known."""

    business_id: UUID
    name: str | None
    delivered: int = 0
    undelivered: int = 0

    @classmethod
    def sorted_from(cls, lines: Iterable[StatusLine]) -> tuple[Self, ...]:
        """From the lines of `sms_status`, in their order: the smallest share first."""
        known: dict[UUID, dict[str, object]] = {}
        for line in lines:
            if line.business_id:
                about = known.setdefault(line.business_id, {"business_id": line.business_id, "name": line.told})
                about[line.name] = line.texts
        return tuple(map(cls.model_validate, known.values()))

    def __str__(self) -> str:
        known = self.delivered + self.undelivered
        return f"{self.delivered / known:.0%} of {known} arrived of {self.name or self.business_id}"


def told_hours(hours: Iterable[HourOfDelivery]) -> Iterator[str]:
    """How many arrived of each hour's texts, in a line."""
    told = ", ".join(f"{hour.clock} {hour.delivered} of {hour.accepted}" for hour in hours)
    if told:
        yield f"delivered by hour (UTC), of those accepted: {told}"


def told_time(seconds: Mapping[str, float]) -> Iterator[str]:
    """How long it takes from accepted to delivered, in a line."""
    told = ", ".join(f"{name} {span(taken) if taken >= 60 else f'{taken:g} s'}" for name, taken in seconds.items())
    if told:
        yield f"from accepted to delivered, as far as it is reported: {told}"
