"""The flow on a real Prefect server: what people see there, and what nobody may see."""

import json
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from prefect.client.schemas.objects import State

from flows.support.results import FOLDER
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, AcceptThenWait, JsonError
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.support.records import Record, columns
from tests.support.waiting import until


def texts(prefect: Prefect, flow_run_id: str, expected: int) -> list[Record]:
    """The task runs of the texts, once the server has them all: it records them a second behind."""

    def ended() -> list[Record]:
        tasks = [
            task
            for task in prefect.task_runs(flow_run_id)
            if task["name"].startswith(("sms ", "texts "))
        ]
        return [
            task
            for task in tasks
            if task["state"]["type"] not in ("PENDING", "RUNNING", "SCHEDULED")
        ]

    until(lambda: len(ended()) >= expected)
    return ended()


def states_by_name(prefect: Prefect, flow_run_id: str, expected: int) -> Counter[str]:
    """State names of the texts' task runs."""
    return Counter(
        task["state"]["name"] for task in texts(prefect, flow_run_id, expected)
    )


def result_of(run: Record) -> Any:
    """As whoever has Prefect, and nothing of ours, gets it of a flow run or a task run that the API told of."""
    return State.model_validate(run["state"]).result(raise_on_failure=False)


def test_runs_show_what_became_of_each_text_their_numbers_and_what_needs_attention(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """A badge says why and its color what to do; a search by row, customer or last digits finds the text. The run's
    name and message count them, and its log and its page have what needs somebody. Across runs the feed of a customer
    tells each text's events. Each text's result and the run's numbers are there as JSON; results that are older than
    the runs go, and nobody else's files. An idle run leaves no page.
    """
    limited = business.due_text(phone="+12125550161")
    rows = {
        ("Sent", "COMPLETED"): [business.due_text(), business.due_text()],
        ("Deferred until Tue 12 Jan 08:00 HST", "PAUSED"): [
            business.due_text(timezone="Pacific/Honolulu")
        ],
        ("In doubt", "CRASHED"): [business.due_text(phone="+12125550162")],
        ("Failed 21211", "FAILED"): [business.due_text(phone="+12125550165")],
        ("Failed", "FAILED"): [business.due_text(phone=None)],
        ("Held", "FAILED"): [held_text(business)],
        ("Opted out", "CANCELLED"): [
            business.due_text(consent="opted_out", phone="+12125550163")
        ],
    }
    stack.twilio.fail(JsonError(14107), to="+12125550161")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    stack.twilio.fail(JsonError(21211), to="+12125550165")
    pages = len(prefect.artifacts("sms-run"))
    storage = Path(prefect.server.environment()["PREFECT_HOME"], "storage", FOLDER)
    old_path, path = storage / "2024-02-29", storage / "mine"
    for folder in (old_path, path):
        folder.mkdir(parents=True)

    run, _ = flow.run(SMSRETRY_OPENING_SPREAD_MINUTES="0")
    # The time that the row has: the stack's clock runs, and a busy machine is slow.
    again_at = business.row(limited)["scheduled_for"].astimezone(
        ZoneInfo("America/New_York")
    )
    badge = f"Retry at {again_at:%a %d %b %H:%M} EST"
    rows[badge, "PAUSED"] = [limited]

    ended = texts(prefect, run["id"], 9)
    assert Counter(columns(task["state"], "name", "type") for task in ended) == {
        badge: len(ids) for badge, ids in rows.items()
    }
    for row in (row for ids in rows.values() for row in ids):
        [record] = business.connection.execute(
            "select id, phone from customers where id = %s",
            [business.row(row)["customer_id"]],
        ).fetchall()
        name = f"sms …{(record['phone'] or '')[-4:]} row {row} customer {record['id']}"
        assert name in {task["name"] for task in ended}
    badges = ("COMPLETED", "FAILED")
    stored = [result_of(task) for task in ended if task["state"]["type"] in badges]
    results = {result["retry_id"]: result for result in stored}
    [sent, _], [refused] = rows["Sent", "COMPLETED"], rows["Failed 21211", "FAILED"]
    names = ("send_log_id", "customer_id", "business_id")
    expected = {name: str(business.row(sent)[name]) for name in names}
    expected |= {"retry_id": str(sent), "fate": "Sent"}
    assert expected.items() <= results[str(sent)].items()
    assert results[str(sent)]["code"] is None
    assert columns(results[str(refused)], "fate", "code") == ("Failed", 21211)
    assert columns(result_of(run)["counts"], "sent", "failed") == (2, 2)
    record = json.loads(Path(run["state"]["data"]["storage_key"]).read_text())
    assert json.loads(record["result"])["counts"]["sent"] == 2
    assert [folder.exists() for folder in (old_path, path)] == [False, True]
    assert run["state"]["type"] == "COMPLETED"
    assert run["state"]["message"].endswith(
        " s: 2 sent, 1 deferred, 1 held, 1 retrying, 1 in doubt, 2 failed, 1 cancelled"
    )
    assert (
        run["name"]
        == "2 sent · 2 failed · 1 held · 1 in doubt · 1 cancelled · 2 waiting"
    )
    assert "texts" in run["tags"]
    needing = [
        badge for (badge, color), ids in rows.items() if color == "FAILED" for _ in ids
    ]
    (page, *_), (queue, *_) = (
        prefect.artifacts("sms-run"),
        prefect.artifacts("sms-queue-now"),
    )
    assert [page["data"].count(f"\n- {badge}, …") for badge in needing] == [1] * len(
        needing
    )
    for words in (
        f"# {run['name']}",
        "Maple Street Dental",
        "…0165",
        "https://www.twilio.com/docs/api/",
    ):
        assert words in page["data"]
    waits = "2 waiting · 1 held · 1 in doubt · as of "
    assert queue["description"].startswith(waits)

    stack.move_clock(timedelta(minutes=2))
    second, _ = flow.run(SMSRETRY_OPENING_SPREAD_MINUTES="0")
    [bookmarked] = prefect.artifacts("sms-queue-now")
    assert bookmarked["id"] == queue["id"]
    assert bookmarked["flow_run_id"] is None  # or it would be deleted with that run
    assert bookmarked["data"] != queue["data"]
    records = wait_for_events(
        prefect, f"sms.customer.{business.row(limited)['customer_id']}", 2
    )
    assert [event["event"] for event in records] == [
        "sms.text.retry-scheduled",
        "sms.text.sent",
    ]
    assert {event["resource"]["prefect.resource.id"] for event in records} == {
        f"sms.text.{limited}"
    }
    flow_runs = [f"prefect.flow-run.{one['id']}" for one in (run, second)]
    assert [related_to(event, "flow-run") for event in records] == flow_runs
    assert (
        related_to(records[0], "send-log")
        == f"sms.send-log.{business.row(limited)['send_log_id']}"
    )
    assert records[0]["payload"].items() >= {
        "outcome": badge, "why": "Twilio 14107: SMS send rate limit exceeded", "why_code": "rate_limited",
        "code": 14107, "sender": "…0006", "number": "…0161",
    }.items()  # fmt: skip
    of_business = {f"sms.text.{row}" for ids in rows.values() for row in ids}
    feed = f"sms.business.{business.id}"
    until(
        lambda: (
            {event["resource"]["prefect.resource.id"] for event in prefect.events(feed)}
            == of_business
        )
    )
    letters = [
        event
        for event in prefect.events("sms.queue")
        if event["event"] == "sms.queue.dead-letters"
    ]
    [letter] = [
        event["payload"]
        for event in letters
        if related_to(event, "flow-run") == flow_runs[0]
    ]
    assert letter["texts"] == 2

    idle, _ = flow.run()
    assert (idle["name"], "texts" in idle["tags"]) == ("idle", False)
    assert len(prefect.artifacts("sms-run")) == pages + 2


def held_text(business: Business) -> UUID:
    """A text to Louisiana, to which an operator lets none go."""
    business.connection.execute("select set_sms_stop('state', 'LA', 'A hurricane')")
    return business.due_text(phone="+15045550164", timezone="America/Chicago")


@pytest.mark.long
def test_when_very_many_are_due_one_task_run_has_many_texts_and_each_text_still_its_event(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Its badge has the numbers, its color is that of the text that needs somebody; the page names that text."""
    rows = [business.due_text(phone=f"+1212555{1000 + n}") for n in range(40)]
    stack.twilio.fail(JsonError(21211), to="+12125551003")
    run, _ = flow.run(SMSRETRY_TASK_RUNS="30")
    assert run["name"] == "39 sent · 1 failed"
    slices = {
        task["name"]: task["state"]["name"] for task in texts(prefect, run["id"], 2)
    }
    assert sorted(slices) == ["texts 1 to 25", "texts 26 to 40"]
    assert Counter(slices.values()) in (
        Counter({"24 sent · 1 failed": 1, "15 sent": 1}),
        Counter({"25 sent": 1, "14 sent · 1 failed": 1}),
    )
    for row in rows:
        (text_event,) = wait_for_events(prefect, f"sms.text.{row}", 1)
        wanted = "sms.text.failed" if row == rows[3] else "sms.text.sent"
        assert (text_event["event"], related_to(text_event, "flow-run")) == (
            wanted,
            f"prefect.flow-run.{run['id']}",
        )
        assert related_to(text_event, "task-run")
    assert "Failed 21211, …1003" in prefect.artifacts("sms-run")[0]["data"]


def related_to(event: Record, role: str) -> str:
    """The related resource of this role; none if it has none."""
    found = (
        str(one["prefect.resource.id"])
        for one in event["related"]
        if one["prefect.resource.role"] == role
    )
    return next(found, "")


def wait_for_events(prefect: Prefect, resource: str, count: int) -> list[Record]:
    """Until the feed has so many: the server writes them a second behind."""
    until(lambda: len(prefect.events(resource)) >= count)
    return prefect.events(resource)


def test_a_run_that_is_asked_to_stop_ends_what_it_began_and_gives_back_the_rest(
    stack: Stack,
    business: Business,
    flow: FlowProcess,
    prefect: Prefect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deploy in the middle of a run: sends under way get their answers, no text waits for its lease to run out."""
    monkeypatch.setenv("SMSRETRY_CONCURRENCY", "3")
    rows = [business.due_text() for _ in range(12)]
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=2)), times=None)
    process = flow.start()
    until(stack.twilio.ledger.entries)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) == 0

    statuses = Counter(business.row(row)["status"] for row in rows)
    assert set(statuses) == {"completed", "pending"}
    assert statuses["completed"] == len(stack.twilio.ledger.entries()) < 12
    assert not any(business.row(row)["in_doubt_since"] for row in rows)
    message = prefect.last_run()["state"]["message"]
    assert message.startswith(
        "Stopped sending: This run was asked to stop (SIGTERM). Took 12 texts in "
    )
    assert f"{statuses['pending']} given back" in message


@pytest.mark.long
def test_a_run_that_cannot_begin_fails_and_says_what_to_do(
    stack: Stack, flow: FlowProcess, prefect: Prefect
) -> None:
    """Nothing is claimed, nothing is sent. Its name begins with the reason, and its log has no traceback."""
    for variables, reason in (
        (
            {"SUPABASE_URL": "http://127.0.0.1:9"},
            "Supabase did not answer start_sms_run (ConnectError)",
        ),
        (
            {"SUPABASE_URL": "", "TWILIO_ACCOUNT_SID": "x"},
            "Settings are not complete:\n  SUPABASE_URL: is not set",
        ),
    ):
        run, _ = flow.run(**variables)
        assert (run["state"]["type"], run["state"]["message"].startswith(reason)) == (
            "FAILED",
            True,
        )
        assert run["name"].startswith(f"failed: {' '.join(reason.split())}")
        assert "Traceback" not in str(prefect.logs(run["id"]))
