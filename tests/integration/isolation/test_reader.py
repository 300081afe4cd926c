"""Who only reads: its questions of all functions that there are, no table, no whole number and no body."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import ExplainText, Preview
from smsretry.desk.questions.preview import Forecast
from smsretry.local.stack import Stack
from smsretry.settings import ReadingSettings, load
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.integration.scene import Scene
from tests.support.builders import BODY, PHONE, forget_settings
from tests.support.shop import Shop


@pytest.fixture
def reading(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> ReadingSettings:
    """The settings of somebody who has the reader's key, and no other."""
    forget_settings(monkeypatch)
    for name, value in stack.reading_environment().items():
        monkeypatch.setenv(name, value)
    return load(ReadingSettings)


@pytest.fixture
def reader(reading: ReadingSettings) -> Iterator[Desk]:
    """The desk with the reader's key."""
    with SupabaseOperators(reading, reads=True) as connected:
        yield Desk(connected, profile=reading.profile, meaning=code_meaning)


def test_the_desk_of_a_reader_takes_no_order(scene: Scene) -> None:
    """Only the questions, whatever else their owner may call."""
    for function, given in (
        ("change_sms_texts", {"what": "cancel", "which": {}}),
        ("prune_sms_history", {"keep_days": 90}),
        ("check_sms_retries", {}),
    ):
        response = scene.call("smsretry_reader", function, given)
        assert (response.status_code, response.json()["code"]) == (403, "42501")


def test_no_answer_to_a_reader_has_a_number_or_a_body(
    scene: Scene, stack: Stack
) -> None:
    """Wherever the tables hold one: in customers, send logs, attempts, errors and senders; also in the wrong column, as
    after an import that was off by one.
    """
    connection = scene.business.connection
    connection.execute(
        "update sms_retry_queue set last_error = %s where status = 'pending'",
        [f"Call {PHONE}"],
    )
    sid = "jsonb_build_object('twilio_sid', %s::text)"
    connection.execute(
        f"update send_logs set error_message = %s, provider_message_id = {sid}".encode(),
        [PHONE, PHONE],
    )
    connection.execute(
        "update customers set timezone = %s, sms_consent_source = %s", [PHONE, PHONE]
    )
    connection.execute("update businesses set timezone = %s", [PHONE])
    customer = scene.business.row(scene.due)["customer_id"]
    asked: list[tuple[str, dict[str, object]]] = [
        ("explain_sms", {"id": str(customer)}),
        ("explain_sms", {"phone": PHONE, "row_limit": 50}),
        ("explain_sms", {"id": str(scene.business.row(scene.due)["send_log_id"])}),
        ("preview_sms_retries", {"until": scene.at(hours=24)}),
        ("sms_senders", {"with_numbers": True}),
        ("sms_status", {}),
    ]
    for question, given in asked:
        answer = scene.call("smsretry_reader", question, given)
        assert answer.json(), question
        for private in (
            PHONE[-7:],
            BODY[:12],
            *([] if question != "sms_senders" else ["+1"]),
        ):
            assert private not in answer.text, question


def test_an_owner_is_warned_of_a_reader_whom_they_may_not_make(stack: Stack) -> None:
    """With the statements that somebody has to run; the migration goes on. All of it is undone at the end."""
    [rights] = [file.text.encode() for file in schema_files() if file.name == "reader"]
    notices: list[str] = []
    with stack.connect() as connection, connection.transaction(force_rollback=True):
        connection.add_notice_handler(
            lambda notice: notices.append(notice.message_primary or "")
        )
        connection.execute(rights)
        assert notices == []
        connection.execute(
            """create role weak_owner nologin; grant create, usage on schema public to weak_owner;
               alter role smsretry_reader rename to somebody; set local role weak_owner"""
        )
        connection.execute(rights)
    assert (
        "because weak_owner may create none: reading needs the service key"
        in notices[-1]
    )


def test_a_reader_gets_the_same_story_status_and_preview(
    stack: Stack,
    reader: Desk,
    operators: SupabaseOperators,
    business: Business,
    shop: Shop,
) -> None:
    """Predictions included, though they are made from other numbers and bodies."""
    whole = Desk(operators, profile=reader.profile, meaning=code_meaning)
    stack.set_clock(stack.now() + timedelta(hours=10))
    odd = (
        "+12125550123x",
        "(212) 555-0123",
        "+5215512345678",
        "+1212555012",
        "+447012345678",
        "n/a",
        "+442079460958",
        "+4402079460958",
        "+44 20 7946 0958",
        "+18005550123",
        "+12121550123",
        None,
        "",
    )
    for phone in (PHONE, "+13055550123", "+13055550123", *odd):
        business.due_text(phone=phone, timezone=None)
    business.due_text(body="")
    business.due_text(body="😀" * 80)
    row = business.due_text()
    with shop.clock_stopped():  # a preview counts by hours from now on
        assert _plain(reader.preview(Preview())) == _plain(whole.preview(Preview()))
    assert reader.status().queue == whole.status().queue
    [explanation], [story] = (
        reader.explain(ExplainText(id=row)),
        whole.explain(ExplainText(id=row)),
    )
    assert (explanation.headline.split(" (since")[0], explanation.next) == (
        story.headline.split(" (since")[0],
        story.next,
    )
    assert [sender.name for sender in reader.operators.senders()] == [
        one.name for one in whole.operators.senders()
    ]


def _plain(forecast: Forecast) -> object:
    left_out = {"made_at", "hours", "why"}
    return json.loads(forecast.model_dump_json(exclude=left_out)), forecast.hours


def test_the_reading_commands_need_only_the_reader_s_key(
    stack: Stack, command: Command, business: Business
) -> None:
    """And no Twilio. An order says what it needs."""
    row = business.due_text()
    only = dict.fromkeys(stack.environment()) | stack.reading_environment()
    for words in (
        ("explain", row),
        ("status", "--json"),
        ("preview",),
        ("senders", "list"),
    ):
        result = command(*words, **only)
        assert (result.exit_code, result.stderr) == (
            1 if words[0] == "status" else 0,
            "",
        ), words
    refused = command("texts", "requeue", "--row", row, **only)
    assert refused.exit_code == 1
    assert "SUPABASE_SECRET_KEY: is not set" in refused.stderr
    keyless = command("explain", row, **only | {"SUPABASE_ANON_KEY": None}).stderr
    assert keyless.startswith(
        "Error: Supabase refused the key (HTTP 401: Invalid API key "
    )
    assert (
        "SUPABASE_ANON_KEY, beside SUPABASE_READER_KEY, must be the project's publishable"
        in keyless
    )
    assert "SUPABASE_READER_KEY must be a token of the role smsretry_reader" in (
        command("status", **only | {"SUPABASE_READER_KEY": stack.key("anon")}).stderr
    )
    assert "ok   reader's key" in command("doctor", **only).stdout
    writers = {"SUPABASE_READER_KEY": stack.environment()["SUPABASE_SERVICE_ROLE_KEY"]}
    assert "is a key that can write" in (command("doctor", **writers).stdout)
    neither = command("status", **only | {"SUPABASE_READER_KEY": None})
    assert "set SUPABASE_READER_KEY, or SUPABASE_SERVICE_ROLE_KEY" in neither.stderr
