"""The state of the queue as OpenTelemetry's gauges. They hold no sentence and no id, and of names only a sender's."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, get_args

from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.vocabulary import Delivery, OutcomeName

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
    """The numbers that a chart or an alert can use. A case without texts is 0."""
    for name, description, by, cases, counts in (
        (
            "smsretry.queue.depth",
            "Texts that have not ended",
            "smsretry.state",
            now.STATES,
            now.queue,
        ),
        (
            "smsretry.recent.sends",
            "Texts with a send of the last hour",
            "smsretry.outcome",
            _SENDS,
            now.sends,
        ),
        (
            "smsretry.day.deliveries",
            "Texts accepted in the last day",
            "smsretry.delivery",
            get_args(Delivery),
            now.deliveries,
        ),
        (
            "smsretry.day.ended",
            "The last day's texts that failed or were cancelled",
            "smsretry.state",
            ("failed", "cancelled"),
            now.ends,
        ),
    ):
        points = [({by: case}, counts.get(case, 0)) for case in cases]
        yield Gauge(name, "{text}", description, points)
    # Numbers with the same last digits are one case.
    waiting = Counter[tuple[str, str]]()
    for sender in now.senders:
        waiting[sender.sender, sender.why_code or "unforeseen"] += sender.texts
    of_senders = [
        ({"smsretry.sender": name, "smsretry.why": why_code}, texts)
        for (name, why_code), texts in waiting.items()
    ]
    yield Gauge(
        "smsretry.sender.texts",
        "{text}",
        "Texts that wait for a sender that needs attention",
        of_senders,
    )
    stops = len(now.stops) - len(now.orders_to_stop)
    yield Gauge(
        "smsretry.stopped",
        "{stop}",
        "Stops of all sending or of the default sender",
        [({}, stops)],
    )
    yield Gauge(
        "smsretry.queue.overdue",
        "s",
        "By how much the oldest due text is late",
        [({}, now.overdue_seconds)],
    )
    silence = now.silent_seconds
    yield Gauge(
        "smsretry.run.age",
        "s",
        "Since a run last finished",
        [] if silence is None else [({}, silence)],
    )
