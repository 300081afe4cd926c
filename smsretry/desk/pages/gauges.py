"""The state of the queue as OpenTelemetry's gauges."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, get_args

from smsretry.desk.questions.queue_status import FATES, QueueStatus
from smsretry.vocabulary import OutcomeName

_Point: TypeAlias = tuple[Mapping[str, str], float]
"""A number and its case, named by attributes."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of now, in each of its cases."""

    name: str
    unit: str
    """`s`, or what is counted, in braces."""
    description: str
    points: Sequence[_Point]
    """One for each case. A case without texts is 0, which is not the same as no answer."""


def gauges(now: QueueStatus) -> tuple[Gauge, ...]:
    """The numbers of `status` that a chart or an alert can use. Their attributes hold no name, no sentence and no
    id, but for the senders that need somebody: there are few, and an alert is about one of them."""
    scopes = Counter(line.name if line.name in ("sending", "environment") else "state" for line in now.part("stopped"))
    waiting = Counter[tuple[str, str]]()  # numbers with the same last digits are one case
    for line in now.part("sender"):
        waiting[line.name, line.why_code or "unforeseen"] += line.texts or 0
    of_senders = [({"smsretry.sender": name, "smsretry.why": why}, texts) for (name, why), texts in waiting.items()]
    silent: list[_Point] = [] if now.silent_seconds is None else [({}, now.silent_seconds)]
    depth = _each("smsretry.state", QueueStatus.STATES, now.queue)
    planned = _each("smsretry.state", ("waiting", "held", "late"), now.counts("scheduled"))
    sends = _each("smsretry.outcome", (*get_args(OutcomeName), "under_way"), now.counts("sent"))
    ended = _each("smsretry.fate", ("failed", "cancelled"), now.counts("ended"))
    stops = _each("smsretry.scope", ("sending", "environment", "state"), scopes)
    of_stops = "Whether sending, or the environment's sender, is stopped; in how many states"
    arrived = _each("smsretry.delivery", FATES, now.counts("hour"))
    return (
        Gauge("smsretry.queue.depth", "{text}", "Texts in the queue", depth),
        Gauge("smsretry.queue.overdue", "s", "By how much the oldest due text is late", [({}, now.overdue_seconds)]),
        Gauge("smsretry.scheduled.sends", "{send}", "Scheduled sends that are no texts yet", planned),
        Gauge("smsretry.stopped", "{stop}", of_stops, stops),
        Gauge("smsretry.sender.texts", "{text}", "Texts that wait for a sender that needs somebody", of_senders),
        Gauge("smsretry.run.age", "s", "Since a run last finished", silent),
        Gauge("smsretry.recent.sends", "{send}", "Sends begun in the last hour", sends),
        Gauge("smsretry.day.deliveries", "{text}", "Texts accepted in the last day", arrived),
        Gauge("smsretry.day.ended", "{text}", "The last day's texts that failed or were cancelled", ended),
    )


def _each(attribute: str, cases: Iterable[str], texts: Mapping[str, int]) -> list[_Point]:
    return [({attribute: case}, texts.get(case, 0)) for case in cases]
