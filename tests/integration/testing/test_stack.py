"""What `smsretry.testing` gives a test: the clock, Twilio's side, the environment, and a database that is as it was."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import httpx
import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from supabase import create_client
from twilio.request_validator import RequestValidator

from smsretry import testing
from smsretry.errors import InputError, LocalStackError
from smsretry.local.process.http import LocalServer
from smsretry.testing import Clock, Seeds, SmsStack, Twilio, failure, faults
from smsretry.testing.business import BODY
from smsretry.testing.emptying import empty, remember_rows
from smsretry.wiring import services

SENT = datetime(2027, 1, 12, 14, 30, tzinfo=UTC)


class Webhook:
    """An application's webhook, which notes what was posted to it and whether the signature was right."""

    def __init__(self, token: str) -> None:
        self.posts: list[tuple[bool, dict[str, str]]] = []
        self._validator = RequestValidator(token)
        self.app = Starlette(routes=[Route("/twilio", self._hear, methods=["POST"])])
        self.url = ""

    async def _hear(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        signature = request.headers.get("x-twilio-signature", "")
        self.posts.append((self._validator.validate(str(request.url), form, signature), form))
        return Response(status_code=204)


@pytest.fixture
def webhook(sms_stack: SmsStack) -> Iterator[Webhook]:
    """Listening, and known to the worker."""
    webhook = Webhook(sms_stack.environment["TWILIO_AUTH_TOKEN"])
    with LocalServer(webhook.app) as server:
        webhook.url = f"{server.url}/twilio"
        sms_stack.options["TWILIO_STATUS_CALLBACK_URL"] = webhook.url
        yield webhook


def test_the_clock_is_set_and_moved_for_all_of_the_stack(sms_stack: SmsStack, sms_clock: Clock) -> None:
    """By an instant, by what a clock somewhere shows, and on from there."""
    for moment, zone in (("2027-01-12T14:30:00Z", None), ("2027-01-12T09:30", "America/New_York"), (SENT, None)):
        sms_clock.set(moment, zone=zone)
        sms_clock.move(hours=3)
        shown = sms_stack.connection().execute("select smsretry.clock() as now").fetchone()
        assert shown is not None
        assert timedelta(0) <= shown["now"] - SENT - timedelta(hours=3) < timedelta(minutes=1)


@pytest.mark.parametrize(("moment", "zone"), [("2027-01-12T09:30", None), ("2027-01-12T09:30Z", "UTC"), ("noon", None)])
def test_a_moment_that_is_no_instant_is_refused(sms_clock: Clock, moment: str, zone: str | None) -> None:
    """A naive time does not say on whose clock it was read."""
    with pytest.raises(InputError):
        sms_clock.set(moment, zone=zone)


def test_twilio_posts_signed_callbacks_and_texts_to_the_webhook(
    sms_stack: SmsStack, sms_seeds: Seeds, sms_twilio: Twilio, webhook: Webhook
) -> None:
    """A status to the URL that the message was sent with, a STOP to the URL that the test names."""
    text = sms_seeds.sent()
    sms_stack.run()
    [message] = sms_twilio.sent_to(text.phone or "")
    answer = sms_twilio.report(message, "delivered", tell="webhook")
    assert answer is not None
    assert answer.status_code == 204
    sms_twilio.receive(text.phone or "", "STOP", webhook=webhook.url)
    [(status_signed, status), (stop_signed, stop)] = webhook.posts
    assert status_signed
    assert (status["MessageSid"], status["MessageStatus"]) == (message.sid, "delivered")
    assert stop_signed
    assert (stop["From"], stop["Body"], stop["To"]) == (text.phone, "STOP", sms_twilio.number)


def test_a_webhook_that_is_not_there_is_said_without_the_text(sms_twilio: Twilio) -> None:
    """With what to do."""
    with pytest.raises(LocalStackError, match="start the application") as told:
        sms_twilio.receive("+12125550100", "STOP", webhook="http://127.0.0.1:1/twilio?to=+12125550100")
    assert "5550100" not in str(told.value)


def test_a_status_without_a_callback_url_says_which_option_is_missing(sms_stack: SmsStack) -> None:
    """The message was sent without one."""
    sms_stack.seeds.sent()
    sms_stack.run()
    with pytest.raises(InputError, match="TWILIO_STATUS_CALLBACK_URL"):
        sms_stack.twilio.report(sms_stack.twilio.sent[0], "delivered", tell="webhook")


def test_what_twilio_tells_reaches_the_database_without_a_webhook(sms_stack: SmsStack) -> None:
    """A delivery, and a STOP that cancels the next text to the number."""
    text = sms_stack.seeds.sent()
    sms_stack.run()
    sms_stack.twilio.report(sms_stack.twilio.sent[0], "delivered", tell="database")
    assert text.log["status"] == "delivered"
    sms_stack.twilio.receive(text.phone or "", "STOP")
    again = sms_stack.seeds.business.due_text(phone=text.phone)
    assert [one.fate for one in sms_stack.run().results if one.retry_id == again] in ([], ["Cancelled"])
    assert sms_stack.seeds.business.row(again)["status"] == "cancelled"


def test_a_delivery_that_nobody_told_is_found_by_asking(sms_stack: SmsStack) -> None:
    """Five minutes after the text was accepted."""
    text = sms_stack.seeds.sent()
    sms_stack.run()
    sms_stack.twilio.report(sms_stack.twilio.sent[0], "undelivered", 30006)
    assert sms_stack.look_after_deliveries().idle
    sms_stack.clock.move(minutes=6)
    assert sms_stack.look_after_deliveries().counts == {"undelivered": 1}
    assert (text.log["status"], text.row["status"]) == ("undelivered", "failed")


def test_a_planned_text_goes_out_at_its_time(sms_stack: SmsStack) -> None:
    """Queued two minutes before."""
    planned = sms_stack.business().scheduled(due=timedelta(hours=1))
    assert sms_stack.run().scheduled == []
    sms_stack.clock.move(minutes=59)
    [queued] = sms_stack.run().scheduled
    assert (queued.scheduled_id, queued.result) == (planned, "queued")
    sms_stack.clock.move(minutes=2)
    assert sms_stack.run().fates == ["Sent"]


def test_the_application_reaches_the_stack_by_the_environment(
    sms_environment: dict[str, str], sms_stack: SmsStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Supabase's own client, as a tenant through row level security, by SQL, and as a worker."""
    text, other = sms_stack.seeds.sent(), sms_stack.seeds.sent(sms_stack.business("Harbor Cycle Works"))
    client = create_client(sms_environment["SUPABASE_URL"], sms_environment["SUPABASE_SERVICE_ROLE_KEY"])
    queued = client.rpc("queue_sms_retry", {"send_log_id": str(text.log["id"]), "reason": None}).execute().data
    assert str(text.id) in str(queued)
    with psycopg.connect(sms_environment["DATABASE_URL"]) as connection:
        assert connection.execute("select count(*) from sms_retry_queue").fetchone() == (2,)
        connection.execute("set local role authenticated")
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{other.business.user_id}"}}']
        )
        assert connection.execute("select id from sms_retry_queue").fetchall() == [(other.id,)]
    refused = httpx.post(
        f"{sms_environment['SUPABASE_URL']}/rest/v1/rpc/claim_due_sms_retries",
        headers={
            "apikey": sms_environment["SUPABASE_ANON_KEY"],
            "Authorization": f"Bearer {sms_stack.jwt(other.business)}",
        },
        json={"limit_count": 1},
    )
    assert refused.status_code == 403
    with services() as connected:
        assert connected.sender.default.sent_by == sms_stack.twilio.number


def test_the_environment_holds_no_setting_of_the_developers(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A messaging service beside the stack's number would be an error, and real credentials a danger."""
    monkeypatch.setenv("TWILIO_MESSAGING_SERVICE_SID", "MG" + "1" * 32)
    given = request.getfixturevalue("sms_environment")
    with services() as connected:
        assert connected.sender.default.sent_by == given["TWILIO_FROM_NUMBER"]


def test_options_are_settings_of_one_test(sms_stack: SmsStack) -> None:
    """A text in doubt is held instead of sent again. A name that is no setting is refused, and not ignored."""
    sms_stack.options["SMSRETRY_IN_DOUBT"] = "hold"
    assert sms_stack.settings().in_doubt == "hold"
    sms_stack.options["SMSRETRY_IN_DOUB"] = "hold"
    with pytest.raises(InputError, match="SMSRETRY_IN_DOUB"):
        sms_stack.run()
    assert sms_stack.empty().settings().in_doubt == "resend"


def test_a_fault_is_planned_for_a_number_and_healed(sms_stack: SmsStack) -> None:
    """Any of `faults`."""
    text = sms_stack.seeds.sent()
    sms_stack.twilio.fail(faults.JsonError(21211, http_status=400), to=text.phone, times=None)
    sms_stack.twilio.heal()
    assert sms_stack.run().of(text).fate == "Sent"


def test_each_test_begins_with_what_the_schema_came_with(sms_stack: SmsStack) -> None:
    """Rows of any table go, those that were there come back however they were changed, and triggers have no say."""
    owner = sms_stack.connection()
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
            owner.execute("update shop.plans set name = 'changed' where id = 1; delete from shop.plans where id = 2")
            owner.execute(
                "insert into shop.\"Orders\" select n, 1, repeat('x', 1000) from generate_series(1, %s) n", [size]
            )
            owner.execute("insert into shop.parts values (1, '2027-03-01')")
            sms_stack.seeds.sent()
            empty(owner)
            assert owner.execute("select id, name from shop.plans order by id").fetchall() == [
                {"id": 1, "name": "basic"},
                {"id": 2, "name": None},
            ]
            left = 'select (select count(*) from shop."Orders") + (select count(*) from shop.parts) as rows'
            assert owner.execute(left.encode()).fetchone() == {"rows": 0}
            assert sms_stack.local.is_empty()
            sms_stack.empty()
    finally:
        owner.execute("drop schema shop cascade")
        remember_rows(owner)


def test_a_transaction_left_open_is_named_as_what_keeps_the_tables(sms_stack: SmsStack) -> None:
    """Its test is over, and the next one must not wait for ever."""
    text = sms_stack.seeds.sent()
    with sms_stack.local.connect() as forgotten, forgotten.transaction(force_rollback=True):
        forgotten.execute("update sms_retry_queue set reason = null where id = %s", [text.id])
        sms_stack.connection().execute("alter function smsretry_testing.empty() set lock_timeout = '50ms'")
        with pytest.raises(LocalStackError, match="a transaction has held one of them"):
            empty(sms_stack.connection())
    sms_stack.connection().execute("alter function smsretry_testing.empty() set lock_timeout = '5s'")
    sms_stack.empty()


def test_every_public_name_is_there_and_no_other() -> None:
    """They are imported on first use, so a misspelt one would be found by its user."""
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []
    with pytest.raises(AttributeError, match="has no attribute 'Stack'"):
        testing.Stack  # noqa: B018


def test_a_business_of_the_applications_own_is_taken_as_it_is(sms_stack: SmsStack) -> None:
    """Its texts and its tenant's token are those of its rows."""
    made = sms_stack.business()
    assert sms_stack.existing_business(made.id) == made
    with pytest.raises(LookupError, match="businesses has no row"):
        sms_stack.existing_business(made.user_id)


def test_a_status_that_twilio_does_not_have_is_refused(sms_stack: SmsStack) -> None:
    """A misspelt one would never be heard of again."""
    sms_stack.seeds.sent()
    sms_stack.run()
    with pytest.raises(InputError, match="delivered"):
        sms_stack.twilio.report(sms_stack.twilio.sent[0], "deliverd")  # type: ignore[arg-type] # the misspelt word


def test_a_failure_is_explained_by_the_queue_without_numbers_and_bodies(sms_stack: SmsStack) -> None:
    """Each text's state and why; the first twenty, and how many more."""
    deferred, sent = sms_stack.seeds.deferred(), sms_stack.seeds.sent()
    sms_stack.run()
    told = failure.told(sms_stack)
    assert f"{sent.id} completed\n" in told
    assert re.search(rf"{deferred.id} pending, due 2027-01-12 18:\d\d:\d\d \[quiet_hours\] Quiet hours: ", told)
    assert "Messages that Twilio accepted: 1" in told
    assert not any(word in told for word in (str(sent.phone), str(deferred.phone), BODY))
    for _ in range(20):
        sms_stack.seeds.sent()
    assert "Texts in the queue: 22" in failure.told(sms_stack)
    assert "… and 2 more" in failure.told(sms_stack)
