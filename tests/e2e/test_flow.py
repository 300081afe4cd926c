"""The flow on a real Prefect server: what people see there, and what nobody may see."""

import signal
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from psycopg import sql

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, AcceptThenWait, JsonError
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.support.waiting import until


def texts(prefect: Prefect, flow_run_id: str, expected: int) -> list[dict[str, Any]]:
    """The task runs of the texts, once the server has them all: it records them a second behind."""

    def ended() -> list[dict[str, Any]]:
        tasks = [task for task in prefect.task_runs(flow_run_id) if task["name"].startswith(("sms ", "texts "))]
        return [task for task in tasks if task["state"]["type"] not in ("PENDING", "RUNNING", "SCHEDULED")]

    until(lambda: len(ended()) >= expected)
    return ended()


def states_by_name(prefect: Prefect, flow_run_id: str, expected: int) -> Counter[str]:
    """State names of the texts' task runs."""
    return Counter(task["state"]["name"] for task in texts(prefect, flow_run_id, expected))


def test_a_run_shows_what_became_of_each_text_and_its_numbers(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """A badge says why and its color what to do; a search by row, customer or last digits finds the text; the run's
    name and message count them. Its log has a line for each that needs somebody, and Prefect's own for none.
    """
    limited = business.due_text(phone="+12125550161")
    rows = {
        ("Sent", "COMPLETED"): [business.due_text(), business.due_text()],
        ("Deferred until 08:00 HST", "PAUSED"): [business.due_text(timezone="Pacific/Honolulu")],
        ("In doubt", "CRASHED"): [business.due_text(phone="+12125550162")],
        ("Failed 21211", "FAILED"): [business.due_text(phone="+12125550165")],
        ("Failed", "FAILED"): [business.due_text(phone=None)],
        ("Held", "FAILED"): [held_text(business)],
        ("Opted out", "CANCELLED"): [business.due_text(consent="opted_out", phone="+12125550163")],
    }
    stack.twilio.fail(JsonError(14107, http_status=400), to="+12125550161")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    stack.twilio.fail(JsonError(21211, http_status=400), to="+12125550165")

    run, _ = flow.run(SMSRETRY_OPENING_SPREAD_MINUTES="0")
    rows[retry_at(business, limited), "PAUSED"] = [limited]

    ended = texts(prefect, run["id"], 9)
    assert Counter((task["state"]["name"], task["state"]["type"]) for task in ended) == {
        badge: len(ids) for badge, ids in rows.items()
    }
    names = {task["name"] for task in ended}
    assert names == {
        f"sms {digits_of(business, row)} row {row} customer {business.row(row)['customer_id']}"
        for ids in rows.values()
        for row in ids
    }
    assert run["state"]["type"] == "COMPLETED"
    assert run["state"]["message"].startswith(
        "recovered 0, claimed 9: sent 2, deferred 1, held 1, retrying 1, in doubt 1, failed 2, cancelled 1 in "
    )
    assert run["name"] == "sent 2 · failed 2 · held 1 · in doubt 1 · cancelled 1 · waiting 2"
    assert "texts" in run["tags"]
    errors = [line["message"] for line in prefect.logs(run["id"]) if line["level"] >= 40]
    needing = {
        row for badge in (("Failed 21211", "FAILED"), ("Failed", "FAILED"), ("Held", "FAILED")) for row in rows[badge]
    }
    assert {line.partition(":")[0] for line in errors} == {f"Row {row}" for row in needing}


def retry_at(business: Business, row: UUID) -> str:
    """What the badge says. It is the time that the row has: the stack's clock runs, and a busy machine is slow."""
    return f"Retry at {business.row(row)['scheduled_for'].astimezone(ZoneInfo('America/New_York')):%H:%M} EST"


def held_text(business: Business) -> UUID:
    """A text to Louisiana, to which an operator lets none go."""
    business.connection.execute("select set_sms_state_stop('LA', 'A hurricane')")
    return business.due_text(phone="+15045550164", timezone="America/Chicago")


def digits_of(business: Business, row: UUID) -> str:
    """What may be shown of the row's number."""
    found = business.connection.execute(
        "select phone from customers where id = %s", [business.row(row)["customer_id"]]
    ).fetchone()
    assert found is not None
    return f"…{found['phone'][-4:] if found['phone'] else ''}"


def test_each_text_has_one_event_that_its_customers_feed_tells(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Across runs: here it is refused for a moment, and then sent. The feed of the business has the same."""
    row = business.due_text(phone="+12125550161")
    other = business.due_text(phone="+15005550001")
    stack.twilio.fail(JsonError(14107, http_status=400), to="+12125550161")
    first, _ = flow.run()
    badge = retry_at(business, row)
    stack.move_clock(timedelta(minutes=2))
    second, _ = flow.run()

    customer = business.row(row)["customer_id"]
    told = wait_for_events(prefect, f"sms.customer.{customer}", 2)
    assert [event["event"] for event in told] == ["sms.text.retry-scheduled", "sms.text.sent"]
    assert {event["resource"]["prefect.resource.id"] for event in told} == {f"sms.text.{row}"}
    runs = [related_to(event, "flow-run") for event in told]
    assert runs == [f"prefect.flow-run.{first['id']}", f"prefect.flow-run.{second['id']}"]
    assert related_to(told[0], "send-log") == f"sms.send-log.{business.row(row)['send_log_id']}"
    assert told[0]["payload"] | {"next_at": None} == {
        "outcome": badge, "why": "Twilio 14107: SMS send rate limit exceeded", "why_code": "rate_limited",
        "code": 14107, "sender": "…0006", "next_at": None, "attempts_before": 0, "max_attempts": 3, "number": "…0161",
    }  # fmt: skip
    of_business = wait_for_events(prefect, f"sms.business.{business.id}", 3)
    assert {event["resource"]["prefect.resource.id"] for event in of_business} == {
        f"sms.text.{row}",
        f"sms.text.{other}",
    }
    queue = [event for event in prefect.events("sms.queue") if event["event"] == "sms.queue.dead-letters"]
    assert [event["payload"] for event in queue if related_to(event, "flow-run") == runs[0]] == [
        {"texts": 1, "codes": "", "customers": str(business.row(other)["customer_id"])}
    ]


def test_when_very_many_are_due_one_task_run_has_many_texts_and_each_text_still_its_event(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Its badge has the numbers, its color is that of the text that needs somebody; the page names that text."""
    rows = [business.due_text(phone=f"+1212555{1000 + n}") for n in range(40)]
    stack.twilio.fail(JsonError(21211, http_status=400), to="+12125551003")
    run, _ = flow.run(SMSRETRY_TASK_RUNS="30")
    assert run["name"] == "sent 39 · failed 1"
    slices = {task["name"]: task["state"]["name"] for task in texts(prefect, run["id"], 2)}
    assert sorted(slices) == ["texts 1 to 25", "texts 26 to 40"]
    assert Counter(slices.values()) in (
        Counter({"sent 24 · failed 1": 1, "sent 15": 1}),
        Counter({"sent 25": 1, "sent 14 · failed 1": 1}),
    )
    for row in rows:
        (told,) = wait_for_events(prefect, f"sms.text.{row}", 1)
        wanted = "sms.text.failed" if row == rows[3] else "sms.text.sent"
        assert (told["event"], related_to(told, "flow-run")) == (wanted, f"prefect.flow-run.{run['id']}")
        assert related_to(told, "task-run")
    assert str(rows[3]) in prefect.artifacts("sms-run")[0]["data"]
    assert [(one["type"], one["data"]) for one in prefect.artifacts("sms-progress")] == [("progress", 100.0)]


def related_to(event: dict[str, Any], role: str) -> str:
    """The related resource of this role; none if it has none."""
    found = (str(one["prefect.resource.id"]) for one in event["related"] if one["prefect.resource.role"] == role)
    return next(found, "")


def wait_for_events(prefect: Prefect, resource: str, count: int) -> list[dict[str, Any]]:
    """Until the feed has so many: the server writes them a second behind."""
    until(lambda: len(prefect.events(resource)) >= count)
    return prefect.events(resource)


@pytest.mark.long
def test_what_the_whole_queue_came_to_is_announced_once(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Sending stops, stays stopped, works again; what is overdue and what is held is told as well."""
    for _ in range(15):
        business.due_text(due=timedelta(minutes=-25))
    held_text(business)
    # Fewer at once than are due: some are still overdue after the run.
    wrong = {"TWILIO_AUTH_TOKEN": "wrong", "SMSRETRY_CONCURRENCY": "10"}
    runs = [flow.run(**wrong)[0], flow.run(**wrong)[0]]
    stack.move_clock(timedelta(minutes=5))
    runs.append(flow.run()[0])
    ids = {f"prefect.flow-run.{run['id']}": number for number, run in enumerate(runs)}

    def told() -> list[tuple[int, str]]:
        found = [(ids.get(related_to(event, "flow-run")), event["event"]) for event in prefect.events("sms.queue")]
        return sorted((number, name.removeprefix("sms.queue.")) for number, name in found if number is not None)

    until(lambda: (2, "circuit-closed") in told())
    of_the_first = [name for number, name in told() if number == 0 and name != "run-failed"]
    assert of_the_first == ["backlog", "circuit-opened", "held"]
    assert "circuit-opened" not in [name for number, name in told() if number == 1]
    assert runs[0]["name"].startswith("stopped: The account is refused, not the text: Twilio 20003")


def test_a_run_leaves_one_page_with_what_needs_a_person_and_an_idle_one_leaves_none(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """The page's history is kept; the standing one is replaced, and only when something has changed."""
    pages = len(prefect.artifacts("sms-run"))
    failed, held = business.due_text(phone="+12125550165"), held_text(business)
    stack.twilio.fail(JsonError(21211, http_status=400), to="+12125550165")
    business.due_text()
    flow.run()
    (page, *_), (queue,) = prefect.artifacts("sms-run"), prefect.artifacts("sms-queue-now")
    for row in (failed, held):
        assert f"/events?resource=sms.text.{row})" in page["data"]
    for told in ("# sent 1 · failed 1 · held 1", "Maple Street Dental", "…0165", "https://www.twilio.com/docs/api/"):
        assert told in page["data"]
    assert "- all: 3 before, 1 now" in page["data"]
    assert queue["description"] == "held 1, need somebody 1"

    idle, _ = flow.run()
    assert (idle["name"], "texts" in idle["tags"]) == ("idle", False)
    assert len(prefect.artifacts("sms-run")) == pages + 1
    assert [one["id"] for one in prefect.artifacts("sms-queue-now")] == [queue["id"]]
    business.due_text(due=timedelta(hours=1))
    flow.run()
    (queue,) = prefect.artifacts("sms-queue-now")
    assert queue["description"] == "waiting 1 · held 1, need somebody 1"


def test_a_row_whose_processing_goes_wrong_fails_the_run_and_stops_no_other(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Here the database refuses to write one row's result; the run is red and says so."""
    bad, good = business.due_text(), [business.due_text() for _ in range(3)]
    business.connection.execute(
        sql.SQL("alter table sms_retry_queue add constraint jam check (id <> {} or status <> 'completed')").format(bad)
    )
    try:
        run, _ = flow.run()
    finally:
        business.connection.execute("alter table sms_retry_queue drop constraint jam")
    assert run["state"]["type"] == "FAILED"
    assert run["state"]["name"] == "Failed"
    assert run["state"]["message"].startswith("recovered 0, claimed 4: sent 3, errors 1 in ")
    assert states_by_name(prefect, run["id"], 4) == {"Sent": 3, "Error": 1}
    assert all(business.row(row)["status"] == "completed" for row in good)
    assert business.row(bad)["begun_at"] is not None


def test_a_run_that_is_asked_to_stop_ends_what_it_began_and_gives_back_the_rest(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy in the middle of a run: sends under way get their answers, no text waits for its lease to run out."""
    monkeypatch.setenv("SMSRETRY_CONCURRENCY", "10")
    rows = [business.due_text() for _ in range(40)]
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=2)), times=None)
    process = flow.start()
    until(stack.twilio.ledger.entries)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) == 0

    statuses = Counter(business.row(row)["status"] for row in rows)
    assert set(statuses) == {"completed", "pending"}
    assert statuses["completed"] == len(stack.twilio.ledger.entries()) < 40
    assert not any(business.row(row)["in_doubt_since"] for row in rows)
    message = prefect.last_run()["state"]["message"]
    assert message.startswith("Stopped sending: This run was asked to stop (SIGTERM). recovered 0, claimed 40: sent ")
    assert f"given back {statuses['pending']}" in message


def test_a_run_that_cannot_begin_fails_and_says_what_to_do(stack: Stack, flow: FlowProcess, prefect: Prefect) -> None:
    """Nothing is claimed, nothing is sent. Its name begins with the reason, and its log has no traceback."""
    for variables, why in (
        ({"SUPABASE_URL": "http://127.0.0.1:9"}, "Supabase did not answer start_sms_run (ConnectError)"),
        ({"SUPABASE_URL": "", "TWILIO_ACCOUNT_SID": "x"}, "Settings are not complete:\n  SUPABASE_URL is not set"),
    ):
        run, _ = flow.run(**variables)
        assert (run["state"]["type"], run["state"]["message"].startswith(why)) == ("FAILED", True)
        assert run["name"].startswith(f"failed: {' '.join(why.split())}")
        assert "Traceback" not in str(prefect.logs(run["id"]))
