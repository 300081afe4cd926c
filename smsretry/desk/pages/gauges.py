"""The state of the queue as OpenTelemetry's gauges. They hold no sentence and no id, and of names only a sender's."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, get_args

from smsretry.desk.questions.queue_status import FATES, QueueStatus
from smsretry.vocabulary import OutcomeName

_PLANNED, _ENDED = ("waiting", "held", "late"), ("failed", "cancelled")
_SENDS: Final = (*get_args(OutcomeName), "under_way")
_COUNTED: Final = (
    (
        "queue",
        "smsretry.queue.depth",
        "Texts in the queue",
        "smsretry.state",
        QueueStatus.STATES,
    ),
    (
        "scheduled",
        "smsretry.scheduled.sends",
        "Scheduled sends that are no texts yet",
        "smsretry.state",
        _PLANNED,
    ),
    (
        "sent",
        "smsretry.recent.sends",
        "Sends begun in the last hour",
        "smsretry.outcome",
        _SENDS,
    ),
    (
        "hour",
        "smsretry.day.deliveries",
        "Texts accepted in the last day",
        "smsretry.delivery",
        FATES,
    ),
    (
        "ended",
        "smsretry.day.ended",
        "The last day's texts that failed or were cancelled",
        "smsretry.fate",
        _ENDED,
    ),
)
"""Parts of `sms_status`: the gauge of each, what it counts, and in which cases. One without texts is 0."""


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
    for part, name, description, by, cases in _COUNTED:
        texts = now.counts(part)
        yield Gauge(
            name, "{text}", description, [({by: case}, texts[case]) for case in cases]
        )
    waiting = Counter[
        tuple[str, str]
    ]()  # numbers with the same last digits are one case
    for line in now.part("sender"):
        waiting[line.name, line.why_code or "unforeseen"] += line.texts or 0
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
    stops = len(now.part("stopped")) - len(now.stopped_states)
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
