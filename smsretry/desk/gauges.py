"""How the queue stands, as gauges: for OpenTelemetry and for Prometheus the same names and numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from smsretry.desk.arrivals import HourOfDelivery
from smsretry.desk.standing import Standing
from smsretry.words import OutcomeName

_REASONS: Final = ("none", "quiet_hours", "rate_limit", "twilio_error")
"""Why a text waits, as `sms_status` has it."""
_QUANTILES: Final = {"median": "0.5", "95th percentile": "0.95"}


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
    """Depth, by state and reason; the lateness of the oldest text that is due; the sends of the last hour.

    And of the texts that were accepted lately: how many arrived, how soon, and for which codes others did not.
    """
    late = "By how much the oldest due text is late"
    return (
        Gauge("smsretry.queue.depth", "{text}", "Texts in the queue", tuple(_depth(now))),
        Gauge("smsretry.queue.overdue", "s", late, (({}, now.overdue_seconds),)),
        Gauge("smsretry.recent.sends", "{send}", "Sends begun in the last hour", tuple(_recent(now))),
        Gauge("smsretry.recent.deliveries", "{text}", "Texts accepted in the last hour", tuple(_delivered(now))),
        Gauge("smsretry.day.undelivered", "{text}", "Texts of the last day that did not arrive", tuple(_lost(now))),
        Gauge(
            "smsretry.day.delivery.time", "s", "From accepted to delivered, of the last day's texts", tuple(_soon(now))
        ),
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


def _delivered(now: Standing) -> Iterator[tuple[Mapping[str, str], float]]:
    for fate in HourOfDelivery.FATES:
        yield {"smsretry.delivery": fate}, now.delivery_lately.get(fate, 0)


def _lost(now: Standing) -> Iterator[tuple[Mapping[str, str], float]]:
    """By the provider's code; `_OTHER` came without one."""
    codes = Counter({"_OTHER": 0})
    for line in now.undelivered:
        codes[line.name if line.name.isdigit() else "_OTHER"] += line.texts or 0
    for code, texts in codes.items():
        yield {"error.type": code}, texts


def _soon(now: Standing) -> Iterator[tuple[Mapping[str, str], float]]:
    """Nothing, where nothing was delivered: 0 seconds would be a time."""
    for name, seconds in now.delivery_seconds.items():
        yield {"smsretry.quantile": _QUANTILES[name]}, seconds


def exposition(gauges: tuple[Gauge, ...]) -> Iterator[str]:
    """Lines in Prometheus' text format, named as Prometheus names what it gets by OTLP."""
    for gauge in gauges:
        name = gauge.name.replace(".", "_") + ("_seconds" if gauge.unit == "s" else "")
        if not gauge.points:
            continue
        yield f"# HELP {name} {gauge.told}"
        yield f"# TYPE {name} gauge"
        for attributes, value in gauge.points:
            labels = ",".join(f'{key.replace(".", "_")}="{told}"' for key, told in attributes.items())
            yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
