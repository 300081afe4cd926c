"""The state of the queue as gauges, with the same names and numbers for OpenTelemetry and Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, get_args

from smsretry.desk.questions.delivery_rates import HourOfDelivery
from smsretry.desk.questions.queue_status import REASONS, QueueStatus
from smsretry.desk.questions.records import StatusLine
from smsretry.vocabulary import OutcomeName, SenderState

_Point: TypeAlias = tuple[Mapping[str, str], float]
"""A number and its case, named by attributes."""
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
    """One for each case. A case without texts is 0, which is not the same as no answer."""


def gauges(now: QueueStatus) -> tuple[Gauge, ...]:
    """The numbers of `status` that a chart or an alert can use. Their attributes hold no name, no sentence and no
    id, but for the senders that need somebody: there are few, and an alert is about one of them."""
    state, fate = "smsretry.state", "smsretry.delivery"
    scheduled = _each(state, ("waiting", "held", "late"), _by_name(now.scheduled))
    scopes = Counter(line.name if line.name in ("sending", "environment") else "state" for line in now.stopped)
    stopped = _each("smsretry.scope", ("sending", "environment", "state"), scopes)
    senders = _each(state, get_args(SenderState), now.senders)
    waiting = Counter[tuple[str, str]]()  # numbers with the same last digits are one case
    for line in now.troubled_senders:
        waiting[line.name, line.why_code or "unforeseen"] += line.texts or 0
    of_senders = tuple(
        ({"smsretry.sender": name, "smsretry.why": why}, texts) for (name, why), texts in waiting.items()
    )
    silent: tuple[_Point, ...] = () if now.silent_seconds is None else (({}, now.silent_seconds),)
    sends = _each("smsretry.outcome", (*get_args(OutcomeName), "under_way"), now.sent)
    lately = _each(fate, HourOfDelivery.FATES, now.delivery_lately)
    day = _each(fate, HourOfDelivery.FATES, now.delivery)
    took = tuple(({"smsretry.quantile": _QUANTILES[name]}, after) for name, after in now.delivery_seconds.items())
    codes = Counter({"_OTHER": 0})
    for line in now.undelivered:
        codes[line.name if line.name.isdigit() else "_OTHER"] += line.texts or 0
    lost = _each("error.type", codes, codes)
    ended = _each("smsretry.fate", ("failed", "cancelled"), _by_name(now.ended))
    return (
        Gauge("smsretry.queue.depth", "{text}", "Texts in the queue", _depth(now)),
        Gauge("smsretry.queue.overdue", "s", "By how much the oldest due text is late", (({}, now.overdue_seconds),)),
        Gauge("smsretry.scheduled.sends", "{send}", "Scheduled sends that are no texts yet", scheduled),
        Gauge(
            "smsretry.stopped",
            "{stop}",
            "Whether sending, or the environment's sender, is stopped; in how many states",
            stopped,
        ),
        Gauge("smsretry.senders", "{sender}", "The businesses' own senders", senders),
        Gauge("smsretry.sender.texts", "{text}", "Texts that wait for a sender that needs somebody", of_senders),
        Gauge("smsretry.run.age", "s", "Since a run last finished", silent),
        Gauge("smsretry.recent.sends", "{send}", "Sends begun in the last hour", sends),
        Gauge("smsretry.recent.deliveries", "{text}", "Texts accepted in the last hour", lately),
        Gauge("smsretry.day.deliveries", "{text}", "Texts accepted in the last day", day),
        Gauge("smsretry.day.delivery.time", "s", "From accepted to delivered, of the last day's texts", took),
        Gauge("smsretry.day.undelivered", "{text}", "Texts of the last day that did not arrive", lost),
        Gauge("smsretry.day.ended", "{text}", "The last day's texts that failed or were cancelled", ended),
    )


def _depth(now: QueueStatus) -> tuple[_Point, ...]:
    """By state, and the waiting texts by reason, too."""
    others = _each("smsretry.state", (state for state in QueueStatus.STATES if state != "waiting"), now.queue)
    reasons: dict[str, int] = {**dict.fromkeys(sorted(REASONS), 0), **_by_name(now.waiting)}
    waiting = {"smsretry.state": "waiting"}
    return *others, *((waiting | {"smsretry.reason": reason}, texts) for reason, texts in reasons.items())


def _by_name(lines: Iterable[StatusLine]) -> Counter[str]:
    texts = Counter[str]()
    for line in lines:
        texts[line.name] += line.texts or 0
    return texts


def _each(attribute: str, cases: Iterable[str], texts: Mapping[str, int]) -> tuple[_Point, ...]:
    return tuple(({attribute: case}, texts.get(case, 0)) for case in cases)


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
