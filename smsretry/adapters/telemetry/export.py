"""Metrics at the end of a run: whether they are on, whether they can be pushed, and the push itself.

OpenTelemetry's own variables decide. Without them nothing of OpenTelemetry is imported. Metrics cost no text anything:
the run is over, and a failure is a line in the log.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from smsretry.desk.pages.gauges import gauges
from smsretry.desk.questions.queue_status import QueueStatus

_logger: Final = logging.getLogger(__name__)
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Each switches metrics on. The first one that is set holds."""
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"
_NEEDED: Final = ("opentelemetry.sdk.metrics", "opentelemetry.exporter.otlp.proto.http")
_EXTRA: Final = "the extra `metrics` is not installed: pip install 'smsretry[metrics]'"


def export(environment: Mapping[str, str], status: Callable[[], QueueStatus]) -> None:
    """Push the state of the queue, where metrics are on. Raises nothing.

    Args:
        environment: says whether to push, and where to.
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


def wanted(environment: Mapping[str, str]) -> str | None:
    """Where metrics go, as host and port; None if they are off.

    OTEL_SDK_DISABLED=true and OTEL_METRICS_EXPORTER=none switch them off, as everywhere.
    """
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = environment.get("OTEL_METRICS_EXPORTER", "").strip() or "otlp"
    endpoint = _first(ENDPOINTS, environment)
    if disabled or not endpoint or "otlp" not in exporters.replace(" ", "").split(","):
        return None
    return urlsplit(endpoint).netloc.rpartition("@")[2] or endpoint


def trouble(environment: Mapping[str, str]) -> str | None:
    """Why metrics that are wanted cannot be pushed, and what to do. None: nothing known prevents it."""
    protocol = _first(_PROTOCOLS, environment)
    endpoint = _first(ENDPOINTS, environment) or ""
    if protocol not in (None, _SPOKEN):
        return f"{_SPOKEN} is the only protocol that smsretry speaks: set OTEL_EXPORTER_OTLP_PROTOCOL to it"
    if urlsplit(endpoint).scheme not in ("http", "https"):
        return "the endpoint must begin with http:// or https://, such as http://localhost:4318"
    return None if all(map(_is_there, _NEEDED)) else _EXTRA


def _first(names: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    return next((value for name in names if (value := environment.get(name, "").strip())), None)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent is
        return False
