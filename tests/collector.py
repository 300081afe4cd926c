"""Where metrics arrive: an OTLP receiver on this machine, which reads what it gets with OpenTelemetry's own schema."""

import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


@dataclass
class Collector:
    """What was pushed."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    """As they came over the wire, unpacked."""
    status: int = 200
    """What it answers."""
    silence: threading.Event | None = None
    """If set, it answers nothing until this is."""

    def environment(self, **more: str) -> dict[str, str]:
        """What makes a process push to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, **more}

    def requests(self) -> list[ExportMetricsServiceRequest]:
        """Each push, in order."""
        return [ExportMetricsServiceRequest.FromString(body) for body in self.bodies]

    def metrics(self, name: str) -> list[Metric]:
        """Everything of this name."""
        return [
            metric
            for request in self.requests()
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]

    def counted(self, name: str, by: str) -> Counter[str]:
        """A counter's growth over all pushes, by one attribute; without zeros."""
        total = Counter[str]()
        for metric in self.metrics(name):
            assert metric.sum.aggregation_temporality == DELTA
            for point in metric.sum.data_points:
                total[attributes(point.attributes).get(by, "")] += point.as_int
        return +total

    def observed(self, name: str, by: str = "") -> Counter[str]:
        """How many observations of a histogram there were over all pushes, by one attribute."""
        total = Counter[str]()
        for metric in self.metrics(name):
            assert metric.histogram.aggregation_temporality == DELTA
            for point in metric.histogram.data_points:
                total[attributes(point.attributes).get(by, "")] += point.count
        return +total

    def sum_of(self, name: str) -> float:
        """All observations of a histogram together."""
        return sum(float(point.sum) for metric in self.metrics(name) for point in metric.histogram.data_points)

    def last(self, name: str) -> dict[tuple[str, ...], float]:
        """A gauge's values in the last push that had it, by the values of their attributes."""
        points = self.metrics(name)[-1].gauge.data_points
        return {tuple(attributes(point.attributes).values()): point.as_double or point.as_int for point in points}

    def added_up(self, name: str) -> tuple[dict[str, int], int]:
        """A counter's series as a receiver adds them up, and how many points it had to drop.

        By the rules of the OpenTelemetry Collector's deltatocumulative processor, which Prometheus has, too: a series
        is all that is equal in resource and attributes; a point must be later than the one before it, and must not
        have begun before the series.
        """
        totals, began, seen, dropped = dict[str, int](), dict[str, int](), dict[str, int](), 0
        for request in self.requests():
            for resource in request.resource_metrics:
                who = attributes(resource.resource.attributes)
                metrics = [metric for scope in resource.scope_metrics for metric in scope.metrics]
                for point in [point for one in metrics if one.name == name for point in one.sum.data_points]:
                    series = f"{who} {attributes(point.attributes)}"
                    began.setdefault(series, point.start_time_unix_nano)
                    if point.start_time_unix_nano < began[series] or point.time_unix_nano <= seen.get(series, 0):
                        dropped += 1
                        continue
                    seen[series] = point.time_unix_nano
                    totals[series] = totals.get(series, 0) + point.as_int
        return totals, dropped

    def resources(self) -> list[dict[str, str]]:
        """Who pushed, push by push."""
        return [
            attributes(resource.resource.attributes)
            for request in self.requests()
            for resource in request.resource_metrics
        ]


def attributes(pairs: "list[KeyValue]") -> dict[str, str]:
    """As a dict, in the order of their names."""
    return {pair.key: pair.value.string_value for pair in sorted(pairs, key=lambda pair: pair.key)}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Otlp(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if collector.silence is not None:
                collector.silence.wait(60)
                return
            packed = self.headers.get("content-encoding") == "gzip"
            collector.bodies.append(gzip.decompress(body) if packed else body)
            self.send_response(collector.status if self.path == "/v1/metrics" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Otlp)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        if collector.silence is not None:
            collector.silence.set()
        server.shutdown()
        thread.join()
        server.server_close()
