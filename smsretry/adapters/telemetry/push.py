"""How measurements leave the process: by OTLP over HTTP, every minute and when the process has done its work.

A run's process lives for a minute, so a counter that started at zero with it would say nothing. Each push therefore
tells what came since the last one (delta temporality), and whoever receives it adds up.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http import metric_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.util import re as headers

from smsretry.adapters.telemetry.instruments import Instruments

PUSH_SECONDS: Final = 2.0
"""How long one push may take, and what a collector that cannot be reached costs a process at its end."""
_DELTA: Final[dict[type, AggregationTemporality]] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
}


class Push:
    """A process's measurements, on their way."""

    def __init__(self, *, by_business: bool) -> None:
        """Read OpenTelemetry's variables.

        Raises:
            Exception: of any kind, when one of them is malformed.
        """
        self._exporter = _Exporter()
        reader = PeriodicExportingMetricReader(self._exporter)
        self._provider = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)
        meter = self._provider.get_meter("smsretry", version("smsretry"))
        self.instruments: Final = Instruments(meter, by_business=by_business)

    def close(self) -> str | None:
        """Push the rest. The answer: why it did not arrive."""
        self._exporter.trouble = f"no answer came within {PUSH_SECONDS:.0f} s"
        with suppress(Exception):  # it waits so long at most; what it raises is told by `trouble`
            self._provider.shutdown(timeout_millis=PUSH_SECONDS * 1000)
        return self._exporter.trouble


def reach() -> str | None:
    """Push nothing, to see whether it arrives. The answer: why it did not."""
    exporter = _Exporter()
    exporter.export(MetricsData(resource_metrics=[]))
    exporter.shutdown()
    return exporter.trouble


class _Exporter(OTLPMetricExporter):
    """The OTLP exporter, which remembers why it failed instead of logging it several times."""

    def __init__(self) -> None:
        with _unsaid(headers.__name__) as said:  # it would quote the header, and so a key
            # Somebody whose process lives long may prefer another temporality.
            given = os.environ.get(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE)
            super().__init__(timeout=PUSH_SECONDS, preferred_temporality=None if given else _DELTA)
        if said:
            raise ValueError("OTEL_EXPORTER_OTLP_HEADERS must be name=value, several of them with commas between")
        self.trouble: str | None = None
        """Why the last push failed. None: it did not."""

    def export(self, metrics_data: MetricsData, *args: Any, **more: Any) -> MetricExportResult:
        with _unsaid(metric_exporter.__name__) as said:
            outcome = super().export(metrics_data, *args, **more)
        delivered = outcome is MetricExportResult.SUCCESS
        self.trouble = None if delivered else _why(said)
        return outcome


@contextmanager
def _unsaid(logger: str) -> Iterator[list[logging.LogRecord]]:
    """What would have been logged."""
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
    """The first thing that was said. An exception by its kind, because its message quotes the endpoint's path."""
    for record in said:
        errors = [value for value in record.args or () if isinstance(value, Exception)]
        return type(errors[0]).__name__ if errors else record.getMessage()
    return "no reason was given"


def _resource() -> Resource:
    """Who measures, unless OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say it.

    OpenTelemetry would give each process an id of its own, so that nobody could add up what the runs of a day counted.
    """
    ours = {
        "service.name": "smsretry",
        "service.version": version("smsretry"),
        "service.instance.id": socket.gethostname(),
    }
    return Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
