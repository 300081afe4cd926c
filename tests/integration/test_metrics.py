"""What a run pushes, against what the database knows; and that metrics cost no text anything."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smsretry.adapters.telemetry.push import PUSH_SECONDS, Push
from smsretry.delivering import sync_deliveries
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from smsretry.wiring import delivery_services
from tests.builders import BODY, PHONE
from tests.collector import Collector, collecting
from tests.conftest import Business
from tests.integration.conftest import Command

Dues = dict[UUID, datetime]
KEY = "c0ffee-not-to-be-shown"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where metrics arrive."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def dues(stack: Stack, business: Business) -> Dues:
    """Due texts that come to every end there is but loss, with when they are due."""
    for _ in range(5):
        business.due_text()
    business.due_text(due=timedelta(hours=-1))
    business.due_text(phone=None)
    business.due_text(timezone="Pacific/Honolulu")
    business.due_text(timezone="Pacific/Honolulu")
    business.due_text(consent="opted_out", phone="+12125550163")
    business.connection.execute("select set_sms_state_stop('LA', 'A hurricane')")
    business.due_text(phone="+15045550164", timezone="America/Chicago")
    for phone in ("+12125550161", "+12125550162", "+12125550165"):
        business.due_text(phone=phone)
    stack.twilio.fail(JsonError(14107, http_status=400), to="+12125550161")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    stack.twilio.fail(JsonError(21211, http_status=400), to="+12125550165")
    rows = business.connection.execute("select id, scheduled_for from sms_retry_queue").fetchall()
    return {row["id"]: row["scheduled_for"] for row in rows}


def differences(business: Business, dues: Dues, collector: Collector) -> list[str]:
    """Where what one run pushed is not what the database has, a line each."""
    attempts = business.connection.execute("select retry_id, begun_at from sms_send_attempts").fetchall()
    late = sum((attempt["begun_at"] - dues[attempt["retry_id"]]).total_seconds() for attempt in attempts)
    known = {
        "fates": (counted(collector, "fate"), in_database(business, FATES)),
        "reasons": (counted(collector, "reason") - Counter({"": len(dues)}), in_database(business, REASONS)),
        "answers": (collector.observed("smsretry.send.duration", "smsretry.outcome"), in_database(business, ANSWERS)),
        "codes": (collector.observed("smsretry.send.duration", "error.type"), in_database(business, CODES)),
        "sends": (collector.observed("smsretry.lateness").total(), len(attempts)),
        "lateness": (round(collector.sum_of("smsretry.lateness"), 3), round(late, 3)),
        "runs": (collector.counted("smsretry.runs", "smsretry.run.outcome"), in_database(business, RUNS)),
    }
    return [f"{what}: pushed {pushed}, known {found}" for what, (pushed, found) in known.items() if pushed != found]


FATES = """
    select count(*), case when status = 'completed' then 'sent' when status <> 'pending' then status
                          when in_doubt_since is not null then 'in_doubt' when held_since is not null then 'held'
                          when reason = 'quiet_hours' then 'deferred' else 'retry_scheduled' end
    from sms_retry_queue group by 2"""
REASONS = """
    select count(*), reason from sms_retry_queue
    where status = 'pending' and in_doubt_since is null and held_since is null group by 2"""
ANSWERS = "select count(*), outcome from sms_send_attempts group by 2"
CODES = """
    select count(*), case outcome when 'accepted' then '' when 'in_doubt' then 'no_answer' else error_code::text end
    from sms_send_attempts group by 2"""
RUNS = "select count(*), 'done' from smsretry.runs where finished_at is not null"


def counted(collector: Collector, attribute: str) -> Counter[str]:
    """What claims came to."""
    return collector.counted("smsretry.texts", f"smsretry.{attribute}")


def in_database(business: Business, statement: str) -> Counter[str]:
    """Its first column by its second."""
    rows = business.connection.execute(statement.encode()).fetchall()
    return Counter({str(word): int(texts) for texts, word in (row.values() for row in rows)})


def test_every_number_that_is_pushed_is_the_databases(
    business: Business, dues: Dues, collector: Collector, command: Command
) -> None:
    """Fates, reasons, answers, codes, lateness and runs. There is one push, at the end."""
    result = command("process", **collector.environment())
    assert "claimed 14: sent 6" in result.output
    assert differences(business, dues, collector) == []
    assert len(collector.bodies) == 1


def test_a_process_that_ends_without_its_last_push_has_told_nothing(
    business: Business, dues: Dues, collector: Collector, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the comparison sees what it is to see."""
    monkeypatch.setattr(Push, "close", lambda _: None)
    command("process", **collector.environment())
    told = [line.partition(":")[0] for line in differences(business, dues, collector)]
    assert told == ["fates", "reasons", "answers", "codes", "sends", "lateness", "runs"]


def test_the_queue_is_told_as_the_database_has_it_and_to_prometheus_alike(
    stack: Stack, business: Business, dues: Dues, collector: Collector, command: Command
) -> None:
    """States without a text are told, too."""
    stack.twilio.heal()
    command("process", "--limit", "3", **collector.environment())
    depth, overdue = collector.last("smsretry.queue.depth"), collector.last("smsretry.queue.overdue")
    states = Counter[str]()
    for labels, texts in depth.items():
        states[labels[-1]] += int(texts)
    by_sql = in_database(
        business, "select count(*), smsretry.text_state(q, smsretry.clock()) from sms_retry_queue q group by 2"
    )
    in_queue = Counter({state: by_sql[state] for state in ("due", "waiting", "held", "in_doubt", "under_way")})
    assert +states == +in_queue
    assert len(depth) == 8
    assert 60 <= overdue[()] < 120  # the text that was an hour late is sent by now

    result = command("status", "--prometheus")
    assert result.exit_code == 0
    families = {family.name: family for family in text_string_to_metric_families(result.stdout)}
    shown = {tuple(dict(sorted(s.labels.items())).values()): s.value for s in families["smsretry_queue_depth"].samples}
    assert shown == depth
    assert 60 <= families["smsretry_queue_overdue_seconds"].samples[0].value < 120


def test_what_became_of_accepted_texts_is_pushed_as_the_database_has_it(
    stack: Stack, business: Business, collector: Collector, command: Command
) -> None:
    """By what a look settled and by code, with the time until then; one that is still open is not counted."""
    rows = [business.due_text(phone=f"+1212555016{n}") for n in range(5)]
    command("process")
    reports = [("delivered", None), ("delivered", None), ("undelivered", 30003), ("undelivered", 30007), ("sent", None)]
    for row, (status, code) in zip(rows, reports, strict=True):
        stack.twilio.report(str(business.attempts_of(row)[0]["twilio_sid"]), status, code)
    stack.move_clock(timedelta(minutes=6))
    command("status", **collector.environment())  # which leaves the environment set
    with delivery_services() as services:
        sync_deliveries(services, limit=100)
    assert collector.counted("smsretry.deliveries", "smsretry.delivery") == in_database(business, FOLLOWED)
    assert collector.counted("smsretry.deliveries", "error.type") == {"": 2, "30003": 1, "30007": 1}
    assert collector.observed("smsretry.delivery.time").total() == 2
    assert 720 <= collector.sum_of("smsretry.delivery.time") < 740

    result = command("status", "--prometheus")
    families = {family.name: family for family in text_string_to_metric_families(result.stdout)}
    shown = {
        name: {tuple(sample.labels.values()): sample.value for sample in families[f"smsretry_{name}"].samples}
        for name in ("recent_deliveries", "day_undelivered", "day_delivery_time_seconds")
    }
    assert shown["recent_deliveries"] == {
        ("delivered",): 2, ("undelivered",): 2, ("unknown",): 0, ("open",): 1,
    }  # fmt: skip
    assert shown["day_undelivered"] == {("_OTHER",): 0, ("30003",): 1, ("30007",): 1}
    assert all(360 <= seconds < 370 for seconds in shown["day_delivery_time_seconds"].values())
    assert set(shown["day_delivery_time_seconds"]) == {("0.5",), ("0.95",)}


FOLLOWED = """
    select count(*), case when a.delivery_status = 'delivered' then 'delivered' when q.status = 'pending' then 'retried'
                          else 'undelivered' end
    from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id
    where a.delivery_status in ('delivered', 'undelivered') group by 2"""


def test_what_two_processes_push_can_be_added_up(
    stack: Stack, business: Business, dues: Dues, collector: Collector
) -> None:
    """They are one service, and each tells its own part. The idle one tells zeros: of the others nothing is known."""
    for _ in range(2):
        smsretry_process(stack, collector.environment())
    assert differences(business, dues, collector) == []
    totals, dropped = collector.added_up("smsretry.texts")
    assert dropped == 0
    assert len(totals) == len(texts_of(collector, 1))
    assert sum(totals.values()) == len(dues)
    first = collector.resources()[0]
    assert (first["service.name"], first["telemetry.sdk.language"]) == ("smsretry", "python")
    assert set(texts_of(collector, 1)) == {0}
    smsretry_process(stack, collector.environment(OTEL_RESOURCE_ATTRIBUTES="service.instance.id=another"))
    assert len(collector.added_up("smsretry.texts")[0]) == 2 * len(totals)


def texts_of(collector: Collector, push: int) -> list[int]:
    """What one push told of texts."""
    [resource] = collector.requests()[push].resource_metrics
    metrics = [metric for scope in resource.scope_metrics for metric in scope.metrics]
    return [point.as_int for metric in metrics if metric.name == "smsretry.texts" for point in metric.sum.data_points]


def smsretry_process(stack: Stack, changes: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """`smsretry process` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "smsretry", "process"],
        env={**os.environ, **stack.environment(), **changes},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )


def test_nothing_of_opentelemetry_is_loaded_where_metrics_are_off(stack: Stack) -> None:
    """A run that is not to be measured pays nothing."""
    script = (
        "import sys; from smsretry.run import Run, run_once; from smsretry.wiring import services\n"
        "with services() as connected: run_once(Run(connected), limit=1)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    def loaded(**changes: str) -> str:
        environment = {**os.environ, **stack.environment(), **changes}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    somewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert loaded() == "[]"
    assert loaded(**somewhere, OTEL_SDK_DISABLED="true") == "[]"
    assert loaded(**somewhere, OTEL_METRICS_EXPORTER="none") == "[]"
    assert "opentelemetry.sdk.metrics" in loaded(**somewhere)


def test_a_collector_that_never_answers_costs_a_run_two_seconds_and_a_line(
    business: Business, collector: Collector, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes the request and says nothing. The texts are sent as always."""
    collector.silence = threading.Event()
    row = business.due_text()
    started = time.monotonic()
    result = command("process", **collector.environment())
    assert time.monotonic() - started < PUSH_SECONDS + 3
    assert (result.exit_code, business.row(row)["status"]) == (0, "completed")
    assert told(caplog) == [f"Metrics were not delivered to {collector.url[7:]}: no answer came within 2 s"]


TROUBLES = {
    "nobody listens": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "to 127.0.0.1:9: ConnectionError"),
    "no such host": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere.invalid"}, "to nowhere.invalid: ConnectionError"),
    "a port for gRPC": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf is the only protocol"),
    "no address": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "must begin with http:// or https://"),
    "a key in a header that is none": ({"OTEL_EXPORTER_OTLP_HEADERS": KEY}, "OTEL_EXPORTER_OTLP_HEADERS must be"),
    "a key in the address": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{KEY}@127.0.0.1:9/{KEY}"},
        "to 127.0.0.1:9: ConnectionError",
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_whatever_is_wrong_with_metrics_is_one_line_and_the_texts_go_out(
    business: Business, collector: Collector, command: Command, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """It says what to do, and quotes no key; the doctor says the same."""
    changes, line = TROUBLES[trouble]
    row = business.due_text()
    result = command("process", **{**collector.environment(), **changes})
    assert business.row(row)["status"] == "completed"
    assert [line in said for said in told(caplog)] == [True]
    doctor = command("doctor", **{**collector.environment(), **changes})
    [warned] = [said for said in doctor.output.splitlines() if said.startswith("warn metrics to ")]
    assert line.rpartition(": ")[2] in warned
    assert KEY not in result.output + caplog.text + doctor.output


def test_a_refused_push_says_what_the_collector_answered(
    business: Business, collector: Collector, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    """So that somebody knows that it is the key."""
    collector.status = 401
    command("process", **collector.environment(OTEL_EXPORTER_OTLP_HEADERS=f"api-key={KEY}"))
    assert len(told(caplog)) == 1
    assert "code: 401, reason: Unauthorized" in told(caplog)[0]
    assert KEY not in caplog.text


def test_without_the_extra_a_run_says_how_to_get_it(stack: Stack, business: Business, collector: Collector) -> None:
    """Once, and goes on."""
    row = business.due_text()
    script = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "sys.argv = ['smsretry', 'process']; from smsretry.__main__ import main; main()"
    )
    environment = {**os.environ, **stack.environment(), **collector.environment()}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stderr == "No metrics: the extra `metrics` is not installed: pip install 'smsretry[metrics]'\n"
    assert (business.row(row)["status"], collector.bodies) == ("completed", [])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged that somebody sees."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_businesses_are_told_apart_where_that_is_asked_for(
    business: Business, collector: Collector, command: Command
) -> None:
    """And only there."""
    business.due_text()
    command("process", **collector.environment())
    assert str(business.id).encode() not in collector.bodies[0]
    business.due_text()
    command("process", **collector.environment(SMSRETRY_METRICS_BY_BUSINESS="true"))
    assert collector.counted("smsretry.texts", "smsretry.business.id") == {"": 1, str(business.id): 1}


def test_a_run_that_raises_an_error_is_counted_as_failed(
    stack: Stack, business: Business, collector: Collector, command: Command
) -> None:
    """Here the database takes no claim."""
    business.due_text()
    stack.rpc_faults.bad_gateway("claim_due_sms_retries")
    assert command("process", **collector.environment()).exit_code == 1
    assert collector.counted("smsretry.runs", "smsretry.run.outcome") == {"failed": 1}


def test_a_row_whose_end_could_not_be_recorded_is_counted_as_an_error(
    stack: Stack, business: Business, collector: Collector, command: Command
) -> None:
    """It may have gone out; a later run says what came of it."""
    business.due_text()
    stack.rpc_faults.bad_gateway("finish_sms_attempt", times=6)
    command("process", **collector.environment())
    assert counted(collector, "fate") == {"error": 1}
    assert collector.counted("smsretry.runs", "smsretry.run.outcome") == {"needs_somebody": 1}


def test_no_number_body_or_customer_is_in_what_is_pushed(
    business: Business, dues: Dues, collector: Collector, command: Command
) -> None:
    """Nor a row, nor the SIDs of Twilio. The search finds what is there."""
    command("process", **collector.environment())
    rows = business.connection.execute(
        """select c.id::text as customer, coalesce(c.phone, '+') as phone, q.id::text as row, l.id::text as log,
                  coalesce(l.provider_message_id ->> 'twilio_sid', 'SM') as sid
           from sms_retry_queue q join customers c on c.id = q.customer_id join send_logs l on l.id = q.send_log_id"""
    ).fetchall()
    private = {BODY, BODY[:12], PHONE, PHONE[-7:], str(business.id)}
    private |= {value.lstrip("+") for row in rows for value in row.values() if len(value) > 2}
    everything = b"".join(collector.bodies)
    assert len(private) > 50
    assert [one for one in private if one.encode() in everything] == []
    assert b"retry_scheduled" in everything
