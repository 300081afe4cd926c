"""Do metrics arrive? No text depends on them, so what is wrong is a warning."""

from collections.abc import Mapping

from smsretry.adapters.telemetry.export import ENDPOINTS, trouble, wanted
from smsretry.retry.models import Finding


def metrics_finding(environment: Mapping[str, str]) -> Finding:
    """Off, or whether an empty push arrives."""
    endpoint = wanted(environment)
    if endpoint is None:
        return Finding(subject=f"metrics (off: {ENDPOINTS[-1]} is not set, or they are switched off)", ok=True)
    return Finding(subject=f"metrics to {endpoint}", ok=True, advice=trouble(environment) or _undelivered())


def _undelivered() -> str | None:
    from smsretry.adapters.telemetry.push import reach

    try:
        why = reach()
    except Exception as error:  # noqa: BLE001 - of somebody else's code, about somebody else's variables
        return str(error)
    return f"none arrives ({why}): check the collector, its port for HTTP (4318) and its key" if why else None
