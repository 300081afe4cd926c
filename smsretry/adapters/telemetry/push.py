"""Push the gauges by OTLP over HTTP, once."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http import metric_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.util import re as headers

from smsretry.desk.pages.gauges import Gauge

PUSH_SECONDS: Final = 2.0
"""The longest that a push may take, and the most that an unreachable collector costs a process at its end."""


def push(gauges: Sequence[Gauge]) -> str | None:
    """Push the gauges. Returns why they did not arrive; None if they did.

    Raises:
        Exception: of any kind, when one of OpenTelemetry's variables is malformed.
    """
    exporter = _Exporter()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)  # it pushes when it is shut down
    provider = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)
    meter = provider.get_meter("smsretry", version("smsretry"))
    for gauge in gauges:
        instrument = meter.create_gauge(gauge.name, gauge.unit, gauge.description)
        for attributes, value in gauge.points:
            instrument.set(value, dict(attributes))
    exporter.trouble = f"no answer came within {PUSH_SECONDS:.0f} s"
    with suppress(Exception):  # `trouble` says what went wrong
        provider.shutdown(timeout_millis=PUSH_SECONDS * 1000)
    return exporter.trouble


def reach() -> str | None:
    """Push nothing, to see whether it arrives. Returns why it did not; None if it did."""
    exporter = _Exporter()
    exporter.export(MetricsData(resource_metrics=[]))
    exporter.shutdown()
    return exporter.trouble


class _Exporter(OTLPMetricExporter):
    """The OTLP exporter, which remembers why it failed instead of logging it several times."""

    def __init__(self) -> None:
        with _unsaid(headers.__name__) as said:  # it would quote the header, and so a key
            super().__init__(timeout=PUSH_SECONDS)
        if said:
            raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must be name=value, several of them with commas between")
        self.trouble: str | None = None
        """Why the last push failed; None if it did not."""

    def export(self, metrics_data: MetricsData, *args: Any, **more: Any) -> MetricExportResult:
        with _unsaid(metric_exporter.__name__) as said:
            outcome = super().export(metrics_data, *args, **more)
        delivered = outcome is MetricExportResult.SUCCESS
        self.trouble = None if delivered else _why(said)
        return outcome


@contextmanager
def _unsaid(logger: str) -> Iterator[list[logging.LogRecord]]:
    """Collect what a logger would log, instead of logging it."""
    said: list[logging.LogRecord] = []

    def listen(record: logging.LogRecord) -> bool:
        said.append(record)
        return False

    logging.getLogger(logger).addFilter(listen)
    try:
        yield said
    finally:
        logging.getLogger(logger).removeFilter(listen)


def _why(said: list[logging.LogRecord]) -> str:
    """The first of these messages; the kind of an exception, because its own message quotes the endpoint's path."""
    for record in said:
        errors = [value for value in record.args or () if isinstance(value, Exception)]
        return type(errors[0]).__name__ if errors else record.getMessage()
    return "no reason was given"


def _resource() -> Resource:
    """The source of the numbers, unless OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES name another.

    The numbers are the database's, whichever process pushes them. OpenTelemetry would give each process its own
    id, and so each run its own series.
    """
    ours = {"service.name": "smsretry", "service.version": version("smsretry"), "service.instance.id": "smsretry"}
    return Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
