"""The desk's commands against the stack: they say what the desk and the database say, and act when told to."""

import getpass
import json
import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Preview, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from smsretry.settings import Settings
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import BODY, PHONE, SID, fates_of, run_over

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def desk(operators: SupabaseOperators, settings: Settings) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=settings.profile, meaning=code_meaning)


@pytest.fixture
def failed(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio refused for good, once."""
    row = business.due_text()
    stack.twilio.fail(JsonError(21612, http_status=400))
    assert fates_of(run_over(queue, sender)) == ["Failed"]
    return row


@pytest.fixture
def doubtful(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio took, while its answer was lost."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert fates_of(run_over(queue, sender)) == ["InDoubt"]
    return row


def _once(told: str) -> str:
    """Words as they follow each other, however the lines were folded."""
    return " ".join(told.split())


def test_a_text_is_explained_in_the_desk_s_own_words_whichever_way_it_is_found(
    desk: Desk, business: Business, command: Command, failed: UUID
) -> None:
    """By customer, send log, row, last digits, and by a number from standard input. No number and no body is told."""
    row = business.row(failed)
    lines = list(desk.explain(WhichText(retry_id=failed))[0].lines())
    for found in (
        command("explain", "--row", failed),
        command("explain", "--customer", row["customer_id"]),
        command("explain", "--send-log", row["send_log_id"]),
        command("explain", "--business", business.id, "--last-digits", "0123"),
        command("explain", "-", stdin=f"{PHONE}\n"),
        command("explain", "-", stdin="212-555-0123\n"),
    ):
        assert (found.exit_code, found.stderr) == (0, "")
        assert _minutes_apart(_once(found.stdout), _once(" ".join(lines)))
        assert PHONE not in found.stdout
        assert BODY not in found.stdout


def _minutes_apart(told: str, wanted: str) -> bool:
    """Whether they are the same but for how long ago it was."""
    ago = re.compile(r"\d+ (s|min) ago")
    return ago.sub("ago", told) == ago.sub("ago", wanted)


def test_a_number_that_cannot_be_is_refused_in_one_line_and_not_repeated(command: Command) -> None:
    """Before the database is asked."""
    for given, why in (
        ("+1 212-555-012\n", "Phone number has the wrong length for its country: write it with its country code"),
        ("020 7946 0123\n", "The country or the area code of this number is not known: write it with its country"),
        ("(212) 555-0123\n(212) 555-0124\n", "standard input has 2 lines: give one number at a time."),
    ):
        refused = command("explain", "-", stdin=given, SUPABASE_URL="http://127.0.0.1:9")
        assert (refused.exit_code, refused.stdout) == (64, "")
        assert refused.stderr.startswith(f"Error: {why}")
        assert "012\n" not in refused.output
        assert "0123" not in refused.output


def test_sql_the_command_and_the_desk_tell_the_same_story(
    stack: Stack, desk: Desk, business: Business, command: Command, failed: UUID, doubtful: UUID
) -> None:
    """The same state, code and attempts of each text, and the same numbers of all."""
    waiting = business.due_text(due=timedelta(hours=2))
    for row in (failed, doubtful, waiting):
        [by_sql] = business.connection.execute("select * from explain_sms(%s)", [row]).fetchall()
        [by_command] = json.loads(command("explain", "--row", row, "--json").stdout)["texts"]
        [by_desk] = desk.explain(WhichText(retry_id=row))
        told = by_command["text"]
        for name in ("state", "code", "attempts", "max_attempts", "why", "can", "number"):
            assert told[name] == by_sql[name] == json.loads(by_desk.text.model_dump_json())[name], name
        assert [attempt["outcome"] for attempt in told["history"]] == [
            attempt.outcome for attempt in by_desk.text.history
        ]
        assert by_command["headline"].split(" (since")[0] == by_desk.headline.split(" (since")[0]
    lines = business.connection.execute("select * from sms_status()").fetchall()
    by_sql = {line["name"]: line["texts"] for line in lines if line["part"] == "queue"}
    assert json.loads(command("status", "--json").stdout)["queue"] == by_sql == desk.status().queue
    assert by_sql == {"in_doubt": 1, "waiting": 1}
    assert command("status").stdout.startswith("waiting 1 · in doubt 1\n")


def test_requeueing_changes_nothing_until_somebody_says_yes_and_why(
    desk: Desk, business: Business, command: Command, failed: UUID
) -> None:
    """Who is the login name. The text's story tells of it."""
    before = business.row(failed)
    tried = command("texts", "requeue", "--code", "21612", "--since", "2027-01-12")
    assert tried.stdout.startswith("Would requeue 1 of 1 that match.\n")
    assert f"    row {failed}, customer " in tried.stdout
    again = "Do it (smsretry texts requeue --code 21612 --since 2027-01-12T00:00:00Z --yes --because '…')\n"
    assert f"Nothing was changed: it was only tried. {again}" in tried.stdout
    assert business.row(failed) == before
    done = command("texts", "requeue", "--row", failed, "--yes", "--because", "The sender was mended", "--json")
    assert (json.loads(done.stdout)["dry_run"], json.loads(done.stdout)["changed"]) == (False, 1)
    event = desk.explain(WhichText(retry_id=failed))[0].text.events[-1]
    assert (event.who, event.because) == (getpass.getuser(), "The sender was mended")
    none = command("texts", "requeue", "--row", failed)
    assert (none.exit_code, none.stdout.splitlines()[0]) == (1, "Would requeue 0 of 1: It has not ended, it is due")
    none = command("texts", "requeue", "--code", "30003")
    assert (none.exit_code, none.stderr) == (1, "")
    assert none.stdout == "Would requeue nothing: no text matches everything that was given\n"


def test_texts_changed_before_a_date_are_found_by_it(command: Command, failed: UUID) -> None:
    """A date is the start of its day, and `until` excludes it."""
    assert command("texts", "requeue", "--until", "2027-01-12").exit_code == 1
    assert command("texts", "requeue", "--since", "2027-01-13").exit_code == 1
    assert command("texts", "requeue", "--since", "2027-01-12", "--until", "2027-01-13").exit_code == 0


def test_a_doubt_is_resolved_once(business: Business, command: Command, doubtful: UUID) -> None:
    """Afterwards there is no doubt to resolve."""
    answer = ("texts", "resolve", "--row", doubtful, "--send-again", "--because", "It is not in the log")
    assert command(*answer).stdout.startswith("It will be sent again, with every check.\n")
    assert business.row(doubtful)["in_doubt_since"] is None
    again = command(*answer, "--json")
    assert (again.exit_code, json.loads(again.stdout)["answer"]) == (1, "not_in_doubt")
    assert command(*answer).stdout.startswith("It is not in doubt, or a worker is looking for it at this moment")


def test_an_id_that_is_none_of_the_providers_resolves_no_doubt(
    business: Business, command: Command, doubtful: UUID
) -> None:
    """A digit was lost on the way from the provider's log."""
    refused = command("texts", "resolve", "--row", doubtful, "--went-out-as", SID[:-1], "--because", "I saw it")
    assert refused.exit_code != 0
    assert "A message's SID at Twilio is SM or MM, and 32 hexadecimal digits" in refused.stderr
    assert business.row(doubtful)["in_doubt_since"] is not None


def test_the_preview_draws_the_hours_in_which_texts_go_out(
    stack: Stack, desk: Desk, business: Business, command: Command
) -> None:
    """Hours without a text are left out. The numbers are the desk's."""
    stack.set_clock(stack.now() + timedelta(hours=10))  # 22:00 in New York
    business.due_text()
    for _ in range(2):
        business.due_text(due=timedelta(hours=13, minutes=5))
    business.due_text(phone=None)
    told = command("preview", columns=80)
    assert told.stdout.splitlines()[:4] == [
        "3 to go out in the next 24 h, 1 not",
        "by hour:",
        f"  from Wed 13 Jan 13:00 UTC  {'█' * 15} 1",
        f"  from Wed 13 Jan 16:00 UTC  {'█' * 30} 2",
    ]
    assert "Maple Street Dental: go out 3, end 1\n  1: Customer has no phone number\n" in told.stdout
    as_json = json.loads(command("preview", "--json").stdout)
    ahead = desk.preview(Preview())
    assert (as_json["go_out"], as_json["businesses"]) == (
        ahead.go_out,
        json.loads(ahead.model_dump_json())["businesses"],
    )
    assert "0 to go out in the next 24 h" in command("preview", "--business", uuid4()).stdout


@pytest.mark.parametrize("columns", [80, 160])
def test_no_id_is_cut_and_no_line_is_too_long(
    stack: Stack, business: Business, command: Command, failed: UUID, doubtful: UUID, columns: int
) -> None:
    """Whatever is shown, in a terminal of either width. Only an address that is longer may reach beyond it."""
    business.due_text(timezone="Asia/Kolkata", phone="+912255501234")
    for arguments in (
        ("explain", "--row", failed),
        ("explain", "--row", doubtful),
        ("status",),
        ("preview",),
        ("texts", "requeue", "--code", 21612),
        ("texts", "cancel", "--business", business.id),
        ("texts", "--row", doubtful),
        ("doctor",),
        ("process",),
        ("quiet-hours", PHONE),
    ):
        told = command(*arguments, columns=columns).output
        assert told.count("…") <= sum(map(told.count, ("…0123", "…1234", f"…{SENDER[-4:]}", "SM…", "'…'")))
        assert len(re.findall(r"[0-9a-f]{8}-", told)) == len(_ID.findall(told))
        assert [line for line in told.splitlines() if len(line) > columns and " " in line.strip()] == []


def test_what_the_application_stored_cannot_steer_the_terminal(
    business: Business, command: Command, failed: UUID
) -> None:
    """Neither by control characters nor by what a library takes for markup."""
    name = "\x1b[2J[red]Maple[/red] :smile: \u202e[/]"
    business.connection.execute("update businesses set name = %s where id = %s", [name, business.id])
    told = command("explain", "--row", failed).stdout
    assert "To …0123, for �[2J[red]Maple[/red] :smile: �[/]\n" in told
