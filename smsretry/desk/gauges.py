"""How the queue stands, as gauges: for OpenTelemetry and for Prometheus the same names and numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from smsretry.desk.standing import Standing
from smsretry.words import OutcomeName

_REASONS: Final = ("none", "quiet_hours", "rate_limit", "twilio_error")
"""Why a text waits, as `sms_status` has it."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of now, in each of its cases."""

    name: str
    """OpenTelemetry's: words between dots."""
    unit: str
    """`s`, or what is counted, in braces."""
    told: str
    points: tuple[tuple[Mapping[str, str], float], ...]
    """By attributes. Those that have nothing are told, too: a 0 is not the same as no answer."""


def gauges(now: Standing) -> tuple[Gauge, ...]:
    """Depth, by state and reason; the lateness of the oldest text that is due; the sends of the last hour."""
    late = "By how much the oldest due text is late"
    return (
        Gauge("smsretry.queue.depth", "{text}", "Texts in the queue", tuple(_depth(now))),
        Gauge("smsretry.queue.overdue", "s", late, (({}, now.overdue_seconds),)),
        Gauge("smsretry.recent.sends", "{send}", "Sends begun in the last hour", tuple(_recent(now))),
    )


def _depth(now: Standing) -> Iterator[tuple[Mapping[str, str], float]]:
    waiting = dict.fromkeys(_REASONS, 0) | {line.name: line.texts or 0 for line in now.waiting}
    for state in Standing.STATES:
        if state != "waiting":
            yield {"smsretry.state": state}, now.queue.get(state, 0)
    for reason, texts in waiting.items():
        yield {"smsretry.state": "waiting", "smsretry.reason": reason}, texts


def _recent(now: Standing) -> Iterator[tuple[Mapping[str, str], float]]:
    for outcome in (*get_args(OutcomeName), "under_way"):
        yield {"smsretry.outcome": outcome}, now.sent.get(outcome, 0)


def exposition(gauges: tuple[Gauge, ...]) -> Iterator[str]:
    """Lines in Prometheus' text format, named as Prometheus names what it gets by OTLP."""
    for gauge in gauges:
        name = gauge.name.replace(".", "_") + ("_seconds" if gauge.unit == "s" else "")
        yield f"# HELP {name} {gauge.told}"
        yield f"# TYPE {name} gauge"
        for attributes, value in gauge.points:
            labels = ",".join(f'{key.replace(".", "_")}="{told}"' for key, told in attributes.items())
            yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
