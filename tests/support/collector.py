"""Where metrics arrive: an OTLP receiver on this machine, which reads what it gets with OpenTelemetry's own schema."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from smsretry.local.process.http import LocalServer

Samples = dict[tuple[str, ...], float]
"""A gauge's values, by the values of their attributes."""


@dataclass
class Collector:
    """What was pushed."""

    bodies: list[bytes] = field(default_factory=list)
    """As they came over the wire, unpacked."""
    status: int = 200
    """What it answers. 0: nothing, for as long as somebody waits."""
    url: str = ""

    def environment(self, **extra: str) -> dict[str, str]:
        """What makes a process push to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, **extra}

    def gauges(self) -> dict[str, Samples]:
        """The last push."""
        metrics = [
            metric
            for scope in self._pushed()[-1].scope_metrics
            for metric in scope.metrics
        ]
        return {
            metric.name: {
                _values(point.attributes): point.as_double or point.as_int
                for point in metric.gauge.data_points
            }
            for metric in metrics
        }

    def resources(self) -> list[dict[str, str]]:
        """Who pushed, push by push."""
        return [
            {
                attribute.key: attribute.value.string_value
                for attribute in pushed.resource.attributes
            }
            for pushed in self._pushed()
        ]

    def _pushed(self) -> list[ResourceMetrics]:
        return [
            metrics
            for body in self.bodies
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        body = await request.body()
        if not self.status:
            await receive()  # until whoever waits has gone
            return
        self.bodies.append(
            gzip.decompress(body)
            if request.headers.get("content-encoding") == "gzip"
            else body
        )
        answer = Response(
            status_code=self.status if request.url.path == "/v1/metrics" else 404
        )
        await answer(scope, receive, send)


def _values(pairs: Iterable[KeyValue]) -> tuple[str, ...]:
    return tuple(
        pair.value.string_value for pair in sorted(pairs, key=lambda pair: pair.key)
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    with LocalServer(collector) as server:
        collector.url = server.url
        yield collector
