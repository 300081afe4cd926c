"""Whatever an id is of, its text is found; and where the queue has none, what the application sent itself."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from smsretry.desk.questions.explanation import NO_TEXT
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import PHONE, SID
from tests.support.shop import Shop


def _send_log(
    business: Business, customer: UUID | None = None, /, **values: object
) -> UUID:
    """A send log that the application wrote, and that was never queued."""
    log = business.send_log(customer or business.customer())
    written = {
        "status": "sent",
        "provider_message_id": json.dumps({"twilio_sid": SID}),
        "created_at": business.now(),
    }
    for column, value in (written | values).items():
        business.connection.execute(
            f"update send_logs set {column} = %s where id = %s".encode(), [value, log]
        )
    return log


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "The application sent it itself, or the record of its row is pruned"),
        (
            {
                "status": "failed",
                "provider_message_id": None,
                "error_message": f"Refused {PHONE}",
            },
            "It was never queued, and nothing says that it was sent: Refused …",
        ),
    ],
)
def test_a_text_that_was_never_queued_is_shown_as_what_it_is(
    business: Business, command: Command, values: dict[str, object], shown: str
) -> None:
    """By its send log and by its customer. Evidence proves only what it proves."""
    customer = business.customer()
    log = _send_log(business, customer, **values)
    _send_log(business, customer, channel="email")
    for given in (log, customer):
        answer = command("explain", given)
        assert (answer.exit_code, answer.stdout.startswith(shown)) == (0, True), (
            answer.output
        )
        assert (SID in answer.stdout) == (not values)
        assert answer.stdout.count(f"send log {log}") == 1


def test_what_nothing_has_is_said_to_be_nobody_s(
    business: Business, command: Command
) -> None:
    """An id, a number, last digits; an email is no text. A number that cannot be is refused and not repeated."""
    for words, stdin in (
        (("explain", uuid4()), None),
        (("explain", business.id), None),
        (("explain", _send_log(business, channel="email")), None),
        (("explain", "-"), "+12125550188\n"),
    ):
        result = command(*words, stdin=stdin)
        assert (result.exit_code, " ".join(result.stdout.split())) == (1, NO_TEXT)
    refused = command(
        "explain", "-", stdin="+1 212-555-012\n", SUPABASE_URL="http://127.0.0.1:9"
    )
    assert (refused.exit_code, refused.stdout, "012" in refused.output) == (
        64,
        "",
        False,
    )
    assert refused.stderr.startswith(
        "Error: ID Phone number has the wrong length for its country: write it with its "
    )


def test_a_text_is_found_by_what_people_have(shop: Shop, command: Command) -> None:
    """A message's SID, a number or its last four digits, an id of any kind; and the texts of a business by its name."""
    row = shop.due_text(phone="+12125550199")
    shop.due_text()
    shop.run()
    [attempt], ids = shop.attempts_of(row), shop.row(row)
    known = (attempt["twilio_sid"], attempt["id"], "0199", row)
    for found_by in (*known, ids["customer_id"], ids["send_log_id"]):
        [story] = json.loads(command("explain", found_by, "--json").stdout)["texts"]
        assert story["text"]["retry_id"] == str(row), found_by
    shown = command("explain", "-", stdin="212-555-0199\n").stdout
    assert (f"row {row}" in shown, "5550199" in shown) == (True, False)
    assert command("explain", "SM" + "0" * 32).exit_code == 1
    shop.neighbor().due_text()
    shop.sql("update businesses set name = 'Oak Lane ' || id where id <> %s", shop.id)
    shop.sql("update businesses set name = 'Oak' where id = %s", shop.id)
    listed = command("texts", "list", "--business", "oak", "--json").stdout
    assert len(json.loads(listed)["texts"]) == 2
    shop.sql("update businesses set name = 'Oak Lane ' || id")
    for name, choice in (("oak", str(shop.id)), ("Elm", "No business is called so")):
        refused = command("texts", "list", "--business", name)
        assert (refused.exit_code, choice in refused.stderr) == (1, True), name
    planned = shop.scheduled(due=timedelta(hours=5))
    assert "Scheduled, it is queued" in command("explain", planned).stdout


def test_a_list_ends_where_it_is_said_to(shop: Shop, command: Command) -> None:
    """By when a text last changed."""
    shop.due_text(phone=None)
    shop.run()
    for since, until, texts in (
        ("2027-01-12T16:00", "2027-01-12T18:00", 1),
        ("2027-01-12T15:00", "2027-01-12T16:00", 0),
        ("2027-01-12T18:00", "2027-01-12T19:00", 0),
    ):
        listed = command(
            "texts", "list", "--since", since, "--until", until, "--json"
        ).stdout
        assert len(json.loads(listed)["texts"]) == texts


def test_only_where_all_are_meant_does_an_order_take_all_for_a_business(
    shop: Shop, command: Command
) -> None:
    """Elsewhere it is a name that no business has. What was not stopped is not said to be lifted."""
    signed = ("--because", "It is over")
    for words in (
        ("texts", "list"),
        ("texts", "requeue"),
        ("texts", "cancel"),
        ("texts", "look-again"),
        ("senders", "list"),
        ("senders", "remove", *signed),
        ("stop", "--lift", *signed),
    ):
        refused = command(*words, "--business", "all")
        assert (refused.exit_code, refused.stdout) == (1, ""), words
        assert "No business is called so" in refused.stderr, words
    for subject in (("--business", shop.id), ("LA",)):
        undone = command("stop", *subject, "--lift", *signed)
        assert undone.exit_code == 1
        assert undone.stdout.startswith(
            "It was not stopped, so there was nothing to lift"
        )
        assert command("stop", *subject, *signed).exit_code == 0
        assert command("stop", *subject, "--lift", *signed).exit_code == 0
