"""Is everything in place? Settings, connections, functions, grants, queue, zone data, provider, metrics, Prefect."""

from collections.abc import Iterator, Mapping
from datetime import date

from pydantic import ValidationError

from smsretry.adapters.prefect.api import PrefectApi
from smsretry.adapters.prefect.definition import declared
from smsretry.adapters.prefect.watch import watch
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.telemetry.export import ENDPOINTS, trouble, wanted
from smsretry.desk.questions.sender_checks import check_senders, sender_findings
from smsretry.doctor.age import tables_age_finding, zone_data_finding
from smsretry.doctor.database import database_findings
from smsretry.doctor.variables import each_variable, misspelled, reachability_findings
from smsretry.errors import QueueError
from smsretry.retry.models import Finding
from smsretry.sending.ports import Provider
from smsretry.settings import PrefectSettings, load_settings, setting_problems
from smsretry.wiring import provider


def examine(*, today: date, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Sends nothing, and keeps nothing of what it rehearses.

    Args:
        today: the day for which the age of the data is computed.
        environment: all variables, to notice a misspelled one.
    """
    yield zone_data_finding(today)
    yield tables_age_finding(today)
    problems = setting_problems()
    yield from each_variable(problems, environment)
    yield from misspelled(environment)
    yield _metrics(environment)
    if not problems:
        settings = load_settings()
        yield from reachability_findings(settings)
        with SupabaseOperators(settings) as operators:
            yield from database_findings(operators)
            with provider(settings) as connected:
                yield from connected.check()
                yield from _senders(operators, connected)
    yield from _prefect()


def _metrics(environment: Mapping[str, str]) -> Finding:
    """Off, or whether an empty push arrives. What is wrong is a warning, because no text depends on metrics."""
    endpoint = wanted(environment)
    if endpoint is None:
        return Finding(subject=f"metrics (off: {ENDPOINTS[-1]} is not set, or they are switched off)", ok=True)
    advice = trouble(environment)
    if advice is None:
        from smsretry.adapters.telemetry.push import reach

        try:
            why = reach()
            advice = f"none arrives ({why}): check the collector, its port for HTTP (4318) and its key" if why else None
        except Exception as error:  # noqa: BLE001 - of somebody else's code, about somebody else's variables
            advice = str(error)
    return Finding(subject=f"metrics to {endpoint}", ok=True, advice=advice)


def _senders(operators: SupabaseOperators, connected: Provider) -> Iterator[Finding]:
    """The businesses' own senders. If the database cannot be asked, that has been said."""
    try:
        senders = [one for one in operators.senders() if one.sender_id]
    except QueueError:
        return
    yield from sender_findings(check_senders(senders, connected.check_sender))


def _prefect() -> Iterator[Finding]:
    try:
        settings = PrefectSettings()
    except ValidationError:
        advice = "must be the address of Prefect's API: http://<host>:4200/api"
        yield Finding(subject="PREFECT_API_URL", ok=False, advice=advice)
        return
    with PrefectApi(settings) as api:
        yield from watch(api, declared())
