"""What is measured. Its attributes are a few words and codes; of ids, a business's if that is asked for.

Names and units follow OpenTelemetry's semantic conventions.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from typing import Final, Literal, ParamSpec, TypeAlias, assert_never, get_args

from opentelemetry.metrics import Meter
from opentelemetry.util.types import AttributeValue

from smsretry.desk.gauges import gauges
from smsretry.desk.standing import Standing
from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.words import Fate, MessageClass, Reason

Counted: TypeAlias = Fate | Literal["Error"]
"""A fate, or that the processing of the row itself went wrong."""
RunOutcome: TypeAlias = Literal["done", "needs_somebody", "failed", "interrupted"]
"""done: it ended well. needs_somebody: it ended, and somebody must mend something. failed: it raised an error.
interrupted: it fell silent, and a later run told so."""
DeliveryCameTo: TypeAlias = Literal["delivered", "undelivered", "retried", "unknown"]
"""undelivered: it did not arrive, and is not sent again. retried: it is. unknown: nothing final was ever reported."""
_Attributes: TypeAlias = dict[str, AttributeValue]

_P = ParamSpec("_P")

_REASONS: Final[dict[str, tuple[Reason | None, ...]]] = {
    "Deferred": (None, "quiet_hours"),
    "RetryScheduled": (None, "twilio_error", "rate_limit"),
}
"""What fates come with, besides none."""
_LATENESS: Final = (1, 5, 15, 30, 60, 90, 120, 300, 600, 1800, 3600, 14_400, 86_400)
"""Seconds. A run a minute makes up to about 60 of them."""
_ARRIVAL: Final = (1, 2, 5, 10, 30, 60, 300, 600, 1200, 3600, 14_400, 86_400, 259_200)
"""Seconds. The first look comes after five minutes, the last after three days."""
_DURATION: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)


def _harmless(measure: Callable[_P, None]) -> Callable[_P, None]:
    """What goes wrong with a measurement is a gap in a chart, and nothing of a text's."""

    @wraps(measure)
    def measured(*args: _P.args, **kwargs: _P.kwargs) -> None:
        with suppress(Exception):
            measure(*args, **kwargs)

    return measured


class Instruments:
    """The counters, histograms and gauges. Measuring raises nothing."""

    def __init__(self, meter: Meter, *, by_business: bool) -> None:
        self._by_business = by_business
        self._texts = meter.create_counter("smsretry.texts", "{text}", "What claims of texts came to")
        self._recovered = meter.create_counter("smsretry.recovered", "{text}", "Texts taken back from silent workers")
        self._runs = meter.create_counter("smsretry.runs", "{run}", "Runs")
        self._lateness = meter.create_histogram(
            "smsretry.lateness", "s", "From due to begin of a send", explicit_bucket_boundaries_advisory=_LATENESS
        )
        self._duration = meter.create_histogram(
            "smsretry.send.duration", "s", "Requests to the provider", explicit_bucket_boundaries_advisory=_DURATION
        )
        self._deliveries = meter.create_counter(
            "smsretry.deliveries", "{text}", "What looks after accepted texts came to"
        )
        self._arrival = meter.create_histogram(
            "smsretry.delivery.time", "s", "From accepted to delivered", explicit_bucket_boundaries_advisory=_ARRIVAL
        )
        self._meter = meter
        self._zeros()

    def _zeros(self) -> None:
        """Let the counters be there before they count. Whoever watches how they grow then sees the first one, too."""
        self._recovered.add(0)
        for came_to in get_args(DeliveryCameTo):
            self._deliveries.add(0, {"smsretry.delivery": came_to})
        for outcome in get_args(RunOutcome):
            self._runs.add(0, {"smsretry.run.outcome": outcome})
        for message_class in () if self._by_business else get_args(MessageClass):
            for fate, reason in _fates():
                self._texts.add(0, _came_to(fate, reason, message_class))

    @_harmless
    def text(self, claim: Claim, fate: Counted, reason: Reason | None = None) -> None:
        """Count what a claim came to."""
        self._texts.add(1, _came_to(fate, reason, claim.message_class) | self._business(claim))

    @_harmless
    def recovered(self, texts: int) -> None:
        """Count texts that were taken back."""
        self._recovered.add(texts)

    @_harmless
    def run(self, outcome: RunOutcome, runs: int = 1) -> None:
        """Count runs."""
        self._runs.add(runs, {"smsretry.run.outcome": outcome})

    @_harmless
    def begun(self, claim: Claim, seconds: float) -> None:
        """How late a send began."""
        about: _Attributes = {"smsretry.message_class": claim.message_class}
        self._lateness.record(max(seconds, 0), about | self._business(claim))

    @_harmless
    def answered(self, outcome: Outcome | None, seconds: float) -> None:
        """How long the provider took to answer. None: the sender itself failed."""
        self._duration.record(seconds, _answer(outcome))

    @_harmless
    def standing(self, now: Standing) -> None:
        """How the queue stands."""
        for gauge in gauges(now):
            instrument = self._meter.create_gauge(gauge.name, gauge.unit, gauge.told)
            for attributes, value in gauge.points:
                instrument.set(value, dict(attributes))

    @_harmless
    def followed(self, message: OpenDelivery, came_to: DeliveryCameTo, code: int | None = None) -> None:
        """Count what a look after an accepted text came to; of one that arrived, how long that took."""
        about = self._business(message)
        self._deliveries.add(1, {"smsretry.delivery": came_to} | ({"error.type": str(code)} if code else {}) | about)
        if came_to == "delivered":
            self._arrival.record(max((message.claimed_at - message.accepted_at).total_seconds(), 0), about)

    def _business(self, claim: Claim | OpenDelivery) -> _Attributes:
        return {"smsretry.business.id": str(claim.business_id)} if self._by_business else {}


def _fates() -> Iterator[tuple[Counted, Reason | None]]:
    for fate in (*get_args(Fate), "Error"):
        for reason in _REASONS.get(fate, (None,)):
            yield fate, reason


def _came_to(fate: Counted, reason: Reason | None, message_class: MessageClass) -> _Attributes:
    told: _Attributes = {"smsretry.fate": _snake(fate), "smsretry.message_class": message_class}
    return told | ({"smsretry.reason": reason} if reason else {})


def _answer(outcome: Outcome | None) -> _Attributes:
    """`error.type`, as the conventions have it, is the provider's code where there is one."""
    match outcome:
        case Accepted():
            return {"smsretry.outcome": "accepted"}
        case Rejected(refusal):
            return {"smsretry.outcome": "rejected", "error.type": str(refusal.code or refusal.kind)}
        case NotSent():
            return {"smsretry.outcome": "not_sent", "error.type": "not_sent"}
        case InDoubt(_, status):
            return {"smsretry.outcome": "in_doubt", "error.type": str(status or "no_answer")}
        case None:
            return {"smsretry.outcome": "in_doubt", "error.type": "_OTHER"}
        case _:
            assert_never(outcome)


def _snake(fate: Counted) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", fate).lower()
