"""The `smsretry` command against the stack, without Prefect."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from smsretry.adapters.migrations.migrate import migrations
from smsretry.local.stack import SENDER, Stack
from tests.conftest import Business
from tests.integration.catalog import Database
from tests.integration.conftest import Command
from tests.support.builders import PHONE

SAID = ("consent", "-", "--said", "opted_out", "--source", "telephone", "--because", "She called")


def test_process_makes_one_run_and_shows_what_became_of_each_text(business: Business, command: Command) -> None:
    """With the same numbers as the flow's message."""
    good, bad = business.due_text(), business.due_text(phone=None)
    result = command("process")
    assert result.exit_code == 0
    assert re.search(rf"Sent +row {good}: Accepted as SM", result.output)
    assert re.search(rf"Failed +row {bad}: Customer has no phone number", result.output)
    assert "recovered 0, claimed 2: sent 1, failed 1 in " in result.output


def test_process_tells_programs_the_same_as_json(business: Business, command: Command) -> None:
    """And nothing else."""
    row = business.due_text()
    told = json.loads(command("process", "--json").stdout)
    assert [(item["retry_id"], item["fate"]) for item in told["items"]] == [(str(row), "Sent")]
    assert (told["summary"]["claimed"], told["summary"]["sent"]) == (1, 1)


def test_scheduled_sends_that_cannot_be_queued_do_not_stop_the_retries(business: Business, command: Command) -> None:
    """They are told, and the exit code says that somebody must look."""
    row = business.due_text()
    business.connection.execute("revoke execute on function queue_scheduled_sms from service_role")
    try:
        told = command("process")
        again = json.loads(command("process", "--json").stdout)
    finally:
        business.connection.execute("grant execute on function queue_scheduled_sms to service_role")
    assert told.exit_code == 1
    assert "warning: Scheduled sends were not queued: " in told.stderr
    assert business.row(row)["status"] == "completed"
    assert "lacks a grant" in again["scheduled_sends_stopped"]


def test_process_exits_with_1_when_somebody_must_act(stack: Stack, business: Business, command: Command) -> None:
    """Twilio refuses the token, or a text is held until somebody mends its number."""
    business.due_text()
    assert command("process", TWILIO_AUTH_TOKEN="wrong").exit_code == 1
    stack.move_clock(timedelta(minutes=5))
    assert command("process").exit_code == 0
    business.due_text(phone="+112125550123")
    assert command("process").exit_code == 1


def test_process_looks_after_what_twilio_accepted(stack: Stack, business: Business, command: Command) -> None:
    """Where cron runs it instead of Prefect, nobody had: what a carrier lost was never sent again."""
    row = business.due_text()
    command("process")
    stack.twilio.report(business.attempts_of(row)[0]["twilio_sid"], "undelivered", 30008)
    stack.move_clock(timedelta(minutes=6))
    told = command("process")
    assert (told.exit_code, told.output.splitlines()[-1]) == (0, "deliveries: retried 1")
    assert business.row(row)["status"] == "pending"


def test_deliveries_that_cannot_be_asked_for_hide_nothing_of_the_run(business: Business, command: Command) -> None:
    """They are told, and the exit code says that somebody must look."""
    row = business.due_text()
    business.connection.execute("revoke execute on function claim_sms_deliveries from service_role")
    try:
        told = command("process")
        again = json.loads(command("process", "--json").stdout)
    finally:
        business.connection.execute("grant execute on function claim_sms_deliveries to service_role")
    assert told.exit_code == 1
    assert f"row {row}: Accepted as SM" in told.output
    assert "deliveries: Stopped: " in told.output
    assert "lacks a grant" in again["deliveries_stopped"]


def test_doctor_finds_everything_in_order(stack: Stack, command: Command) -> None:
    """Settings, connection, functions and their grants, zone data, Twilio's account and sender."""
    stack.twilio.accounts.main.webhooks[SENDER] = "https://app.example.com/sms"
    result = command("doctor")
    assert result.exit_code == 0, result.output
    for subject in (
        "time zone data (IANA 20",
        "SUPABASE_URL",
        "SMSRETRY_IN_DOUBT (not set: resend)",
        "Supabase connection and key",
        "functions, tables and the like (",
        "rehearsal of a text",
        "mark of the database",
        "Twilio credentials",
        "Twilio number",
    ):
        assert f"ok   {subject}" in result.output
    assert "bad" not in result.output


def test_doctor_tells_programs_the_same_as_json(command: Command) -> None:
    """With the exit code that it always has."""
    good, bad = command("doctor", "--json"), command("doctor", "--json", TWILIO_AUTH_TOKEN="wrong")
    assert (good.exit_code, json.loads(good.stdout)["bad"]) == (0, 0)
    assert bad.exit_code == 1
    told = json.loads(bad.stdout)
    assert next(finding["subject"] for finding in told["findings"] if not finding["ok"]) == "Twilio credentials"


def test_migrate_has_nothing_to_do_on_a_migrated_database(stack: Stack, command: Command) -> None:
    """It may be run with every deploy."""
    result = command("migrate", "--db-url", stack.database_url)
    assert result.output == "Nothing to do: the database has every migration.\n"
    told = json.loads(command("migrate", "--db-url", stack.database_url, "--json").stdout)
    assert told == {"applied": [], "again": False}


def test_migrate_says_what_it_applies_and_in_a_dry_run_what_it_would(original: Database, command: Command) -> None:
    """Once, and all again."""
    names = [f"{migration.version}_{migration.name}" for migration in migrations()]
    said = command("migrate", "--db-url", original.url, "--dry-run").output.splitlines()
    assert said == [*(f"would apply {name}" for name in names), "Nothing was changed."]
    assert original.one("select to_regclass('public.sms_send_attempts') as made") == {"made": None}
    assert command("migrate", "--db-url", original.url).output.splitlines() == [f"applied {name}" for name in names]
    assert command("migrate", "--db-url", original.url, "--again").output == "applied the whole schema again\n"


def test_an_opt_out_by_telephone_is_recorded_by_number_and_cancels_what_waits(
    business: Business, command: Command
) -> None:
    """The number may come from standard input, which no shell history keeps; it is not said again."""
    row = business.due_text()
    malformed = command(*SAID, stdin="020 7946 0123\n")
    assert (malformed.exit_code, "The country or the area code of this number" in malformed.stderr) == (64, True)
    two = command(*SAID, stdin=f"{PHONE}\n+12125550199\n")
    assert (two.exit_code, "standard input has 2 lines: give one number at a time" in two.stderr) == (64, True)
    assert business.row(row)["status"] == "pending"
    result = command(*SAID, stdin="(212) 555-0123\n")
    assert result.exit_code == 0
    assert "Customers with this number: 1; waiting texts cancelled: 1." in result.output
    assert PHONE not in result.output
    assert (business.row(row)["status"], business.row(row)["last_error"]) == ("cancelled", "Customer opted out")


def test_an_opt_out_that_could_not_be_written_everywhere_is_told_and_holds(
    stack: Stack, business: Business, command: Command
) -> None:
    """Somebody's long transaction has the customer."""
    row = business.due_text()
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers for update")
        result = command("consent", PHONE, *SAID[2:])
    assert result.exit_code == 0
    assert "Customers with this number: 0; waiting texts cancelled: 1." in result.output
    assert "Customers who are not marked yet: 1" in result.output
    assert business.row(row)["status"] == "cancelled"


def test_consent_is_given_to_one_business(business: Business, command: Command) -> None:
    """And Twilio may still block the number, which is said."""
    business.customer(consent="unknown")
    yes = ("consent", PHONE, "--said", "opted_in", "--source", "letter", "--because", "She wrote")
    refused = command(*yes)
    assert refused.exit_code == 64
    assert refused.stderr.startswith("Error: opted_in needs --business: a yes is given to one business\n")
    given = command(*yes, "--business", str(business.id))
    assert "Customers with this number: 1;" in given.output
    assert "they must text START" in given.output


def test_a_state_is_stopped_and_its_texts_held_until_the_stop_is_lifted(
    stack: Stack, business: Business, command: Command
) -> None:
    """From the next run on; nobody else's texts are."""
    held, sent = business.due_text(phone="+12255550123"), business.due_text()
    assert command("stop", "LA", "--because", "A hurricane").exit_code == 0
    warned = command("doctor").output
    assert "warn texts to LA: stopped: A hurricane; `smsretry stop LA --lift` lets them go" in warned
    command("process")
    waiting = business.row(held)
    assert (waiting["status"], waiting["attempt_count"]) == ("pending", 0)
    assert waiting["held_since"] is not None
    assert waiting["why"] == "Texts to LA are stopped: lift the stop for that state, and they go on"
    assert business.row(sent)["status"] == "completed"
    assert command("stop", "la", "--lift").stdout == "Marketing texts to LA go again.\n"
    again = business.due_text(phone="+12255550123")
    stack.move_clock(timedelta(minutes=15))
    command("process")
    assert business.row(again)["status"] == "completed"
    assert business.row(held)["status"] == "completed"


def test_quiet_hours_are_explained_without_any_setting(command: Command) -> None:
    """By the line that a waiting row carries."""
    result = command("quiet-hours", "+13055550123", "--at", "2027-01-13T01:30", SUPABASE_URL=None)
    assert result.exit_code == 2
    assert result.output.startswith(
        "Quiet hours: 08:00–20:00 (federal, us-fl-501.616) in America/New_York, area code 305\n"
    )


@pytest.mark.parametrize(
    ("phone", "at", "code", "answer"),
    [
        ("+13055550123", "2027-01-12T17:00", 0, "open"),
        ("+13055550123", "2027-01-12T03:00", 2, "closed"),
        ("+18005550123", "2027-01-12T17:00", 3, "refused"),
        ("+1305555012", "2027-01-12T17:00", 3, "refused"),
        ("(305) 555-0123", "2027-01-12T17:00", 0, "open"),
    ],
)
def test_quiet_hours_say_by_their_exit_code_whether_a_text_may_go_out(
    command: Command, phone: str, at: str, code: int, answer: str
) -> None:
    """Now, later, or not at all; and the same in JSON, in which no number is."""
    told = command("quiet-hours", phone, "--at", at, "--json")
    assert (told.exit_code, json.loads(told.stdout)["answer"]) == (code, answer)
    assert phone not in told.output
    assert command("quiet-hours", "-", "--at", at, stdin=f"{phone}\n").exit_code == code


@pytest.mark.parametrize("at", ["2027-01-12T20:30-05:00", "2027-01-13T01:30+0000", "2027-01-13 01:30"])
def test_an_instant_is_given_with_its_offset_or_in_utc(command: Command, at: str) -> None:
    """Three ways to say the same."""
    assert "asked about Tue 12 Jan 20:30 EST" in command("quiet-hours", "+13055550123", "--at", at).output


def test_a_date_without_a_time_is_the_start_of_that_day_in_utc(command: Command) -> None:
    """And what is no instant is refused with how to write one."""
    assert "Wed 13 Jan 2027 00:00 UTC" in command("quiet-hours", "+13055550123", "--at", "2027-01-13").output
    refused = command("quiet-hours", "+13055550123", "--at", "tomorrow")
    assert refused.exit_code == 64
    assert "'--at': 'tomorrow' is no instant: write 2026-11-24, 2026-11-24T08:15" in refused.stderr


def test_long_work_shows_how_far_it_is_in_a_terminal_and_nothing_of_it_elsewhere(
    stack: Stack, business: Business, tmp_path: Path
) -> None:
    """On standard error alone, so that JSON stays JSON."""
    file = tmp_path / "stops.csv"
    file.write_text("+12125550199,2026-11-24T08:15Z\n" * 600)
    long_work = {
        "Sending": ["process", "--json"],
        "Importing": ["import-opt-outs", str(file), "--all-businesses", "--json"],
        "Applying the schema again": ["migrate", "--db-url", stack.database_url, "--again", "--dry-run", "--json"],
    }
    environment = {**os.environ, **stack.environment(), "TERM": "xterm", "COLUMNS": "100"}
    for words, arguments in long_work.items():
        business.due_text()
        ours, terminal = pty.openpty()
        command = [sys.executable, "-m", "smsretry", *arguments]
        shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, env=environment, check=True)
        os.close(terminal)
        told = os.read(ours, 1_000_000).decode()
        assert (words in told, "━" in told) == (True, True), told
        json.loads(shown.stdout)
        os.close(ours)
        piped = subprocess.run(command, capture_output=True, env=environment, check=True)
        assert piped.stderr == b""
        json.loads(piped.stdout)
