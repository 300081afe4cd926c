"""What nobody may see in Prefect: phone numbers, bodies, customers' names, secrets."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from smsretry.local.demo.run import ROOT
from smsretry.local.demo.seeding import name_customers
from smsretry.local.prefect_server import DATABASE
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError, SendFault
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.e2e.test_flow import states_by_name
from tests.support.records import columns

BODY, NAME, PHONE, DOUBTFUL = (
    "The marzipan is at the dentist",
    "Zephyrine Quill",
    "+12125550188",
    "+16175550188",
)
PRIVATE = (BODY, "marzipan", NAME, "Zephyrine", "5550188", "555-0188", "555 0188")
SPOKEN = f"{NAME} rang from 212-555-0188"
"""What somebody writes where free text goes."""


@pytest.fixture
def nowhere(stack: Stack, prefect: Prefect) -> Iterator[Callable[..., None]]:
    """Fails if something private is in any column of any of Prefect's tables, in a stored result, in its server's log,
    or in what else is given; and if the search does not find what is there.
    """
    with psycopg.connect(stack.postgres.url(DATABASE), autocommit=True) as connection:

        def search(*printed: str, known: object) -> None:
            secrets = [
                stack.environment()[name]
                for name in ("SUPABASE_SERVICE_ROLE_KEY", "TWILIO_AUTH_TOKEN")
            ]
            storage = Path(prefect.server.environment()["PREFECT_HOME"], "storage")
            results = [
                path.read_text() for path in storage.rglob("*") if path.is_file()
            ]
            texts = "\n".join([*printed, *results, prefect.server.log.read_text()])
            assert [
                private for private in (*PRIVATE, *secrets) if private in texts
            ] == []
            assert {
                text: tables
                for text in (*PRIVATE, *secrets)
                if (tables := holding(connection, text))
            } == {}
            assert [one for one in results if str(known) in one]
            assert {"artifact", "events", "log"} & {*holding(connection, str(known))}

        yield search


def holding(connection: psycopg.Connection, text: str) -> list[str]:
    """Tables of which some row holds the text, in any column."""
    tables = connection.execute(
        "select tablename from pg_tables where schemaname = 'public'"
    ).fetchall()
    return [
        table
        for (table,) in tables
        if connection.execute(
            sql.SQL(
                "select 1 from {} as t where position(%s in t::text) > 0 limit 1"
            ).format(sql.Identifier(table)),
            [text],
        ).fetchone()
    ]


def test_a_run_tells_nothing_private_also_where_a_rows_processing_goes_wrong(
    stack: Stack,
    business: Business,
    flow: FlowProcess,
    prefect: Prefect,
    nowhere: Callable[..., None],
) -> None:
    """Whatever a text comes to. Here the database refuses to write one row's result: the run is red and says so, and
    stops no other.
    """
    for fault in (
        None,
        JsonError(21211),
        JsonError(20500, http_status=500),
        AcceptThenDrop(),
    ):
        row = business.due_text(body=BODY, phone=PHONE)
        if fault:
            stack.twilio.fail(fault, to=PHONE)
    business.due_text(body=BODY, phone="2125550188")
    jammed = business.due_text(body=BODY, phone=DOUBTFUL)
    jam = "alter table sms_retry_queue add constraint jam check (id <> {} or status <> 'completed')"
    business.connection.execute(sql.SQL(jam).format(jammed))
    try:
        run, printed = flow.run(PREFECT_LOGGING_LEVEL="DEBUG")
    finally:
        business.connection.execute("alter table sms_retry_queue drop constraint jam")
    assert columns(run["state"], "type", "name") == ("FAILED", "Failed")
    assert run["state"]["message"].endswith(
        " s: 1 sent, 1 held, 2 in doubt, 1 failed, 1 errored"
    )
    assert states_by_name(prefect, run["id"], 6)["Error"] == 1
    assert business.row(jammed)["begun_at"] is not None
    nowhere(printed, known=row)


_ASK = """
import json, sys
from flows import desk
from flows.process_sms_retries import process_sms_retries
from tests.e2e.forked import send_no_heartbeats
send_no_heartbeats()
for form, ask in json.load(sys.stdin):
    flow = process_sms_retries if form == "process-sms-retries" else getattr(desk, form.replace("-", "_"))
    state = flow(**({"ask": ask} if ask else {}), return_state=True)
    print(state.name, ":", state.message)
"""
"""The forms' flows as a runner starts them, but all in one process: to start it takes longer than to answer."""


@pytest.mark.long
def test_prefect_gets_nothing_private_whatever_the_desk_is_asked(
    stack: Stack, business: Business, flow: FlowProcess, nowhere: Callable[..., None]
) -> None:
    """Explained, predicted, requeued, cancelled, resolved, sent, refused: texts in each state. Where the application or
    a person may write freely, it is written who rang.
    """
    codes = iter((212, 617, 215, 404, 305, 704))

    def text(fault: SendFault | None = None, **options: Any) -> UUID:
        phone = f"+1{next(codes)}5550188"
        if fault:
            stack.twilio.fail(fault, to=phone)
        return business.due_text(body=BODY, **{"phone": phone} | options)

    connection = business.connection
    name_customers(connection)
    refused, doubtful = text(JsonError(21211)), text(AcceptThenDrop())
    text(timezone=SPOKEN)
    text(phone="(212) 555-0188")
    text(consent="opted_out")
    flow.run()
    waiting = text(attempts=1, due=timedelta(hours=3))
    error = f"Permission to send an SMS to (212) 555-0188 is missing, and {PHONE} is not valid"
    connection.execute(
        "update sms_retry_queue set last_error = %s where id = %s", [error, waiting]
    )
    written = [NAME, SPOKEN, SPOKEN]
    connection.execute(
        "update customers set name = %s, sms_consent_source = %s, phone_status = %s",
        written,
    )
    connection.execute("update send_logs set error_message = %s", [SPOKEN])

    sid = next(
        entry.sid for entry in stack.twilio.ledger.entries() if entry.to == DOUBTFUL
    )
    of_business = {"business_id": str(business.id)}
    signature = {"who": "Ann", "because": "The number was mended"}
    orders = [
        ("sms-explain", {"id": str(refused)}),
        ("sms-explain", {"id": str(doubtful)}),
        ("sms-status", None),
        ("sms-preview", {"hours": 24}),
        (
            "sms-texts",
            {"requeue": {**of_business, "dry_run": False}},
        ),  # it lacks who, and is refused
        (
            "sms-texts",
            {"resolve": {"retry_id": str(doubtful), **signature, "went_out_as": sid}},
        ),
        (
            "sms-texts",
            {"cancel": {"retry_ids": [str(waiting)], **signature, "dry_run": False}},
        ),
        ("sms-texts", {"requeue": {**of_business, **signature, "dry_run": False}}),
        ("sms-doctor", None),
        ("process-sms-retries", None),
        ("sms-explain", {"id": str(waiting)}),
    ]
    result = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=flow.environment(PREFECT_LOGGING_LEVEL="DEBUG"),
        check=False,
    )
    connection.execute("alter table customers drop column name")
    ends = [
        line.partition(" : ")[0] for line in result.stdout.splitlines() if " : " in line
    ]
    assert ends == [
        "Refused" if number == 4 else "Completed" for number in range(len(orders))
    ], result.stdout
    nowhere(result.stdout, result.stderr, known=refused)
