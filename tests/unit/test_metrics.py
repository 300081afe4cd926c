"""When metrics are on, what they tell, and that what goes wrong with them is a line."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from smsretry.adapters.telemetry.export import endpoint_of, export
from smsretry.desk.pages.gauges import gauges
from smsretry.desk.questions.queue_status import QueueStatus, Stop
from smsretry.desk.questions.senders import SenderRecord
from smsretry.errors import QueueUnreachable
from tests.e2e.documents import documents
from tests.support.builders import ACCOUNT, NOON

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


def test_opentelemetrys_own_variables_switch_metrics_on_and_off() -> None:
    """The address is told without a path or a password: both may hold a key."""
    assert (
        endpoint_of(SOMEWHERE)
        == endpoint_of(SOMEWHERE | {"OTEL_METRICS_EXPORTER": "console, otlp"})
        == "localhost:4318"
    )
    assert (
        endpoint_of(
            SOMEWHERE | {METRICS: "https://user:key@otlp.example.com/a/key/v1/metrics"}
        )
        == "otlp.example.com"
    )
    for off in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"},
        SOMEWHERE | {"OTEL_SDK_DISABLED": "True"},
        SOMEWHERE | {"OTEL_METRICS_EXPORTER": "none"},
    ):
        assert endpoint_of(off) is None


def test_a_queue_state_that_cannot_be_read_is_a_line_and_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The texts of the run have gone out."""

    def status() -> QueueStatus:
        raise QueueUnreachable("The database is away")

    export(SOMEWHERE, status)
    assert "The database is away" in caplog.text


def test_an_empty_queue_is_zeros_and_two_senders_that_look_the_same_are_one_line() -> (
    None
):
    """A 0 is not the same as no answer. What was never measured is not told: 0 seconds would be a time.

    Numbers are shown by their last digits, and a collector refuses all that it is told if one line comes twice.
    """
    points_by_metric = points_of()
    assert {value for points in points_by_metric.values() for _, value in points} == {0}
    assert points_by_metric["smsretry.run.age"] == []
    stops = [
        Stop(what=name, since=NOON, why="A storm", sender=None)
        for name in ("sending", "state")
    ]
    assert points_of(stops=stops)["smsretry.stopped"] == [({}, 1)]
    points_by_metric = points_of(senders=[paused("…0199", texts) for texts in (3, 4)])
    assert points_by_metric["smsretry.sender.texts"] == [
        ({"smsretry.sender": "…0199", "smsretry.why": "sender_paused"}, 7)
    ]


def test_each_alert_that_the_readme_recommends_asks_for_a_metric_and_a_label_that_exist() -> (
    None
):
    """As Prometheus spells them."""
    [rules] = [
        document.text for document in documents() if "- alert: " in document.text
    ]
    labels_by_metric = set[str]()
    for gauge in gauges(QueueStatus(at=NOON, senders=(paused("MG1", 1),))):
        name = gauge.name.replace(".", "_") + "_seconds" * (gauge.unit == "s")
        labels_by_metric |= {
            name,
            *(
                f'{name}{{{by.replace(".", "_")}="{of}"}}'
                for at, _ in gauge.points
                for by, of in at.items()
            ),
        }
    assert (
        set()
        < set(re.findall(r"expr: (?:absent\()?(\w+(?:{.*?})?)", rules))
        <= labels_by_metric
    )


def points_of(**parts: Any) -> dict[str, Sequence[Any]]:
    """The points of each gauge."""
    return {gauge.name: gauge.points for gauge in gauges(QueueStatus(at=NOON, **parts))}


def paused(name: str, texts: int) -> SenderRecord:
    """A sender that a person paused."""
    return SenderRecord(
        sender_id=UUID(int=1),
        account=ACCOUNT,
        sender=name,
        segments_per_second=None,
        segments_per_day=None,
        used_today=None,
        day_ends_at=NOON,
        businesses=0,
        used_by=(),
        why_code="sender_paused",
        why="Suspended",
        since=NOON,
        due=0,
        waiting=0,
        held=texts,
    )
