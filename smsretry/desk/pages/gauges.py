"""The state of the queue as gauges, with the same names and numbers for OpenTelemetry and Prometheus."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, get_args

from smsretry.desk.questions.delivery_rates import HourOfDelivery
from smsretry.desk.questions.queue_status import REASONS, QueueStatus
from smsretry.vocabulary import OutcomeName

_Point: TypeAlias = tuple[Mapping[str, str], float]
"""A number, and by its attributes the case that it is of."""
_SCHEDULED: Final = ("waiting", "held", "late")
_ENDS: Final = ("failed", "cancelled")
_QUANTILES: Final = {"median": "0.5", "95th percentile": "0.95"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of now, in each of its cases."""

    name: str
    """OpenTelemetry's: words between dots."""
    unit: str
    """`s`, or what is counted, in braces."""
    description: str
    points: tuple[_Point, ...]
    """By attributes. A case without texts is a 0, which is not the same as no answer."""


def gauges(now: QueueStatus) -> tuple[Gauge, ...]:
    """The numbers of `status` that a chart or an alert can hang on. Their attributes hold no id, name or sentence."""
    late = "By how much the oldest due text is late"
    arrival = "From accepted to delivered, of the last day's texts"
    lately, day = tuple(_delivered(now.delivery_lately)), tuple(_delivered(now.delivery))
    return (
        Gauge("smsretry.queue.depth", "{text}", "Texts in the queue", tuple(_depth(now))),
        Gauge("smsretry.queue.overdue", "s", late, (({}, now.overdue_seconds),)),
        Gauge(
            "smsretry.scheduled.sends",
            "{send}",
            "Scheduled sends that are no texts yet",
            tuple(_scheduled(now)),
        ),
        Gauge("smsretry.stopped", "{stop}", "Whether sending is stopped, and in how many states", tuple(_stopped(now))),
        Gauge("smsretry.run.age", "s", "Since a run last finished", tuple(_silence(now))),
        Gauge("smsretry.recent.sends", "{send}", "Sends begun in the last hour", tuple(_recent(now))),
        Gauge("smsretry.recent.deliveries", "{text}", "Texts accepted in the last hour", lately),
        Gauge("smsretry.day.deliveries", "{text}", "Texts accepted in the last day", day),
        Gauge("smsretry.day.delivery.time", "s", arrival, tuple(_soon(now))),
        Gauge("smsretry.day.undelivered", "{text}", "Texts of the last day that did not arrive", tuple(_lost(now))),
        Gauge("smsretry.day.ended", "{text}", "The last day's texts that failed or were cancelled", tuple(_ended(now))),
    )


def _depth(now: QueueStatus) -> Iterator[_Point]:
    waiting = dict.fromkeys(sorted(REASONS), 0) | {line.name: line.texts or 0 for line in now.waiting}
    for state in QueueStatus.STATES:
        if state != "waiting":
            yield {"smsretry.state": state}, now.queue.get(state, 0)
    for reason, texts in waiting.items():
        yield {"smsretry.state": "waiting", "smsretry.reason": reason}, texts


def _scheduled(now: QueueStatus) -> Iterator[_Point]:
    texts = {line.name: line.texts or 0 for line in now.scheduled}
    for state in _SCHEDULED:
        yield {"smsretry.state": state}, texts.get(state, 0)


def _stopped(now: QueueStatus) -> Iterator[_Point]:
    yield {"smsretry.scope": "sending"}, int(now.sending_stopped)
    yield {"smsretry.scope": "state"}, len(now.stopped) - now.sending_stopped


def _silence(now: QueueStatus) -> Iterator[_Point]:
    """Nothing, where no run has finished lately."""
    if now.silent_seconds is not None:
        yield {}, now.silent_seconds


def _recent(now: QueueStatus) -> Iterator[_Point]:
    for outcome in (*get_args(OutcomeName), "under_way"):
        yield {"smsretry.outcome": outcome}, now.sent.get(outcome, 0)


def _delivered(texts: Mapping[str, int]) -> Iterator[_Point]:
    for fate in HourOfDelivery.FATES:
        yield {"smsretry.delivery": fate}, texts.get(fate, 0)


def _lost(now: QueueStatus) -> Iterator[_Point]:
    """By the provider's code; `_OTHER` came without one."""
    codes = Counter({"_OTHER": 0})
    for line in now.undelivered:
        codes[line.name if line.name.isdigit() else "_OTHER"] += line.texts or 0
    for code, texts in codes.items():
        yield {"error.type": code}, texts


def _soon(now: QueueStatus) -> Iterator[_Point]:
    """Nothing, where nothing was delivered: 0 seconds would be a time."""
    for name, seconds in now.delivery_seconds.items():
        yield {"smsretry.quantile": _QUANTILES[name]}, seconds


def _ended(now: QueueStatus) -> Iterator[_Point]:
    """Not by reason, which is a sentence."""
    for fate in _ENDS:
        yield {"smsretry.fate": fate}, sum(line.texts or 0 for line in now.ended if line.name == fate)


def exposition(gauges: tuple[Gauge, ...]) -> Iterator[str]:
    """Lines in Prometheus' text format, named as Prometheus names what it gets by OTLP."""
    for gauge in gauges:
        name = gauge.name.replace(".", "_") + ("_seconds" if gauge.unit == "s" else "")
        if not gauge.points:
            continue
        yield f"# HELP {name} {gauge.description}"
        yield f"# TYPE {name} gauge"
        for attributes, value in gauge.points:
            labels = ",".join(f'{key.replace(".", "_")}="{case}"' for key, case in attributes.items())
            yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
