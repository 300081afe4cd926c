"""What a run pushes, against what the database knows; and that metrics cost no text anything."""

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import BODY, PHONE
from tests.support.collector import Collector, Samples, collecting

KEY = "c0ffee-not-to-be-shown"
ACCEPTED = """select count(*), coalesce(nullif(delivery_status, 'queued'), 'open') from sms_send_attempts
              where twilio_sid is not null group by 2"""
KNOWN = {
    "queue.depth": """select count(*), smsretry.text_state(q, smsretry.clock()) from sms_retry_queue q
                      where status in ('pending', 'processing') group by 2""",
    "scheduled.sends": "select count(*), 'waiting' from scheduled_sends",
    "stopped": "select count(*), 'state' from smsretry.stops where kind = 'state'",
    "recent.sends": "select count(*), outcome from sms_send_attempts group by 2",
    "recent.deliveries": ACCEPTED,
    "day.deliveries": ACCEPTED,
    "day.undelivered": "select count(*), delivery_code from sms_send_attempts where delivery_code > 0 group by 2",
    "day.ended": "select count(*), status from sms_retry_queue where status in ('failed', 'cancelled') group by 2",
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where metrics arrive."""
    with collecting() as collector:
        yield collector


def a_day(stack: Stack, business: Business, command: Command) -> None:
    """Texts come to every end, some are delivered and some lost; then three more are due, one of them for an hour."""
    business.connection.execute("select set_sms_state_stop('LA', 'A hurricane')")
    business.scheduled(due=timedelta(days=1))
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    for customer in ({"phone": None}, {"phone": "+12125550162"}, {"timezone": "Pacific/Honolulu"}):
        business.due_text(**customer)
    business.due_text(phone="+15045550164", timezone="America/Chicago")
    business.due_text(phone="+12125550163", consent="opted_out")
    rows = [business.due_text() for _ in range(4)]
    command("process")
    reports = [("delivered", None), ("delivered", None), ("undelivered", 30003), ("undelivered", 30007)]
    for row, (status, code) in zip(rows, reports, strict=True):
        stack.twilio.report(str(business.attempts_of(row)[0]["twilio_sid"]), status, code)
    stack.move_clock(timedelta(minutes=6))
    for minutes in (60, 1, 1):
        business.due_text(due=timedelta(minutes=-minutes))


def test_every_number_that_is_pushed_is_the_databases_and_prometheus_reads_the_same(
    stack: Stack, business: Business, collector: Collector, command: Command
) -> None:
    """There is one push a run, and no name, id or reason that `status` tells is in it. Cases without a text are told,
    too; the text that was an hour late is sent by now.
    """
    a_day(stack, business, command)
    command("process", "--limit", "1", **collector.environment())
    [body] = collector.bodies
    private = [BODY, PHONE[1:], "Maple Street", str(business.id), "hurricane"]
    assert [one for one in private if one.encode() in body] == []
    status = command("status", "--json").stdout
    assert [one in status for one in private[2:]] == [True, True, True]
    pushed = collector.gauges()
    for name, statement in KNOWN.items():
        rows = business.connection.execute(statement.encode()).fetchall()
        known = Counter({str(word): int(texts) for texts, word in (row.values() for row in rows)})
        assert by_last(pushed[f"smsretry.{name}"]) == +known, name
    assert pushed["smsretry.queue.depth"].keys() >= {("under_way",), ("rate_limit", "waiting")}
    assert 60 <= pushed["smsretry.queue.overdue"][()] < 3600

    families = list(text_string_to_metric_families(command("status", "--prometheus").stdout))
    assert len(families) == len(pushed)
    for name, samples in pushed.items():
        [read] = [family for family in families if family.name.removesuffix("_seconds") == name.replace(".", "_")]
        if name not in ("smsretry.queue.overdue", "smsretry.run.age"):  # which move on
            assert {tuple(dict(sorted(s.labels.items())).values()): s.value for s in read.samples} == samples


def by_last(samples: Samples) -> Counter[str]:
    """By the last attribute, without zeros."""
    told = Counter[str]()
    for labels, texts in samples.items():
        told[labels[-1]] += int(texts)
    return +told


def test_whatever_is_wrong_with_metrics_is_one_line_and_the_texts_go_out(
    business: Business, collector: Collector, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    """It says what to do, and quotes no key. A collector that never answers costs two seconds."""
    to, headers = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
    for status, changes, line in (
        (401, {to: f"http://me:{KEY}@127.0.0.1:9/{KEY}"}, "to 127.0.0.1:9: ConnectionError"),
        (401, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf is the only protocol"),
        (401, {to: "localhost:4318"}, "must begin with http:// or https://"),
        (401, {headers: KEY}, f"{headers} must be"),
        (401, {headers: f"api-key={KEY}"}, "code: 401, reason: Unauthorized"),
        (0, {}, "Failed to export metrics batch due to time"),
    ):
        caplog.clear()
        collector.status = status
        row = business.due_text()
        result = command("process", **{**collector.environment(), **changes})
        assert (result.exit_code, business.row(row)["status"]) == (0, "completed")
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [line in one for one in said] == [True], line
        assert KEY not in result.output + caplog.text
