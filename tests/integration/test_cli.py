"""The `smsretry` command against the stack, without Prefect."""

import re
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from smsretry.cli import app
from smsretry.errors import MigrationError, SettingsError
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from tests.conftest import Business

Command = Callable[..., Result]


@pytest.fixture
def command(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command with the stack's settings, changed as told; None takes one away."""

    def run(*arguments: str, **changes: str | None) -> Result:
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in {**stack.environment(), **changes}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", "250")
        return CliRunner().invoke(app, arguments)

    return run


def test_process_makes_one_run_and_shows_what_became_of_each_text(business: Business, command: Command) -> None:
    """With the same numbers as the flow's message."""
    good, bad = business.due_text(), business.due_text(phone=None)
    result = command("process")
    assert result.exit_code == 0
    assert re.search(rf"{good} │ Sent +│ Accepted by Twilio as SM", result.output)
    assert re.search(rf"{bad} │ Failed +│ Customer has no phone number", result.output)
    assert "recovered 0, claimed 2: sent 1, failed 1 in " in result.output


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--limit", "501"], ["--stale-minutes", "0"]])
def test_process_refuses_numbers_out_of_bounds(command: Command, arguments: list[str]) -> None:
    """Before it touches anything."""
    assert command("process", *arguments).exit_code == 2


def test_process_without_settings_names_the_variables(command: Command) -> None:
    """All of them at once."""
    result = command("process", SUPABASE_URL=None, TWILIO_FROM_NUMBER=None)
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == (
        "Settings are not complete:\n"
        "  SUPABASE_URL is not set\n"
        "  Set one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM_NUMBER"
    )


def test_doctor_finds_everything_in_order(command: Command) -> None:
    """Settings, connection, functions and their grants, zone data, Twilio's account and sender."""
    result = command("doctor")
    assert result.exit_code == 0, result.output
    for subject in (
        "time zone data (IANA 20",
        "settings",
        "Supabase connection and key",
        "function claim_due_sms_retries",
        "row level security of sms_retry_queue",
        "one live row a text",
        "Twilio credentials",
        "Twilio number",
    ):
        assert f"ok   {subject}" in result.output
    assert "bad" not in result.output


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"SUPABASE_URL": "http://127.0.0.1:9"}, "bad  Supabase: Supabase did not answer check_sms_retry_setup"),
        ({"TWILIO_AUTH_TOKEN": "wrong"}, "bad  Twilio credentials: refused (Twilio 20003: Permission Denied): check "),
        ({"TWILIO_BASE_URL": "http://127.0.0.1:9"}, "bad  Twilio credentials: not reachable (ConnectionError)"),
        ({"TWILIO_FROM_NUMBER": "+12125550100"}, "bad  Twilio number: the account does not own TWILIO_FROM_NUMBER"),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(command: Command, changes: dict[str, str], line: str) -> None:
    """One line a finding; the exit code says that there is one."""
    result = command("doctor", **changes)
    assert result.exit_code == 1
    assert line in result.output


def test_doctor_notices_a_function_that_anyone_may_call(stack: Stack, command: Command) -> None:
    """What the obvious design leaves open."""
    with stack.connect() as connection:
        connection.execute("grant execute on function claim_due_sms_retries to anon")
        try:
            result = command("doctor")
        finally:
            connection.execute("revoke execute on function claim_due_sms_retries from anon")
    assert result.exit_code == 1
    assert "bad  function claim_due_sms_retries: anon or authenticated may call it: revoke execute" in result.output


def test_migrate_has_nothing_to_do_on_a_migrated_database(stack: Stack, command: Command) -> None:
    """It may be run with every deploy."""
    result = command("migrate", "--db-url", stack.database_url)
    assert result.output == "Nothing to do: the database has every migration.\n"


def test_migrate_says_which_database_it_could_not_reach(command: Command) -> None:
    """And names the option."""
    result = command("migrate", "--db-url", "postgresql://someone:secret@127.0.0.1:9/app")
    assert isinstance(result.exception, MigrationError)
    assert "--db-url" in str(result.exception)
    assert "secret" not in str(result.exception)
