"""The state of the queue as OpenTelemetry's gauges. They hold no sentence and no id, and of names only a sender's."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar, get_args

from smsretry.desk.questions.queue_status import FATES, QueueStatus
from smsretry.vocabulary import OutcomeName

_Case = TypeVar("_Case", bound=Hashable)
_SENDS: Final = (*get_args(OutcomeName), "under_way")


class Gauge(NamedTuple):
    """A number of now, in each of its cases, which attributes name."""

    name: str
    unit: str
    """`s`, or what is counted, in braces."""
    description: str
    points: Sequence[tuple[Mapping[str, str], float]]
    """Empty: it was not measured, which is not the same as 0."""


def gauges(now: QueueStatus) -> Iterator[Gauge]:
    """The numbers that a chart or an alert can use."""
    yield _counted(
        "queue.depth",
        "Texts that have not ended",
        "state",
        QueueStatus.STATES,
        now.queue,
    )
    yield _counted(
        "recent.sends",
        "Sends begun in the last hour",
        "outcome",
        _SENDS,
        _sums((send.outcome, send.sends) for send in now.sends),
    )
    yield _counted(
        "day.deliveries",
        "Texts accepted in the last day",
        "delivery",
        FATES,
        _sums((hour.fate, hour.texts) for hour in now.hours),
    )
    yield _counted(
        "day.ended",
        "The last day's texts that failed or were cancelled",
        "fate",
        ("failed", "cancelled"),
        _sums((reason.state, reason.texts) for reason in now.ended),
    )
    waiting = _sums(  # numbers with the same last digits are one case
        ((own.name, own.why_code or "unforeseen"), own.texts) for own in now.senders
    )
    of_senders = [
        ({"smsretry.sender": name, "smsretry.why": why}, texts)
        for (name, why), texts in waiting.items()
    ]
    yield Gauge(
        "smsretry.sender.texts",
        "{text}",
        "Texts that wait for a sender that needs somebody",
        of_senders,
    )
    stops = len(now.stops) - len(now.stopped_states)
    yield Gauge(
        "smsretry.stopped",
        "{stop}",
        "Stops of all sending or of the environment's sender",
        [({}, stops)],
    )
    overdue, silent = now.overdue_seconds, now.silent_seconds
    yield Gauge(
        "smsretry.queue.overdue",
        "s",
        "By how much the oldest due text is late",
        [({}, overdue)],
    )
    yield Gauge(
        "smsretry.run.age",
        "s",
        "Since a run last finished",
        [] if silent is None else [({}, silent)],
    )


def _sums(counts: Iterable[tuple[_Case, int]]) -> Counter[_Case]:
    """The texts of each case."""
    sums = Counter[_Case]()
    for case, texts in counts:
        sums[case] += texts
    return sums


def _counted(
    name: str,
    description: str,
    by: str,
    cases: Sequence[str],
    counts: Mapping[str, int],
) -> Gauge:
    """Texts by case. A case without texts is 0."""
    points = [({f"smsretry.{by}": case}, counts.get(case, 0)) for case in cases]
    return Gauge(f"smsretry.{name}", "{text}", description, points)
