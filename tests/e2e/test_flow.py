"""The flow on a real Prefect server: what people see there, and what nobody may see."""

import signal
import time
from collections import Counter
from datetime import timedelta

import psycopg
from psycopg import sql

from smsretry.local.prefect_server import DATABASE
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, AcceptThenWait, JsonError
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect


def states_by_name(prefect: Prefect, flow_run_id: str, expected: int) -> Counter[str]:
    """State names of the process tasks, once the server has them all: it records them a second behind."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        tasks = [task for task in prefect.task_runs(flow_run_id) if task["name"].startswith("sms-")]
        done = [task for task in tasks if task["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED")]
        if len(done) >= expected:
            break
        time.sleep(0.2)
    return Counter(task["state"]["name"] for task in done)


def test_a_run_shows_what_became_of_each_text_and_its_numbers(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Task runs are named by row and end in a state named by the outcome; the flow run's message counts them."""
    rows = {
        "Sent": [business.due_text(), business.due_text()],
        "Deferred": [business.due_text(timezone="Pacific/Honolulu")],
        "RetryScheduled": [business.due_text(phone="+12125550161")],
        "InDoubt": [business.due_text(phone="+12125550162")],
        "Failed": [business.due_text(phone="+15005550001"), business.due_text(phone=None)],
        "Cancelled": [business.due_text(consent="opted_out", phone="+12125550163")],
    }
    stack.twilio.fail(JsonError(14107, http_status=400), to="+12125550161")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")

    run, _ = flow.run()

    expected = {name: len(ids) for name, ids in rows.items()}
    assert states_by_name(prefect, run["id"], sum(expected.values())) == expected
    names = {task["name"] for task in prefect.task_runs(run["id"])}
    assert {f"sms-{row}" for ids in rows.values() for row in ids} <= names
    assert run["state"]["type"] == "COMPLETED"
    assert run["state"]["message"].startswith(
        "recovered 0, claimed 8: sent 2, deferred 1, retrying 1, in doubt 1, failed 2, cancelled 1 in "
    )


def test_an_empty_queue_is_a_completed_run(stack: Stack, flow: FlowProcess) -> None:
    """Most minutes have nothing to do."""
    run, _ = flow.run()
    assert run["state"]["type"] == "COMPLETED"
    assert run["state"]["message"].startswith("recovered 0, claimed 0 in ")


def test_what_a_dead_worker_left_is_recovered_first(stack: Stack, business: Business, flow: FlowProcess) -> None:
    """And sent by the same run."""
    row = business.due_text()
    with stack.connect() as connection:
        connection.execute("select * from claim_due_sms_retries(10, begins => true)")
    stack.move_clock(timedelta(minutes=11))
    run, _ = flow.run()
    assert run["state"]["message"].startswith("recovered 1, claimed 1: sent 1 in ")
    assert business.row(row)["status"] == "completed"


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
    assert states_by_name(prefect, run["id"], 4) == {"Sent": 3, "Failed": 1}
    assert all(business.row(row)["status"] == "completed" for row in good)
    assert business.row(bad)["begun_at"] is not None


def test_a_run_that_cannot_reach_the_queue_fails_and_says_what_to_do(stack: Stack, flow: FlowProcess) -> None:
    """Nothing is claimed, nothing is sent."""
    run, _ = flow.run(SUPABASE_URL="http://127.0.0.1:9")
    assert run["state"]["type"] == "FAILED"
    assert "Supabase did not answer start_sms_run (ConnectError)" in run["state"]["message"]
    assert "Check SUPABASE_URL (http://127.0.0.1:9)" in run["state"]["message"]


def test_a_run_without_settings_fails_and_names_them(stack: Stack, flow: FlowProcess) -> None:
    """By the name of the variable."""
    run, _ = flow.run(SUPABASE_URL="", TWILIO_ACCOUNT_SID="nonsense")
    assert run["state"]["type"] == "FAILED"
    assert "SUPABASE_URL is not set" in run["state"]["message"]
    assert "TWILIO_ACCOUNT_SID: " in run["state"]["message"]


def test_a_run_that_is_asked_to_stop_ends_what_it_began_and_gives_back_the_rest(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """A deploy in the middle of a run: sends under way get their answers, no text waits for its lease to run out."""
    rows = [business.due_text() for _ in range(40)]
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=2)), times=None)
    process = flow.start()
    deadline = time.monotonic() + 60
    while not stack.twilio.ledger.entries():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0

    statuses = Counter(business.row(row)["status"] for row in rows)
    assert set(statuses) == {"completed", "pending"}
    assert statuses["completed"] == len(stack.twilio.ledger.entries()) < 40
    assert not any(business.row(row)["in_doubt_since"] for row in rows)
    message = prefect.last_run()["state"]["message"]
    assert message.startswith("Stopped sending: This run was asked to stop (SIGTERM). recovered 0, claimed 40: sent ")
    assert f"given back {statuses['pending']}" in message


def test_a_refused_account_is_a_red_run_that_says_what_to_mend(
    stack: Stack, business: Business, flow: FlowProcess
) -> None:
    """And the texts are as they were."""
    rows = [business.due_text() for _ in range(30)]
    run, _ = flow.run(TWILIO_AUTH_TOKEN="wrong")
    assert run["state"]["type"] == "FAILED"
    assert run["state"]["message"].startswith(
        "Stopped sending: The account is refused, not the text: Twilio 20003: Permission Denied. "
        "Run `smsretry doctor`. recovered 0, claimed 30: retrying "
    )
    assert all(business.row(row)["attempt_count"] == 0 for row in rows)
    run, _ = flow.run()
    assert run["state"]["type"] == "COMPLETED"  # one goes first; those that come before its answer are given back
    assert " sent " in run["state"]["message"]


def test_no_phone_number_and_no_body_reaches_prefect(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect
) -> None:
    """Every column of every table of Prefect's database is searched, and all that was printed."""
    secret_body, secret_phone = "The walrus is at the dentist", "+12125550188"
    for fault in (None, JsonError(21211, http_status=400), JsonError(20500, http_status=500), AcceptThenDrop()):
        row = business.due_text(body=secret_body, phone=secret_phone)
        if fault:
            stack.twilio.fail(fault, to=secret_phone)
    business.due_text(body=secret_body, phone="2125550188")
    jammed = business.due_text(body=secret_body, phone=secret_phone)
    business.connection.execute(
        sql.SQL("alter table sms_retry_queue add constraint jam check (id <> {} or status <> 'completed')").format(
            jammed
        )
    )
    try:
        run, printed = flow.run(PREFECT_LOGGING_LEVEL="DEBUG")
    finally:
        business.connection.execute("alter table sms_retry_queue drop constraint jam")
    assert run["state"]["message"].startswith("recovered 0, claimed 6")
    states_by_name(prefect, run["id"], 6)
    server_log = prefect.server.log.read_text()
    key = stack.environment()["SUPABASE_SERVICE_ROLE_KEY"]
    with psycopg.connect(stack.postgres.url(DATABASE), autocommit=True) as connection:
        for private in (secret_body, "2125550188", key, stack.environment()["TWILIO_AUTH_TOKEN"]):
            assert private not in printed
            assert private not in server_log
            assert tables_holding(connection, private) == []
        assert tables_holding(connection, str(row)) != [], "the search finds what is there"


def tables_holding(connection: psycopg.Connection, text: str) -> list[str]:
    """Tables of which some row holds the text, in any column."""
    tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    return [
        table
        for (table,) in tables
        if connection.execute(
            sql.SQL("select 1 from {} as t where position(%s in t::text) > 0 limit 1").format(sql.Identifier(table)),
            [text],
        ).fetchone()
    ]
