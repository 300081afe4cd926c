"""What a run pushes, against what the database knows; and that metrics cost no text anything."""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conftest import Business
from tests.integration.conftest import Command
from tests.integration.scene import Scene
from tests.support.builders import BODY, PHONE
from tests.support.collector import Collector, Samples, collecting

KEY = "c0ffee-not-to-be-shown"
KNOWN = {
    "queue.depth": """select count(*), smsretry.text_state(q, smsretry.clock()) from sms_retry_queue q
                      where status in ('pending', 'processing') group by 2
                      union all
                      select count(*), status from scheduled_sends where status = 'scheduled' group by 2""",
    "recent.sends": "select count(*), outcome from sms_send_attempts where outcome is not null group by 2",
    "day.deliveries": """select count(*), coalesce(nullif(delivery_status, 'queued'), 'open') from sms_send_attempts
                         where twilio_sid is not null group by 2""",
    "day.ended": """select count(*), status from sms_retry_queue
                    where status in ('failed', 'cancelled') and updated_at > smsretry.clock() - interval '1 day'
                    group by 2""",
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where metrics arrive."""
    with collecting() as collector:
        yield collector


def test_every_number_that_is_pushed_is_the_databases(
    scene: Scene, collector: Collector, command: Command
) -> None:
    """There is one push a run, and no name or id is in it. Cases without a text are told, too. A text is counted in the
    state that its story tells: one place says what that is for a row, another one counts many.
    """
    business = scene.business
    business.connection.execute("select set_sms_stop('state', 'LA', 'A hurricane')")
    command("process", "--limit", "1", **collector.environment())
    [body] = collector.bodies
    private = [BODY, PHONE[1:], "Maple Street", str(business.id), "hurricane"]
    assert [one for one in private if one.encode() in body] == []
    pushed = collector.gauges()
    for name, statement in KNOWN.items():
        rows = business.connection.execute(statement.encode()).fetchall()
        known = Counter(
            {str(word): int(texts) for texts, word in (row.values() for row in rows)}
        )
        assert by_last(pushed[f"smsretry.{name}"]) == +known, name
    assert pushed["smsretry.queue.depth"].keys() >= {("under_way",), ("waiting",)}
    assert pushed["smsretry.queue.overdue"][()] > 60


def by_last(samples: Samples) -> Counter[str]:
    """By the last attribute, without zeros."""
    counts = Counter[str]()
    for labels, texts in samples.items():
        counts[labels[-1]] += int(texts)
    return +counts


def test_whatever_is_wrong_with_metrics_is_one_line_and_the_texts_go_out(
    business: Business,
    collector: Collector,
    command: Command,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says what to do, and quotes no key. A collector that never answers costs two seconds."""
    to, headers = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
    for status, changes, line in (
        (
            401,
            {to: f"http://me:{KEY}@127.0.0.1:9/{KEY}"},
            "to 127.0.0.1:9: ConnectionError",
        ),
        (
            401,
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "http/protobuf is the only protocol",
        ),
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
        said = [
            record.getMessage()
            for record in caplog.records
            if record.levelno >= logging.WARNING
        ]
        assert [line in one for one in said] == [True], line
        assert KEY not in result.output + caplog.text
