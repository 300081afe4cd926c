"""The services of a run, measured if that is wanted. Metrics cost no text anything: what they lack is a warning."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from smsretry.adapters.telemetry.switch import trouble, wanted
from smsretry.desk.standing import Standing
from smsretry.ports import DeliveryServices, Services

if TYPE_CHECKING:
    from smsretry.adapters.telemetry.push import Push

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outer:
    """What is measured now; `push` is None where metrics are off."""

    push: "Push | None"


_outer: Final[ContextVar[_Outer | None]] = ContextVar("outer", default=None)


@contextmanager
def measured(
    services: Services, *, environment: Mapping[str, str], by_business: bool, standing: Callable[[], Standing]
) -> Iterator[Services]:
    """The same services, measured. At the end everything is pushed; after a run, how the queue stands, too.

    Args:
        environment: says whether, and where to push.
        by_business: whether businesses are told apart.
        standing: asks how the queue stands.
    """
    with _pushing(environment, by_business) as push:
        if push is None:
            yield services
            return
        from smsretry.adapters.telemetry.measured import MeasuredQueue, MeasuredSender

        instruments = push.instruments
        queue = MeasuredQueue(services.queue, instruments)
        try:
            yield replace(services, queue=queue, sender=MeasuredSender(services.sender, instruments))
        finally:
            queue.close()
            if queue.run_has_ended:
                with suppress(Exception):  # whatever the database answers: the run is over, and its end is on record
                    instruments.standing(standing())


@contextmanager
def measured_deliveries(
    services: DeliveryServices, *, environment: Mapping[str, str], by_business: bool
) -> Iterator[DeliveryServices]:
    """The same of what looks after deliveries. What a webhook settles is in the gauges, which are the database's."""
    with _pushing(environment, by_business) as push:
        if push is None:
            yield services
            return
        from smsretry.adapters.telemetry.measured_deliveries import MeasuredDeliveries

        yield replace(services, records=MeasuredDeliveries(services.records, push.instruments))


@contextmanager
def _pushing(environment: Mapping[str, str], by_business: bool) -> Iterator["Push | None"]:
    """None: metrics are off, or it was said why there are none. What is measured meanwhile goes the same way."""
    if outer := _outer.get():
        yield outer.push
        return
    push = _begin(environment, by_business)
    token = _outer.set(_Outer(push))
    try:
        yield push
    finally:
        _outer.reset(token)
        if push and (why := push.close()):
            _logger.warning("Metrics were not delivered to %s: %s", wanted(environment), why)


def _begin(environment: Mapping[str, str], by_business: bool) -> "Push | None":
    if wanted(environment) is None:
        return None
    why = trouble(environment)
    if why is None:
        try:
            from smsretry.adapters.telemetry.push import Push

            return Push(by_business=by_business)
        except Exception as error:  # noqa: BLE001 - of somebody else's code, about somebody else's variables
            why = str(error) or type(error).__name__
    _logger.warning("No metrics: %s", why)
    return None
