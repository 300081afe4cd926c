"""What a run calls at its end. Metrics cost no text anything: the run is over, and what goes wrong here is a line."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from smsretry.adapters.telemetry.switch import trouble, wanted
from smsretry.desk.pages.gauges import gauges
from smsretry.desk.questions.queue_status import QueueStatus

_logger: Final = logging.getLogger(__name__)


def export(environment: Mapping[str, str], status: Callable[[], QueueStatus]) -> None:
    """Push the state of the queue, where metrics are on. Raises nothing.

    Args:
        environment: says whether, and where to.
        status: the state of the queue; not called where metrics are off.
    """
    endpoint = wanted(environment)
    if endpoint is None:
        return
    why = trouble(environment)
    if why is None:
        try:
            from smsretry.adapters.telemetry.push import push

            if undelivered := push(gauges(status())):
                _logger.warning("Metrics were not delivered to %s: %s", endpoint, undelivered)
            return
        except Exception as error:  # noqa: BLE001 - the database's, or of somebody else's code and variables
            why = str(error) or type(error).__name__
    _logger.warning("No metrics: %s", why)
