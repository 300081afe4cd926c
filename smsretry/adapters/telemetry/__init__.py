"""Metrics, through OpenTelemetry: after a run, how the queue stands is pushed by OTLP, as `status --prometheus` has it.

Off unless an endpoint is configured by OpenTelemetry's own variables, and then nothing of OpenTelemetry is imported.
`switch` says whether they are on, `export` is what a run calls, and `push` knows OpenTelemetry.
"""
