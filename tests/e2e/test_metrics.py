"""Metrics of real runs: each in a process of its own, as a runner starts them, over the demo's texts."""

from collections.abc import Iterator

import pytest

from smsretry.local.demo.seeding import seed
from smsretry.local.stack import Stack
from tests.e2e.conftest import FlowProcess, Prefect
from tests.support.collector import Collector, collecting

SENDS = "select outcome, count(*) as sends from sms_send_attempts group by outcome"
PEOPLE = """
    select c.id, c.name, c.phone, l.subject, l.id as send_log, q.id as row, b.name as business, b.id as business_id,
           l.provider_message_id ->> 'twilio_sid' as sid
    from customers c join businesses b on b.id = c.business_id left join send_logs l on l.customer_id = c.id
                     left join sms_retry_queue q on q.send_log_id = l.id"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where metrics arrive."""
    with collecting() as collector:
        yield collector


@pytest.mark.long
def test_each_run_of_the_flow_pushes_once_what_the_database_knows_and_nothing_personal(
    stack: Stack, flow: FlowProcess, prefect: Prefect, collector: Collector
) -> None:
    """Of 68 texts no number, name, body, row, SID or customer is in any byte that was received."""
    names = seed(stack)
    flow.run(SMSRETRY_TASK_RUNS="0", **collector.environment())
    with stack.connect() as connection:
        sends = {(row["outcome"],): row["sends"] for row in connection.execute(SENDS.encode())}
    sent = collector.gauges()["smsretry.recent.sends"]
    assert {outcome: sent[outcome] for outcome in sends} == sends
    flow.run(SMSRETRY_TASK_RUNS="0", **collector.environment())
    assert len(collector.bodies) == 2

    with stack.connect() as connection:
        people = connection.execute(PEOPLE.encode()).fetchall()
    everything = b"".join(collector.bodies)
    private = {str(value) for row in people for value in row.values() if value and str(value).strip()}
    private |= {value[-7:] for value in private if value.startswith("+")}
    private |= {*names.values(), *map(str, names)}
    assert len(private) > 300
    assert [one for one in private if one.encode() in everything] == []
    assert b"smsretry.day.ended" in everything, "the search finds what is there"
