"""What `smsretry.testing` gives a test: Twilio's side, the environment, and a database that is as it was.

What its README shows is run by e2e/test_docs_run.py.
"""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from smsretry.errors import LocalStackError
from smsretry.local.business import BODY, PHONE
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import SENDER
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from smsretry.testing.database import apply_schema, empty, remember_rows
from smsretry.testing.stack import SmsStack
from smsretry.wiring import services
from tests.integration.catalog import Database
from tests.support.records import columns

FIRST, SECOND = "+12125550161", "+12125550162"
ERRORS = {
    "create table a (id int);\n\ncreate table b (id int9);": r"schema\.sql, line 3: type .int9. does not exist",
    "\\restrict abc\ncreate table a (id int);": r"line 1: syntax error .*psql's own and no SQL",
    'create extension if not exists "uuid-ossp";': r"is not available\. The embedded PostgreSQL has fewer",
}
"""What a file may begin with, and what is said of it."""


def test_twilio_posts_signed_callbacks_and_texts_to_the_webhook(
    sms_stack: SmsStack,
) -> None:
    """A status to the URL that the message was sent with, a STOP to the one that the test names, if anybody listens."""
    posts: list[dict[str, str]] = []
    validator = RequestValidator(sms_stack.environment()["TWILIO_AUTH_TOKEN"])

    async def hear(request: Request) -> Response:
        posts.append(
            dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        )
        assert validator.validate(
            str(request.url), posts[-1], request.headers["x-twilio-signature"]
        )
        return Response(status_code=204)

    with LocalServer(
        Starlette(routes=[Route("/twilio", hear, methods=["POST"])])
    ) as server:
        sms_stack.options["TWILIO_STATUS_CALLBACK_URL"] = webhook = (
            f"{server.url}/twilio"
        )
        sms_stack.business().due_text()
        sms_stack.run()
        [message] = sms_stack.twilio.ledger.entries(PHONE)
        answers = [
            sms_stack.report(message, "delivered"),
            sms_stack.receive(PHONE, "STOP", webhook=webhook),
        ]
    assert [answer and answer.status_code for answer in answers] == [204, 204]
    status, stop = posts
    assert columns(status, "MessageSid", "MessageStatus") == (message.sid, "delivered")
    assert columns(stop, "From", "Body", "To") == (PHONE, "STOP", SENDER)
    with pytest.raises(LocalStackError, match="start the application") as raised:
        sms_stack.receive(PHONE, "STOP", webhook=f"{webhook}?to={PHONE}")
    assert PHONE not in str(raised.value)


def test_a_run_says_what_each_text_came_to_and_a_failure_is_explained_without_numbers_and_bodies(
    sms_stack: SmsStack,
) -> None:
    """A text that it did not take, too, and a planned one, which is queued two minutes before its time. What became of
    a message is told, or found by asking five minutes after the text was accepted.
    """
    business = sms_stack.business()
    called_back, lost, asked = (
        business.due_text(phone=phone) for phone in (FIRST, PHONE, SECOND)
    )
    asleep, later = (
        business.due_text(timezone="Pacific/Honolulu"),
        business.due_text(due=timedelta(hours=2)),
    )
    planned = business.scheduled(due=timedelta(hours=1), phone="+12125550124")
    sms_stack.twilio.fail(AcceptThenDrop(), to=PHONE)
    result = sms_stack.run()
    assert (result.of(lost).fate, result.scheduled) == ("InDoubt", [])
    with pytest.raises(LookupError, match=f"did not take row {later}"):
        result.of(later)
    queue = sms_stack.describe_queue()
    assert f"{called_back} completed\n" in queue
    assert re.search(
        rf"{asleep} pending, due 2027-01-12 18:\d\d:\d\d \[quiet_hours\] Quiet hours: ",
        queue,
    )
    assert "Messages that Twilio accepted: 3" in queue
    assert not any(word in queue for word in (PHONE, FIRST, BODY))
    [first_entry], [second] = (
        sms_stack.twilio.ledger.entries(phone) for phone in (FIRST, SECOND)
    )
    with pytest.raises(ValueError, match="delivered"):
        sms_stack.report(first_entry, "deliverd")
    sms_stack.report(first_entry, "delivered")
    sms_stack.twilio.report(second.sid, "undelivered", 30006)
    assert sms_stack.look_after_deliveries().idle
    sms_stack.move_clock(timedelta(minutes=59))
    assert sms_stack.look_after_deliveries().counts["undelivered"] == 1
    assert [business.log_of(text)["status"] for text in (called_back, asked)] == [
        "delivered",
        "undelivered",
    ]
    [queued] = sms_stack.run().scheduled
    assert (queued.scheduled_id, queued.result) == (planned, "queued")


def test_the_environment_holds_the_stacks_settings_and_none_of_the_developers(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, sms_stack: SmsStack
) -> None:
    """A messaging service beside the stack's number would be an error, and real credentials a danger. Keys are those of
    the backend, of a tenant and of nobody.
    """
    monkeypatch.setenv("TWILIO_MESSAGING_SERVICE_SID", "MG" + "1" * 32)
    given = request.getfixturevalue("sms_environment")
    with services() as connected:
        assert (
            connected.provider.default.sent_by == given["TWILIO_FROM_NUMBER"] == SENDER
        )
    tenant = sms_stack.jwt(sms_stack.business())
    backend = given["SUPABASE_SERVICE_ROLE_KEY"]
    for key, token, answer in (
        (backend, backend, 200),
        (given["SUPABASE_ANON_KEY"], tenant, 403),
    ):
        response = httpx.post(
            f"{given['SUPABASE_URL']}/rest/v1/rpc/claim_due_sms_retries",
            headers={"apikey": key, "Authorization": f"Bearer {token}"},
            json={"limit_count": 1},
        )
        assert response.status_code == answer


def test_each_test_begins_with_what_the_schema_came_with(sms_stack: SmsStack) -> None:
    """Rows of any table go, those that were there come back however they were changed, and triggers have no say. The
    options and faults of one test are not the next one's.
    """
    sms_stack.options["SMSRETRY_IN_DOUBT"] = "hold"
    sms_stack.twilio.fail(JsonError(21211), times=None)
    assert sms_stack.settings().in_doubt == "hold"
    sms_stack.empty().business().due_text()
    assert (sms_stack.settings().in_doubt, sms_stack.run().fates) == (
        "resend",
        ["Sent"],
    )
    owner = sms_stack.empty().connection()
    owner.execute(
        """create schema shop;
           create table shop.plans (id int generated always as identity primary key, name text,
                                    two int generated always as (2) stored);
           create table shop."Orders" (id int primary key, plan int not null references shop.plans, note text);
           create table shop.parts (id int, at date) partition by range (at);
           create table shop.parts_2027 partition of shop.parts for values from ('2027-01-01') to ('2028-01-01');
           create function shop.keep() returns trigger language plpgsql as 'begin return null; end';
           create trigger keep before delete on shop."Orders" for each row execute function shop.keep();
           insert into shop.plans (name) values ('basic'), (null)"""
    )
    try:
        remember_rows(owner)
        for size in (1, 1500):  # the second is large enough to be truncated
            owner.execute(
                "update shop.plans set name = 'changed' where id = 1; delete from shop.plans where id = 2"
            )
            owner.execute(
                "insert into shop.\"Orders\" select n, 1, repeat('x', 1000) from generate_series(1, %s) n",
                [size],
            )
            owner.execute("insert into shop.parts values (1, '2027-03-01')")
            sms_stack.business().due_text()
            empty(owner)
            assert owner.execute(
                "select id, name from shop.plans order by id"
            ).fetchall() == [
                {"id": 1, "name": "basic"},
                {"id": 2, "name": None},
            ]
            left = 'select (select count(*) from shop."Orders") + (select count(*) from shop.parts) as rows'
            assert owner.execute(left.encode()).fetchone() == {"rows": 0}
            assert sms_stack.is_empty()
    finally:
        owner.execute("drop schema shop cascade")
        remember_rows(owner)


def test_a_transaction_left_open_is_named_as_what_keeps_the_tables(
    sms_stack: SmsStack,
) -> None:
    """Its test is over, and the next one must not wait for ever."""
    text = sms_stack.business().due_text()
    with sms_stack.connect() as forgotten, forgotten.transaction(force_rollback=True):
        forgotten.execute(
            "update sms_retry_queue set reason = null where id = %s", [text]
        )
        sms_stack.connection().execute(
            "alter function smsretry_testing.empty() set lock_timeout = '50ms'"
        )
        with pytest.raises(LocalStackError, match="a transaction has held one of them"):
            sms_stack.empty()
    sms_stack.connection().execute(
        "alter function smsretry_testing.empty() set lock_timeout = '5s'"
    )


def test_a_schema_is_applied_file_by_file_and_an_error_in_it_says_where_and_what_to_do(
    empty: Database, tmp_path: Path
) -> None:
    """Each as `pg_dump` begins one: what it sets does not reach the next file. Nothing is left of a wrong one."""
    (tmp_path / "1.sql").write_text(
        "select pg_catalog.set_config('search_path', '', false); create schema shop;"
    )
    (tmp_path / "2.sql").write_text("create table shops (id uuid primary key);")
    (tmp_path / "last").write_text("create table shop.plans as select id from shops")
    apply_schema(empty.url, [tmp_path, tmp_path / "last"])
    assert empty.connection.execute(
        "select count(*) as plans from shop.plans"
    ).fetchone() == {"plans": 0}
    schema = tmp_path / "schema.sql"
    for text, called_back in ERRORS.items():
        schema.write_text(text)
        with pytest.raises(LocalStackError, match=called_back):
            apply_schema(empty.url, [schema])
        assert empty.connection.execute("select to_regclass('a') as a").fetchone() == {
            "a": None
        }
    with pytest.raises(LocalStackError, match="correct the path in sms_schema"):
        apply_schema(empty.url, [tmp_path / "nowhere"])
