"""Metrics, through OpenTelemetry: what crosses the ports is counted and timed, and pushed by OTLP.

Off unless an endpoint is configured by OpenTelemetry's own variables, and then nothing of OpenTelemetry is imported.
`switch` says whether, `instruments` what is measured, `measured` where, `push` how it leaves the process, and
`measuring` puts them around a run.
"""
