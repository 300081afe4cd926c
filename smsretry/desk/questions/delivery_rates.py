"""How many of the accepted texts arrive, and how soon: by hour, by business, and overall."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import ClassVar, Self
from uuid import UUID

from smsretry.desk.questions.records import StatusLine
from smsretry.instants import Instant, span
from smsretry.retry.models import Value


def delivery_rate(fates: Mapping[str, int]) -> float | None:
    """The share that arrived among the texts whose delivery is known; None if there are none."""
    delivered = fates.get("delivered", 0)
    known = delivered + fates.get("undelivered", 0)
    return delivered / known if known else None


class HourOfDelivery(Value):
    """What became of the texts that were accepted in one hour of the clock."""

    FATES: ClassVar = ("delivered", "undelivered", "unknown", "open")

    starts_at: Instant
    delivered: int = 0
    undelivered: int = 0
    unknown: int = 0
    """Nothing final was ever reported."""
    open: int = 0
    """Nothing final has been reported yet."""

    @classmethod
    def sorted_from(cls, lines: Iterable[StatusLine]) -> tuple[Self, ...]:
        """From the lines of `sms_status`, oldest first."""
        hours: dict[Instant, dict[str, int]] = {}
        for line in lines:
            if line.oldest:
                hours.setdefault(line.oldest, {})[line.name] = line.texts or 0
        return tuple(cls.model_validate({"starts_at": hour, **fates}) for hour, fates in sorted(hours.items()))


class DeliveryOfBusiness(Value):
    """How many of a business's texts arrived, among those whose delivery is known."""

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


def delivery_lines(
    fates: Mapping[str, int],
    seconds: Mapping[str, float],
    hours: Iterable[HourOfDelivery],
    businesses: Iterable[DeliveryOfBusiness],
) -> Iterator[str]:
    """How many of the last day's texts arrived, and how soon, a line each."""
    rate = delivery_rate(fates)
    arrived = f" ({rate:.0%} arrived)" if rate is not None else ""
    yield f"delivery in the last day: {', '.join(f'{name} {texts}' for name, texts in fates.items())}{arrived}"
    taken = ", ".join(f"{name} {span(after) if after >= 60 else f'{after:g} s'}" for name, after in seconds.items())
    if taken:
        yield f"from accepted to delivered, where reported: {taken}"
    by_hour = ", ".join(
        f"{hour.starts_at.astimezone(UTC):%H:%M} {hour.delivered} of {sum(getattr(hour, fate) for fate in hour.FATES)}"
        for hour in hours
    )
    if by_hour:
        yield f"delivered by hour (UTC), of those accepted: {by_hour}"
    for one in businesses:
        known = one.delivered + one.undelivered
        share = f"{one.delivered / known:.0%} of {known}"
        yield f"delivery by business: {one.name or one.business_id}, {share} arrived"
