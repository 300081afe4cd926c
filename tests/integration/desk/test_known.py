"""What is said where the queue has no text: the application sent it itself, the customer had none, no such id."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.questions.explanation import NOTHING
from smsretry.settings import Settings
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import PHONE, SID, fates_of, run_over


@pytest.fixture
def desk(operators: SupabaseOperators, settings: Settings) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=settings.profile, meaning=code_meaning)


def _send_log(business: Business, customer: UUID | None = None, /, **values: object) -> UUID:
    """A send log that the application wrote, and that was never queued."""
    log = business.send_log(customer or business.customer())
    written = {"status": "sent", "provider_message_id": json.dumps({"twilio_sid": SID}), "created_at": business.now()}
    for column, value in (written | values).items():
        business.connection.execute(f"update send_logs set {column} = %s where id = %s".encode(), [value, log])
    return log


def _run(queue: SupabaseQueue, sender: TwilioSender) -> None:
    """From its first run on smsretry's records are complete."""
    fates_of(run_over(queue, sender))


def test_a_text_that_the_application_sent_itself_is_told_with_its_sid(business: Business, command: Command) -> None:
    """It is an answer, so the exit code is 0."""
    log = _send_log(business)
    told = command("explain", "--send-log", log)
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.startswith(
        "The application sent it itself, or smsretry's record of it is pruned. Its send log says sent, "
        f"SID {SID}\nsend log {log}\ncustomer "
    )
    assert command("explain", log).stdout == told.stdout
    as_json = json.loads(command("explain", log, "--json").stdout)
    assert (as_json["name"], as_json["texts"], as_json["known"][0]["sid"]) == ("no text: a send log", [], SID)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"channel": "email"}, "This was sent by email, and smsretry sends texts only"),
        (
            {"status": "failed", "provider_message_id": None, "error_message": f"Refused {PHONE}"},
            "It was never queued, and nothing says that it was sent, or smsretry's record of it is pruned. "
            "Its send log says failed: Refused …",
        ),
    ],
    ids=["email", "not sent"],
)
def test_a_send_log_that_was_never_queued_is_told_as_what_it_is(
    business: Business, desk: Desk, values: dict[str, object], told: str
) -> None:
    """Evidence proves only what it proves."""
    [known] = desk.find(WhichText(id=_send_log(business, **values))).known
    assert known.headline.startswith(told)


def test_a_customer_without_texts_exists_and_had_none(business: Business, command: Command) -> None:
    """With how many the application sent itself. Emails and what was not sent are none."""
    customer = business.customer()
    assert "no text through the queue; the application itself sent none\n" in (
        command("explain", "--customer", customer).stdout
    )
    _send_log(business, customer)
    _send_log(business, customer, channel="email")
    _send_log(business, customer, status="failed", provider_message_id=None)
    for told in (
        command("explain", "--customer", customer),
        command("explain", "-", stdin=f"{PHONE}\n"),
        command("explain", "--business", business.id, "--last-digits", PHONE[-4:]),
    ):
        assert told.exit_code == 0
        assert f"sent 1. The last one that it sent was made on Tue 12 Jan 17:00 UTC, SID {SID}\n" in told.stdout
        assert PHONE not in told.stdout


def test_an_id_is_found_whichever_kind_it_is_of(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, desk: Desk
) -> None:
    """In the field for any id, and in each of the others."""
    row = business.due_text()
    _run(queue, sender)
    found = business.row(row)
    [attempt] = business.attempts_of(row)
    for given in (row, found["send_log_id"], found["customer_id"], attempt["id"]):
        for field in ("id", "retry_id", "send_log_id", "customer_id"):
            [text] = desk.find(WhichText(**{field: given})).texts
            assert text.text.retry_id == row
    planned = business.scheduled(due=timedelta(hours=5))
    assert [one.text.state for one in desk.find(WhichText(send_log_id=planned)).texts] == ["scheduled"]


def test_an_id_of_something_else_says_of_what(business: Business, command: Command) -> None:
    """And how to ask. Exit code 1: it is no answer."""
    told = command("explain", business.id)
    assert (told.exit_code, told.stderr) == (1, "")
    assert told.stdout.startswith("This is a business's id: give a customer's, or the number's last digits")


def test_what_nothing_has_is_said_to_be_nobody_s(business: Business, desk: Desk, command: Command) -> None:
    """An id, a number, last digits."""
    for words, stdin in (
        (("explain", uuid4()), None),
        (("explain", "--row", uuid4()), None),
        (("explain", "-"), f"{PHONE}\n"),
        (("explain", "--business", business.id, "--last-digits", "999"), None),
    ):
        told = command(*words, stdin=stdin)
        assert (told.exit_code, told.stdout) == (1, f"{NOTHING}\n")
    assert desk.find(WhichText(id=uuid4())).name == "nothing found"


def test_a_number_is_no_argument(command: Command) -> None:
    """It would stay in the shell's history; it is not repeated either."""
    for number in (PHONE, "(212) 555-0123", "212-555-0123", "5b0c5f0e"):
        told = command("explain", number)
        assert (told.exit_code, told.stdout) == (64, "")
        assert number not in told.stderr or number == "5b0c5f0e"
