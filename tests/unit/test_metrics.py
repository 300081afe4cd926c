"""When metrics are on, what they tell, and that what goes wrong with them is a line."""

from datetime import timedelta
from typing import Any

from smsretry.adapters.telemetry.export import wanted
from smsretry.desk.pages.gauges import exposition, gauges
from smsretry.desk.questions.queue_status import QueueStatus, StatusLine
from tests.support.builders import NOON

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


def test_opentelemetrys_own_variables_switch_metrics_on_and_off() -> None:
    """The address is told without a path or a password: both may hold a key."""
    assert wanted(SOMEWHERE) == wanted(SOMEWHERE | {"OTEL_METRICS_EXPORTER": "console, otlp"}) == "localhost:4318"
    assert wanted(SOMEWHERE | {METRICS: "https://user:key@otlp.example.com/a/key/v1/metrics"}) == "otlp.example.com"
    for off in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"},
        SOMEWHERE | {"OTEL_SDK_DISABLED": "True"},
        SOMEWHERE | {"OTEL_METRICS_EXPORTER": "none"},
    ):
        assert wanted(off) is None


def test_an_empty_queue_is_told_as_zeros_and_two_senders_that_look_the_same_are_one_line() -> None:
    """A 0 is not the same as no answer. What was never measured is not told: 0 seconds would be a time.

    Numbers are shown by their last digits, and a collector refuses all that it is told if one line comes twice.
    """
    told = lines_of()
    assert {float(line.rpartition(" ")[2]) for line in told} == {0}
    assert not any("run_age" in line for line in told)
    told = lines_of(*(a_line("sender", "…0199", texts, why_code="sender_paused") for texts in (3, 4)))
    assert [line for line in told if "0199" in line] == [
        'smsretry_sender_texts{smsretry_sender="…0199",smsretry_why="sender_paused"} 7'
    ]


def test_what_an_alert_hangs_on_is_told_to_the_last_text_and_without_a_word_of_prose() -> None:
    """One line of each case, however many reasons it has."""
    told = lines_of(
        a_line("queue", "due", 1_234_567),
        a_line("waiting", "quiet_hours", 2),
        a_line("scheduled", "late", 3),
        *(a_line("stopped", name, told="A hurricane") for name in ("sending", "LA", "TX")),
        *(a_line("ended", "failed", texts, told=f"Reason {texts}") for texts in (4, 5)),
        a_line("stopped", "environment", told="Refused"),
        a_line("senders", "paused", 7),
        a_line("sender", "…0199", 8, told="account AC1: paused: A hurricane", why_code="sender_paused"),
        a_line("sender", "MG1", 0, told="account AC1: stopped: Refused", why_code="sending_stopped"),
        a_line("sender", "MG2", 1, told="account AC1: texts wait"),
        a_line("hour", "delivered", 6),
        a_line("run", "an id", next_at=NOON - timedelta(minutes=20), told="claimed 1"),
    )
    assert len(told) == len(set(told)) == 39
    assert {
        'smsretry_queue_depth{smsretry_state="due"} 1234567',
        'smsretry_queue_depth{smsretry_state="waiting",smsretry_reason="quiet_hours"} 2',
        'smsretry_scheduled_sends{smsretry_state="late"} 3',
        'smsretry_stopped{smsretry_scope="sending"} 1',
        'smsretry_stopped{smsretry_scope="state"} 2',
        'smsretry_stopped{smsretry_scope="environment"} 1',
        'smsretry_senders{smsretry_state="paused"} 7',
        'smsretry_senders{smsretry_state="sending"} 0',
        'smsretry_sender_texts{smsretry_sender="…0199",smsretry_why="sender_paused"} 8',
        'smsretry_sender_texts{smsretry_sender="MG1",smsretry_why="sending_stopped"} 0',
        'smsretry_sender_texts{smsretry_sender="MG2",smsretry_why="unforeseen"} 1',
        'smsretry_day_ended{smsretry_fate="failed"} 9',
        'smsretry_day_deliveries{smsretry_delivery="delivered"} 6',
        "smsretry_run_age_seconds 1200.0",
    } <= set(told)
    assert not any(word in line for line in told for word in ("hurricane", "Reason", "claimed", "an id"))


def lines_of(*lines: StatusLine) -> list[str]:
    """What Prometheus reads of these, without comments."""
    now = QueueStatus.of([a_line("clock", "", 20, next_at=NOON - timedelta(minutes=10)), *lines])
    return [line for line in exposition(gauges(now)) if not line.startswith("#")]


def a_line(part: Any, name: str, texts: int | None = None, **more: Any) -> StatusLine:
    """One of `sms_status`."""
    given = {"business_id": None, "oldest": NOON, "next_at": None, "told": None, **more}
    return StatusLine(part=part, name=name, texts=texts, **given)
