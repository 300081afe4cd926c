"""The `smsretry` command against the stack, without Prefect."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from smsretry.adapters.migrations.migrate import migrations
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import AcceptThenWait, ListError
from tests.conftest import Business
from tests.integration.catalog import Database
from tests.integration.conftest import Command
from tests.support.builders import PHONE
from tests.support.records import columns
from tests.support.waiting import until

SAID = (
    "consent",
    "-",
    "--said",
    "opted_out",
    "--source",
    "telephone",
    "--because",
    "She called",
)


def test_process_makes_one_run_and_tells_people_and_programs_what_became_of_each_text(
    stack: Stack, business: Business, command: Command
) -> None:
    """With the same numbers as the flow's message. Later it looks after what Twilio accepted: where cron runs it
    instead of Prefect, nobody else does.
    """
    good, bad = business.due_text(), business.due_text(phone=None)
    result = command("process")
    assert result.exit_code == 0
    assert re.search(rf"Sent +row {good}: Accepted as SM", result.output)
    assert re.search(rf"Failed +row {bad}: Customer has no phone number", result.output)
    assert ": 1 sent, 1 failed\n" in result.output

    stack.twilio.report(
        business.attempts_of(good)[0]["twilio_sid"], "undelivered", 30008
    )
    stack.move_clock(timedelta(minutes=6))
    output = command("process")
    assert (output.exit_code, output.output.splitlines()[-1]) == (
        0,
        "deliveries: 1 retried",
    )
    assert business.row(good)["status"] == "pending"

    row = business.due_text()
    output = json.loads(command("process", "--json").stdout)
    assert [columns(item, "retry_id", "fate") for item in output["items"]] == [
        (str(row), "Sent")
    ]
    assert output["summary"]["counts"] == {"sent": 1}


@pytest.mark.parametrize(
    ("function", "said", "key"),
    [
        (
            "queue_scheduled_sms",
            "warning: Scheduled sends were not queued: ",
            "scheduled_sends_stopped",
        ),
        ("claim_sms_deliveries", "deliveries: Stopped: ", "deliveries_stopped"),
    ],
)
def test_process_goes_on_beside_what_cannot_be_done_and_says_so(
    function: str, said: str, key: str, business: Business, command: Command
) -> None:
    """The texts go out, and the exit code says that somebody must look."""
    row = business.due_text()
    business.connection.execute(
        f"revoke execute on function {function} from service_role".encode()
    )
    try:
        result, again = (
            command("process"),
            json.loads(command("process", "--json").stdout),
        )
    finally:
        business.connection.execute(
            f"grant execute on function {function} to service_role".encode()
        )
    assert (result.exit_code, business.row(row)["status"]) == (1, "completed")
    assert f"row {row}: Accepted as SM" in result.output
    assert said in result.stdout + result.stderr
    assert "lacks a grant" in again[key]


def test_process_exits_with_1_when_somebody_must_act(
    stack: Stack, business: Business, command: Command
) -> None:
    """Twilio refuses the token, or a text is held until somebody mends its number."""
    business.due_text()
    assert command("process", TWILIO_AUTH_TOKEN="wrong").exit_code == 1
    stack.move_clock(timedelta(minutes=5))
    assert command("process").exit_code == 0
    business.due_text(phone="+112125550123")
    assert command("process").exit_code == 1


def test_process_that_is_asked_to_stop_ends_what_it_began_and_exits_as_interrupted(
    stack: Stack, business: Business, command: Command
) -> None:
    """Nothing else is wrong then."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=3)))

    def interrupt() -> None:
        until(stack.twilio.ledger.entries)
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        interrupted = pool.submit(interrupt)
        result = command("process")
    assert (result.exit_code, business.row(row)["status"], interrupted.result()) == (
        130,
        "completed",
        None,
    )


def test_doctor_warns_of_what_people_stopped_and_tells_programs_what_is_bad(
    stack: Stack, command: Command
) -> None:
    """With an exit code for each."""
    stack.twilio.accounts.main.webhooks[SENDER] = "https://app.example.com/sms"
    assert (
        command(*["stop", "LA", "--who", "ann", "--because"], "A hurricane").exit_code
        == 0
    )
    warned = command("doctor")
    assert (warned.exit_code, "bad" in warned.output) == (0, False), warned.output
    assert "warn stopped LA: A hurricane, by ann, for " in warned.output
    assert (
        command(*["stop", "LA", "--lift", "--because", "Over"]).stdout
        == "Lifted the stop of marketing texts to LA.\n"
    )
    stack.twilio.accounts.main.balance = "-1.20"
    stack.twilio.fail(ListError(), times=None)
    troubled = command("doctor")
    stack.twilio.heal()
    assert "its balance is -1.20 USD: no text goes out before" in troubled.output
    assert "bad  Twilio's list of messages: texts in doubt wait" in troubled.output
    keys = {
        "TWILIO_AUTH_TOKEN": "wrong",
        "SUPABASE_READER_KEY": stack.key("authenticated"),
    }
    bad = command("doctor", "--json", **keys)
    assert bad.exit_code == 1
    findings = json.loads(bad.stdout)["findings"]
    subjects = [finding["subject"] for finding in findings if not finding["ok"]]
    assert "reader's key" in subjects
    assert any(subject.startswith("account AC") for subject in subjects)


def test_doctor_names_a_column_that_was_renamed_and_advises_no_migration(
    business: Business, command: Command
) -> None:
    """By the first line that is bad; what else differs comes from it."""
    business.connection.execute("alter table customers rename phone to mobile")
    try:
        output = command("doctor", columns=1000).output
    finally:
        business.connection.execute("alter table customers rename mobile to phone")
    bad = [line for line in output.splitlines() if line.startswith("bad")]
    assert bad[0].startswith("bad  column public.customers.phone: is gone, and ")
    assert "smsretry migrate" not in output


def test_doctor_names_a_function_that_the_api_does_not_find_and_migrate_has_it_look_anew(
    business: Business, command: Command, stack: Stack
) -> None:
    """Although the database has it: the API answers by a schema cache, which may be stale."""
    assert "ok   functions at the API (" in command("doctor").output
    stack.rpc_faults.unknown("begin_sms_attempt")
    output = command("doctor", columns=1000).output
    assert ": begin_sms_attempt: the API does not find them, so " in output
    business.connection.execute("listen pgrst")
    command("migrate", "--db-url", stack.database_url)
    [notice] = business.connection.notifies(timeout=10, stop_after=1)
    assert notice.payload == "reload schema"


def test_migrate_says_what_it_applies_and_in_a_dry_run_what_it_would(
    original: Database, command: Command
) -> None:
    """Once, and all again. With nothing to do it says that: it may be run with every deploy."""
    names = [f"{migration.version}_{migration.name}" for migration in migrations()]
    said = command("migrate", "--db-url", original.url, "--dry-run").output.splitlines()
    assert said == [*(f"would apply {name}" for name in names), "Nothing was changed."]
    assert original.single_row(
        "select to_regclass('public.sms_send_attempts') as made"
    ) == {"made": None}
    assert command("migrate", "--db-url", original.url).output.splitlines() == [
        f"applied {name}" for name in names
    ]
    assert (
        command("migrate", "--db-url", original.url, "--again").output
        == "applied the whole schema again\n"
    )
    nothing = command("migrate", "--db-url", original.url).output
    assert nothing == "Nothing to do: the database has every migration.\n"
    output = json.loads(command("migrate", "--db-url", original.url, "--json").stdout)
    assert output == {"applied": [], "again": False}


def test_consent_is_recorded_by_a_number_that_no_history_keeps(
    business: Business, command: Command
) -> None:
    """One number at a time, and it is not said again. A yes is given to one business."""
    row = business.due_text()
    two = command(*SAID, stdin=f"{PHONE}\n+12125550199\n")
    assert (
        two.exit_code,
        "standard input has 2 lines: give one number at a time" in two.stderr,
    ) == (64, True)
    assert business.row(row)["status"] == "pending"
    result = command(*SAID, stdin="(212) 555-0123\n")
    assert (result.exit_code, PHONE in result.output) == (0, False)
    assert (
        "Recorded that they said stop: 1 customer marked, 1 waiting text cancelled."
        in result.output
    )
    assert columns(business.row(row), "status", "last_error") == (
        "cancelled",
        "Customer opted out",
    )

    yes = (
        "consent",
        PHONE,
        "--said",
        "opted_in",
        "--source",
        "letter",
        "--because",
        "She wrote",
    )
    refused = command(*yes)
    assert refused.exit_code == 64
    assert "CUSTOMER must be the customer's id there" in refused.stderr
    given = command("consent", business.row(row)["customer_id"], *yes[2:])
    assert "1 customer marked" in given.output


def test_quiet_hours_are_explained_and_their_exit_code_says_whether_a_text_may_go_out(
    command: Command,
) -> None:
    """Now, later, or not at all; without any setting. An instant has its offset, or is in UTC."""
    for phone, hour, code, answer in (
        ("(305) 555-0123", 17, 0, "open"),
        ("+13055550123", 3, 2, "closed"),
        ("+18005550123", 17, 3, "refused"),
        ("+1305555012", 17, 3, "held"),
    ):
        at = f"2027-01-12T{hour:02}:00"
        result = command("quiet-hours", phone, "--at", at, "--json", SUPABASE_URL=None)
        assert (
            result.exit_code,
            json.loads(result.stdout)["answer"],
            phone in result.output,
        ) == (code, answer, False)
        assert (
            command("quiet-hours", "-", "--at", at, stdin=f"{phone}\n").exit_code
            == code
        )
    for at in ("2027-01-12T20:30-05:00", "2027-01-13T01:30+0000", "2027-01-13 01:30"):
        result = command("quiet-hours", "+13055550123", "--at", at)
        assert result.output.startswith(
            "Quiet hours: 08:00–20:00 (federal, us-fl-501.616) in America/New_York, area code 305\n"
        )
        assert "asked about Tue 12 Jan 20:30 EST" in result.output
    assert (
        "Wed 13 Jan 2027 00:00 UTC"
        in command("quiet-hours", "+13055550123", "--at", "2027-01-13").output
    )
    refused = command("quiet-hours", "+13055550123", "--at", "tomorrow")
    assert refused.exit_code == 64
    assert (
        "--at must be a date, or a time such as 2026-11-24T08:15:00-05:00"
        in refused.stderr
    )
