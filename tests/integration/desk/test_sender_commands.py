"""`smsretry senders`, and what explain, status, preview and doctor say of senders."""

import json
from datetime import timedelta

import pytest
from typer.testing import Result

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import SENDER, Stack
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import AT_ONCE, run
from tests.support.records import columns

HOUR = timedelta(hours=1)
BECAUSE = ("--because", "It is registered")


@pytest.fixture
def account(stack: Stack) -> str:
    """The account that the stand-in for Twilio knows."""
    return stack.settings().twilio_account_sid


@pytest.fixture
def own(business: Business, account: str, command: Command) -> str:
    """The id of the business's own sender, which is a number."""
    to = ("--business", business.id, "--account", account, *BECAUSE)
    added = command("senders", "add", "-", *to, "--json", stdin=f"{SENDER}\n")
    assert added.exit_code == 0, added.output
    return str(json.loads(added.stdout)["sender_id"])


def said(done: Result) -> str:
    """All that it printed, in one line."""
    return " ".join((done.stdout + done.stderr).split())


def test_a_sender_is_added_listed_changed_paused_and_removed(
    business: Business, account: str, command: Command, own: str
) -> None:
    """Each says what was done, and no number is printed."""
    again = command(
        "senders",
        "add",
        SENDER,
        "--business",
        business.id,
        "--account",
        account,
        *BECAUSE,
    )
    assert again.stdout.startswith(
        f"Added: sender …0006, id {own}, businesses that use it: 1, 0 waiting texts released.\n"
    )
    assert said(command("senders", "change", own, "--rate", 2.5, *BECAUSE)).startswith(
        "Changed: "
    )
    assert said(command("senders", "change", own, "--cap", 2000, *BECAUSE)).startswith(
        "Changed: "
    )
    output = command("senders", "list").stdout
    assert (
        f"account {account}; for Maple Street Dental; 2.5 segments a second; 0 of 2000 segments"
        in output
    )
    assert said(
        command("senders", "change", own, "--rate", "0", "--cap", "0", *BECAUSE)
    ).startswith("Changed")
    assert "a second" not in command("senders", "list").stdout
    paused = command(
        "senders",
        "change",
        "-",
        "--paused",
        "yes",
        "--who",
        "Ann",
        "--because",
        "It is suspended",
        stdin=f"{SENDER}\n",
    )
    lines = command("senders", "list").stdout.splitlines()
    assert lines[1:] == [
        f"sender …0006 of account {account}; for Maple Street Dental; nothing waits",
        "  it is paused: It is suspended (since Tue 12 Jan 17:00 UTC)",
        f"    let its sender send again, once that is fixed (smsretry senders change {own} --paused no --because '…')",
    ]
    assert said(
        command("senders", "change", own, "--paused", "no", *BECAUSE)
    ).startswith("Changed: ")
    assert "attention" not in said(command("senders", "list"))
    removed = command("senders", "remove", "--business", business.id, *BECAUSE)
    assert said(removed).startswith("Removed: ")
    assert SENDER not in output + str(lines) + paused.output + again.output


def test_a_sender_that_the_provider_does_not_know_is_added_by_sql_alone(
    business: Business, account: str, command: Command
) -> None:
    """A number that the account does not own; then the doctor says so, too."""
    words = (
        "senders",
        "add",
        "+12125550111",
        "--business",
        business.id,
        "--account",
        account,
        *BECAUSE,
    )
    refused = command(*words)
    assert refused.exit_code == 1
    assert "It was not added, because it cannot send. number …0111: " in said(refused)
    given = [business.id, account, words[2]]
    business.connection.execute(
        "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Soon')", given
    )
    output = command("doctor")
    assert f"bad  sender …0111 of account {account}: number …0111: " in output.stdout
    assert "12125550111" not in refused.output + output.output


def test_a_text_is_explained_with_its_sender_and_the_remedy_that_ends_its_trouble(
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioProvider,
    command: Command,
    account: str,
    own: str,
) -> None:
    """The remedy is applied as the page says, and the text goes out. After a move, each send says what it left from."""
    row = business.due_text()
    command("senders", "change", own, "--paused", "yes", "--because", "It is suspended")
    assert run(queue, sender, AT_ONCE) == ["Held"]
    remedy = f"let its sender send again, once that is fixed (smsretry senders change {own} --paused no --because '…')"
    assert f"You can: {remedy}" in command("explain", row).stdout
    status = command("status")
    assert status.exit_code == 1
    assert (
        "Maple Street Dental: its sender is paused: It is suspended · 1 text"
        in status.stdout
    )
    assert remedy in said(status)
    assert "1 needs attention" in said(status)
    one = json.loads(command("senders", "list", "--json").stdout)["senders"][0]
    assert columns(one, "used_by", "held", "why_code") == (
        ["Maple Street Dental"],
        1,
        "sender_paused",
    )
    assert (
        "1 waiting text released."
        in command("senders", "change", own, "--paused", "no", *BECAUSE).stdout
    )
    assert run(queue, sender, AT_ONCE) == ["Sent"]
    [attempt] = business.attempts_of(row)
    assert columns(attempt, "sent_by", "attempt_number") == (SENDER, 1), (
        "the pause cost no attempt"
    )
    assert ", from …0006, " in command("explain", row).stdout
    service = "MG" + "7" * 32
    add = "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Its own', replace => true)"
    business.connection.execute(add, [business.id, account, service])
    output = command("explain", row).stdout
    assert (f"sender {service}\n" in output, ", from …0006, " in output) == (True, True)


def test_a_text_without_a_sender_of_its_own_names_the_environment_s(
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioProvider,
    command: Command,
    account: str,
) -> None:
    """As the last run told it. The list has it, too."""
    row = business.due_text()
    run(queue, sender, AT_ONCE)
    business.due_text(due=HOUR)
    assert "sender …0006" in command("explain", row).stdout
    changed = command("senders", "change", SENDER, "--rate", 9, *BECAUSE)
    assert "businesses that use it: 1, 0 waiting" in said(changed)
    assert command("senders", "list").stdout.startswith(
        f"1 sender\ndefault sender …0006 of account {account}; for Maple"
    )


def test_a_due_text_whose_sender_is_too_slow_or_stopped_says_so_with_its_remedy(
    business: Business, command: Command, account: str, own: str
) -> None:
    """Once the rate is raised, the next run takes it. A stop keeps no other business's texts."""
    command("senders", "change", own, "--rate", 0.01, *BECAUSE)
    row, *_ = (business.due_text() for _ in range(7))
    business.connection.execute(
        """insert into smsretry.runs (id, started_at, finished_at, summary)
           select gen_random_uuid(), at, at, 'idle' from smsretry.clock() at"""
    )
    output = command("explain", row).stdout
    assert output.startswith(
        "Due, but its sender sends 0.01 a second, which is too slow for the 7"
    )
    raise_it = "You can: raise its sender's rate, if the provider takes more (smsretry senders change"
    assert f"{raise_it} {own}" in output
    command("senders", "change", own, "--rate", 1, *BECAUSE)
    assert command("explain", row).stdout.startswith("Due (since")
    Business(business.connection, business.now).open().due_text()
    business.connection.execute(
        """insert into smsretry.stops (kind, subject, since, why)
           select 'sender', id::text, smsretry.clock(), 'Twilio 30034' from smsretry.senders where sent_by = %s""",
        [SENDER],
    )
    ahead = command("preview", "--hours", 1).stdout
    assert ahead.startswith("1 to go out in the next 1 h, wait longer 7")
    assert "7 not: Its sender is stopped: Twilio 30034" in ahead
    explained = command("explain", row).stdout
    assert "Due, but its sender is stopped: Twilio 30034" in explained
    assert "run smsretry doctor and fix what it reports of its sender" in explained
