"""`smsretry senders`, and what explain, status, preview and doctor say of senders."""

import json
from datetime import timedelta
from typing import Final

import pytest
from typer.testing import Result

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import SENDER, Stack
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import ACCOUNT, AT_ONCE, fates_of, run_over
from tests.support.claims import claim_due

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


def test_a_sender_is_added_listed_changed_paused_resumed_and_removed(
    business: Business, account: str, command: Command, own: str
) -> None:
    """Each says what was done, and no number is printed."""
    again = command("senders", "add", SENDER, "--business", business.id, "--account", account, *BECAUSE)
    assert again.stdout.startswith(f"Added: sender …0006; 1 business uses it.\nIts id is {own}.\nBy ")
    assert said(command("senders", "change", own, "--rate", 2.5, "--cap", 2000, *BECAUSE)).startswith(
        "Changed: sender …0006"
    )
    told = command("senders").stdout
    assert f"sender …0006 of account {account}: sending; 1 business; 2.5 segments a second; 0 of 2000 segments" in told
    assert told.startswith("senders 1\n")
    assert said(command("senders", "change", own, "--rate", "0", "--cap", "0", *BECAUSE)).startswith("Changed")
    assert "a second" not in command("senders").stdout
    paused = command("senders", "pause", "-", "--who", "Ann", "--because", "It is suspended", stdin=f"{SENDER}\n")
    assert said(paused).startswith("Paused: sender …0006")
    lines = command("senders", "--troubled").stdout.splitlines()
    assert lines[1].startswith(f"sender …0006 of account {account}: paused")
    assert lines[2:] == [
        f"  id {own}",
        "  paused on Tue 12 Jan 17:00 UTC: It is suspended",
        "  paused by Ann: It is suspended",
        f"  once that is fixed: let it send again (smsretry senders resume {own} --because '…')",
    ]
    assert said(command("senders", "resume", own, *BECAUSE)).startswith("Resumed: sender …0006")
    assert said(command("senders", "--troubled")) == "senders 0"
    removed = command("senders", "remove", "--business", business.id, *BECAUSE)
    assert said(removed).startswith("Removed: sender …0006; 0 businesses")
    assert SENDER not in told + str(lines) + paused.output + again.output


_TO: Final = ("--business", "{business}", "--account")


def test_what_cannot_be_ordered_is_refused_in_a_sentence(business: Business, account: str, command: Command) -> None:
    """And nothing is changed."""
    values = {"{business}": str(business.id), "{account}": account}
    refusals: list[tuple[tuple[str, ...], int, str]] = [
        (("add", SENDER, *_TO, "MG" + "1" * 32), 1, "account must be an account's SID"),
        (("add", SENDER, *_TO, "+15005550006"), 64, "--account must be an id, as the provider shows it"),
        (("add", SENDER, *_TO, "{account}", "--rate", "0"), 64, "--rate must be greater than or equal to 0.01"),
        (("add", SENDER, *_TO, "{account}", "--cap", "0"), 64, "--cap must be greater than or equal to 1"),
        (("add", SENDER, "--business", ACCOUNT, "--account", "{account}"), 64, "is the provider's"),
        (("change", "{account}"), 64, "say what changes"),
        (("change", "{account}", "--rate", "1"), 1, "There is no such sender"),
        (("pause", "+12125550111"), 1, "There is no such sender"),
        (("resume", "MG" + "9" * 32), 1, "There is no such sender"),
        (("remove", "--business", "{business}"), 1, "This business has no sender of its own for any texts"),
        (("check", "MG" + "9" * 32), 1, "There is no such sender"),
    ]
    for arguments, code, words in refusals:
        because = () if arguments[0] == "check" else BECAUSE
        refused = command("senders", *(values.get(word, word) for word in arguments), *because)
        assert (refused.exit_code, refused.stdout) == (code, ""), arguments
        assert words in said(refused)
    assert business.connection.execute("select from smsretry.senders").fetchall() == []


def test_a_sender_that_the_provider_does_not_know_is_added_only_unchecked(
    business: Business, account: str, command: Command
) -> None:
    """A number that the account does not own; then the check says so, too."""
    words = ("senders", "add", "+12125550111", "--business", business.id, "--account", account, *BECAUSE)
    refused = command(*words)
    assert refused.exit_code == 1
    assert "It was not added, because it cannot send. number …0111: " in said(refused)
    assert "12125550111" not in refused.output
    assert command(*words, "--unchecked").exit_code == 0
    checked = command("senders", "check")
    assert checked.exit_code == 1
    assert "bad: number …0111: " in checked.stdout
    told = command("doctor")
    assert f"bad  sender …0111 of account {account}: number …0111: " in told.stdout
    assert "12125550111" not in checked.output + told.output


def test_a_text_is_explained_with_its_sender_and_the_lever_that_ends_its_trouble(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command, account: str, own: str
) -> None:
    """The lever is pulled as it is told, and the text goes out."""
    row = business.due_text()
    command("senders", "pause", own, "--because", "It is suspended")
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Held"]
    told = command("explain", "--row", row).stdout
    assert "sender …0006\n" in told
    assert (
        f"You can: let its sender send again, once that is fixed (smsretry senders resume {own} --because '…')" in told
    )
    status = command("status")
    assert status.exit_code == 1
    assert f"Maple Street Dental: sender …0006: account {account}: paused: It is suspended, texts 1" in status.stdout
    assert f"let its sender send again, once that is fixed (smsretry senders resume {own} --because '…')" in said(
        status
    )
    assert "senders that need somebody 1" in said(status)
    assert (
        'smsretry_sender_texts{smsretry_sender="…0006",smsretry_why="sender_paused"} 1'
        in command("status", "--prometheus").stdout
    )
    assert "Texts that waited and are due now: 1." in command("senders", "resume", own, *BECAUSE).stdout
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Sent"]


def test_a_text_without_a_sender_of_its_own_names_the_environment_s(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command, account: str
) -> None:
    """As the last run told it. The list has it, too."""
    claim_due(queue, 1, default=sender.default)
    row = business.due_text()
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Sent"]
    business.due_text(due=HOUR)
    assert "sender …0006" in command("explain", "--row", row).stdout
    assert command("senders").stdout.startswith(
        f"senders 1\nsender of the environment, …0006 of account {account}: sending; 1 business; waiting 1"
    )


@pytest.mark.parametrize(
    ("why_code", "lever"),
    [
        (
            "no_credentials",
            "give the runner credentials for account {account}, then let its sender try again now "
            "(smsretry senders resume {own} --because '…')",
        ),
        (
            "day_spent",
            "raise its sender's cap, if the carriers take more in a day (smsretry senders change {own} --because '…')",
        ),
        ("account_refused", "ask the provider what is wrong with its sender (smsretry senders check {own})"),
        ("quiet_hours", None),
    ],
)
def test_each_trouble_of_a_sender_has_its_lever(
    business: Business, command: Command, account: str, own: str, why_code: str, lever: str | None
) -> None:
    """And what is no trouble of a sender has none."""
    row = business.due_text(due=HOUR)
    business.connection.execute("update sms_retry_queue set why = 'It waits', why_code = %s", [why_code])
    told = command("explain", "--row", row).stdout
    if lever:
        assert f"You can: {lever.format(account=account, own=own)}" in told
    else:
        assert "senders" not in told


def test_a_due_text_whose_sender_is_too_slow_says_so_with_the_lever(
    business: Business, command: Command, own: str
) -> None:
    """Once the rate is raised, the next run takes it."""
    command("senders", "change", own, "--rate", 0.01, *BECAUSE)
    row, *_ = (business.due_text() for _ in range(7))
    told = command("explain", "--row", row).stdout
    assert told.startswith("Due, but its sender's rate of 0.01 a second takes 12 min or more for the 7 that are due")
    assert (
        f"You can: raise its sender's rate, if the provider takes more in a second (smsretry senders change {own}"
        in told
    )
    command("senders", "change", own, "--rate", 1, *BECAUSE)
    assert command("explain", "--row", row).stdout.startswith("Due, the next run takes it")


def test_a_stopped_sender_stops_the_preview_of_its_own_texts_alone(
    business: Business, command: Command, own: str
) -> None:
    """And explain says the same of a text."""
    other = Business(business.connection, business.now).open()
    other.due_text()
    row = business.due_text()
    business.connection.execute(
        """insert into smsretry.stops (kind, subject, since, why)
           select 'sender', id::text, smsretry.clock(), 'Twilio 30034' from smsretry.senders where sent_by = %s""",
        [SENDER],
    )
    told = command("preview", "--hours", 1).stdout
    assert told.startswith("1 to go out in the next 1 h, 1 not")
    assert "1: Its sender is stopped: Twilio 30034" in told
    explained = command("explain", "--row", row).stdout
    assert "(Its sender is stopped: Twilio 30034)" in explained
    assert f"ask the provider what is wrong with its sender (smsretry senders check {own})" in explained


def test_an_attempt_that_went_out_from_another_sender_says_so(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command, account: str, own: str
) -> None:
    """The business has moved since."""
    row = business.due_text()
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Sent"]
    assert "; from " not in command("explain", "--row", row).stdout
    service = "MG" + "7" * 32
    to = ("--business", business.id, "--account", account, *BECAUSE)
    command("senders", "add", service, *to, "--replace", "--unchecked")
    told = command("explain", "--row", row).stdout
    assert f"sender {service}\n" in told
    assert "; from …0006;" in told
