"""Metrics at the end of a run: whether they are on, and the push.

OpenTelemetry's own variables decide. Without them nothing of OpenTelemetry is imported. Metrics cost no text anything:
the run is over, and a failure is a line in the log.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from logging.handlers import BufferingHandler
from typing import Final
from urllib.parse import urlsplit

from smsretry.desk.pages.gauges import Gauge, gauges
from smsretry.desk.questions.queue_status import QueueStatus

_logger: Final = logging.getLogger(__name__)
_ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
_PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)
_SPOKEN: Final = "http/protobuf"
_PUSH_SECONDS: Final = 2.0
_MALFORMED: Final = "one of OpenTelemetry's variables is malformed; OTEL_EXPORTER_OTLP_HEADERS must be name=value,…"


def export(environment: Mapping[str, str], status: Callable[[], QueueStatus]) -> None:
    """Push the state of the queue, where metrics are on. Raises nothing.

    Args:
        environment: says whether to push, and where to.
        status: the state of the queue; not called where metrics are off.
    """
    endpoint = endpoint_of(environment)
    if endpoint is None:
        return
    try:
        if _first_value(_PROTOCOLS, environment) not in ("", _SPOKEN):
            problem = f"{_SPOKEN} is the only protocol that smsretry speaks: set OTEL_EXPORTER_OTLP_PROTOCOL to it"
        elif not _first_value(_ENDPOINTS, environment).startswith(
            ("http://", "https://")
        ):
            problem = "the endpoint must begin with http:// or https://, such as http://localhost:4318"
        else:
            problem = _push(gauges(status()))
    except ModuleNotFoundError:
        problem = (
            "the extra `metrics` is not installed: pip install 'smsretry[metrics]'"
        )
    except Exception as error:  # noqa: BLE001 - the database's, or of somebody else's code and variables
        problem = str(error) or type(error).__name__
    if problem:
        _logger.warning("Metrics were not delivered to %s: %s", endpoint, problem)


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """Where metrics go, as host and port; None if they are off.

    OTEL_SDK_DISABLED=true and OTEL_METRICS_EXPORTER=none switch them off, as everywhere.
    """
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = environment.get("OTEL_METRICS_EXPORTER", "").strip() or "otlp"
    endpoint = _first_value(_ENDPOINTS, environment)
    if disabled or not endpoint or "otlp" not in exporters.replace(" ", "").split(","):
        return None
    return urlsplit(endpoint).netloc.rpartition("@")[2] or endpoint


def _first_value(names: Sequence[str], environment: Mapping[str, str]) -> str:
    return next(
        (value for name in names if (value := environment.get(name, "").strip())), ""
    )


def _push(metrics: Iterable[Gauge]) -> str:
    """Push them by OTLP over HTTP, once. Returns why they did not arrive; empty if they did."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        InMemoryMetricReader,
        MetricExportResult,
    )
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    # The numbers are the database's, whichever process pushes them: with an id of its own each run were a new series.
    ours = {
        "service.name": "smsretry",
        "service.version": version("smsretry"),
        "service.instance.id": "smsretry",
    }
    resource = (
        Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
    )
    reader = InMemoryMetricReader()
    meter = MeterProvider(
        [reader], resource=resource, shutdown_on_exit=False
    ).get_meter("smsretry")
    for gauge in metrics:
        instrument = meter.create_gauge(gauge.name, gauge.unit, gauge.description)
        for attributes, value in gauge.points:
            instrument.set(value, dict(attributes))
    data = reader.get_metrics_data()
    with _unsaid() as log_records:
        exporter = OTLPMetricExporter(timeout=_PUSH_SECONDS)
        if log_records.buffer or data is None:
            return _MALFORMED
        if exporter.export(data) is MetricExportResult.SUCCESS:
            return ""
        for record in (
            log_records.buffer
        ):  # of an exception its kind, because its own words quote the endpoint's path
            errors = [
                value for value in record.args or () if isinstance(value, Exception)
            ]
            return type(errors[0]).__name__ if errors else record.getMessage()
        return "no reason was given"


@contextmanager
def _unsaid() -> Iterator[BufferingHandler]:
    """Collect what OpenTelemetry would log, instead of logging it: it would quote a header, and so a key."""
    logger, log_records = (
        logging.getLogger("opentelemetry"),
        BufferingHandler(capacity=1000),
    )
    logger.addHandler(log_records)
    logger.propagate = False
    try:
        yield log_records
    finally:
        logger.propagate = True
        logger.removeHandler(log_records)
