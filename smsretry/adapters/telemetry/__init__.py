"""Metrics: after a run, the state of the queue is pushed by OTLP. `export` is for a run; `push` knows OpenTelemetry."""
