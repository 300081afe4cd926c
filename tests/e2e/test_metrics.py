"""Metrics of real runs: each in a process of its own, as a runner starts them, over the demo's texts."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from smsretry.adapters.telemetry.push import PUSH_SECONDS
from smsretry.local.demo.seeding import seed
from smsretry.local.process.http import free_port
from smsretry.local.stack import Stack
from tests.collector import Collector, collecting
from tests.e2e.conftest import FlowProcess, Prefect

Rows = list[dict[str, Any]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where metrics arrive."""
    with collecting() as collector:
        yield collector


def test_the_metrics_of_two_runs_are_what_the_database_and_twilio_know_and_nothing_personal(
    stack: Stack, flow: FlowProcess, prefect: Prefect, collector: Collector
) -> None:
    """Every fate, four hours apart. Of 64 texts no number, name, body or customer is in any byte that was received."""
    names = seed(stack)
    runs = [flow.run(**collector.environment())[0]]
    stack.move_clock(timedelta(hours=4))
    runs.append(flow.run(**collector.environment())[0])

    fates = collector.counted("smsretry.texts", "smsretry.fate")
    assert fates == told_by(runs)
    with stack.connect() as connection:
        ends = {row["status"]: row["texts"] for row in known(connection, ENDS)}
        assert {"completed": fates["sent"], "failed": fates["failed"], "cancelled": fates["cancelled"]} == ends
        [sends] = known(connection, "select count(*) as sends from sms_send_attempts where run_id is not null")
        assert collector.observed("smsretry.send.duration").total() == sends["sends"]
        assert collector.observed("smsretry.lateness").total() == sends["sends"]
        people = known(connection, PEOPLE)
    accepted = collector.observed("smsretry.send.duration", "smsretry.outcome")
    reached = len(stack.twilio.ledger.entries())
    assert accepted["accepted"] <= reached <= accepted["accepted"] + accepted["in_doubt"]
    assert collector.counted("smsretry.runs", "smsretry.run.outcome") == {"done": 2}
    assert collector.counted("smsretry.recovered", "") == {"": 2}
    assert collector.added_up("smsretry.texts")[1] == 0

    everything = b"".join(collector.bodies)
    private = {str(value) for row in people for value in row.values() if value and str(value).strip()}
    private |= {value[-7:] for value in private if value.startswith("+")}
    private |= {*names.values(), *map(str, names)}
    assert len(private) > 300
    assert [one for one in private if one.encode() in everything] == []
    assert b"retry_scheduled" in everything, "the search finds what is there"


ENDS = """
    select status, count(*) as texts from sms_retry_queue
    where status not in ('pending', 'processing') group by status"""
PEOPLE = """
    select c.id, c.name, c.phone, l.subject, l.id as send_log, b.name as business, b.id as business_id
    from customers c join businesses b on b.id = c.business_id left join send_logs l on l.customer_id = c.id"""


def known(connection: "psycopg.Connection[dict[str, Any]]", statement: str) -> Rows:
    """What the database says."""
    return connection.execute(statement.encode()).fetchall()


def told_by(runs: Rows) -> Counter[str]:
    """The numbers of their messages, which come another way."""
    words = {"retrying": "retry_scheduled"}
    numbers = Counter[str]()
    for run in runs:
        counts = run["state"]["message"].partition(": ")[2].rpartition(" in ")[0]
        for word, texts in re.findall(r"([a-z ]+) (\d+)", counts):
            name = word.strip().replace(" ", "_")
            numbers[words.get(name, name)] += int(texts)
    return numbers


def test_a_collector_that_cannot_be_reached_costs_a_run_seconds_and_nothing_else(
    stack: Stack, flow: FlowProcess, prefect: Prefect
) -> None:
    """One line; the run is as green as always."""
    seed(stack)
    started = time.monotonic()
    without, quiet = flow.run()
    unmeasured = time.monotonic() - started
    stack.move_clock(timedelta(hours=4))
    started = time.monotonic()
    measured, printed = flow.run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - started < unmeasured + PUSH_SECONDS + 3
    assert without["state"]["type"] == measured["state"]["type"] == "COMPLETED"
    assert printed.count("Metrics were not delivered to 127.0.0.1:") == 1
    assert "Metrics" not in quiet
    assert "opentelemetry" not in printed.lower()
