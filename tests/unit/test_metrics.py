"""When metrics are on, what they tell, and that measuring harms nothing."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.metrics import NoOpMeter

from smsretry.adapters.telemetry.instruments import Instruments
from smsretry.adapters.telemetry.measured import MeasuredQueue, MeasuredSender
from smsretry.adapters.telemetry.switch import wanted
from smsretry.desk.gauges import exposition, gauges
from smsretry.desk.records import StatusLine
from smsretry.desk.standing import Standing
from smsretry.retry.models import Text
from smsretry.retry.outcome import Outcome
from tests.builders import BODY, NOON, PHONE, claim_with, results_of, run_over
from tests.unit.fakes import FakeQueue, FakeSender

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        (SOMEWHERE, "localhost:4318"),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://user:key@otlp.example.com/a/key/v1/metrics"},
            "otlp.example.com",
        ),
        (SOMEWHERE | {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://other:1"}, "other:1"),
        (SOMEWHERE | {"OTEL_SDK_DISABLED": "True"}, None),
        (SOMEWHERE | {"OTEL_METRICS_EXPORTER": "none"}, None),
        (SOMEWHERE | {"OTEL_METRICS_EXPORTER": "console, otlp"}, "localhost:4318"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"}, None),
    ],
)
def test_opentelemetrys_own_variables_switch_metrics_on_and_off(
    environment: Mapping[str, str], where: str | None
) -> None:
    """The address is told without a path or a password: both may hold a key."""
    assert wanted(environment) == where


def test_what_goes_wrong_with_a_measurement_is_nothing_of_a_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every instrument raises, and every text is sent."""
    instruments = Instruments(NoOpMeter("broken"), by_business=False)

    class Broken:
        def __getattr__(self, _: str) -> Any:
            raise RuntimeError("A bug of an instrument")

    for name in ("_texts", "_recovered", "_runs", "_lateness", "_duration", "_meter"):
        monkeypatch.setattr(instruments, name, Broken())
    queue = FakeQueue(claims=[claim_with(id=UUID(int=n)) for n in range(5)])
    run = run_over(MeasuredQueue(queue, instruments), MeasuredSender(FakeSender(), instruments))
    assert {result.fate for result in results_of(run)} == {"Sent"}


class _Kept(Instruments):
    """Keeps the answers that it is to measure."""

    def __init__(self) -> None:
        super().__init__(NoOpMeter("kept"), by_business=False)
        self.answers: list[Outcome | None] = []

    def answered(self, outcome: Outcome | None, seconds: float) -> None:
        self.answers.append(outcome)


class _Failing(FakeSender):
    """Has a bug."""

    def send(self, text: Text) -> Outcome:
        raise RuntimeError("A bug of the sender")


def test_a_sender_that_fails_is_measured_and_its_error_goes_on() -> None:
    """The story makes a doubt of it."""
    kept = _Kept()
    text = Text(attempt_id=UUID(int=1), to=PHONE, body=BODY, valid_for=timedelta(hours=1))
    with pytest.raises(RuntimeError, match="A bug of the sender"):
        MeasuredSender(_Failing(), kept).send(text)
    assert kept.answers == [None]


def test_an_empty_queue_is_told_as_zeros() -> None:
    """A 0 is not the same as no answer."""
    told = list(exposition(gauges(Standing.of([line("clock", "")]))))
    values = [one.rpartition(" ")[2] for one in told if not one.startswith("#")]
    assert len(values) == 19
    assert not any("delivery_time" in one for one in told), "0 seconds would be a time"
    assert {float(value) for value in values} == {0}


def test_large_numbers_are_told_to_the_last_text() -> None:
    """And each kind once."""
    now = Standing.of([line("clock", ""), line("queue", "due", 1_234_567), line("waiting", "quiet_hours", 2)])
    told = list(exposition(gauges(now)))
    assert 'smsretry_queue_depth{smsretry_state="due"} 1234567' in told
    assert 'smsretry_queue_depth{smsretry_state="waiting",smsretry_reason="quiet_hours"} 2' in told
    assert len(told) == len(set(told))


def line(part: Any, name: str, texts: int | None = None) -> StatusLine:
    """One of `sms_status`."""
    return StatusLine(part=part, name=name, business_id=None, texts=texts, oldest=NOON, next_at=None, told=None)
