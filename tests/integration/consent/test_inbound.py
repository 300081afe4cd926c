"""Somebody texts STOP, START or HELP: what it does to consent, wherever the number is known."""

from datetime import timedelta
from typing import Final

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Prune
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import another, consents, hear
from tests.support.builders import PHONE, run


def test_a_stop_ends_consent_at_every_business_and_cancels_what_waits(stack: Stack, business: Business) -> None:
    """They share the sender, and Twilio blocks the number for it."""
    other = Business(business.connection, stack.now).open()
    rows = [business.due_text(), other.due_text(due=timedelta(hours=1)), business.due_text(phone="+12125550124")]
    assert hear(business, "STOP") == ("opted_out", 2, 2)
    assert consents(business) == [("opted_in", None), *[("opted_out", "inbound_stop")] * 2]
    assert [business.row(row)["status"] for row in rows] == ["cancelled", "cancelled", "pending"]


WORDS: Final[list[tuple[str | None, str | None, str]]] = [
    (None, " Stop\n", "opted_out"),
    ("", "UNSUBSCRIBE", "opted_out"),
    (None, "unstop", "opted_in"),
    (None, "STOP PLEASE", "opted_out"),
    (None, "st\u200bop 🙏", "opted_out"),
    (None, "help", "nothing"),
    ("HELP", "help", "nothing"),
    ("HELP", "stop", "opted_out"),
    ("help", "help me stop these texts", "unsure"),
    ("HELP", "start", "nothing"),
    ("HELP", "yes", "nothing"),
    (None, "yes please", "nothing"),
    (None, "See you at nine", "nothing"),
    ("SOMETHING NEW", "?", "nothing"),
    ("SOMETHING NEW", "opt out", "opted_out"),
    ("SOMETHING NEW", "start", "nothing"),
    ("STOP", "Começar", "opted_out"),
    ("START", "stop", "opted_in"),
    (None, None, "nothing"),
]


def test_twilio_says_what_it_is_and_without_that_the_body_does(
    business: Business, operators: SupabaseOperators
) -> None:
    """Its keywords are what the account has set up, and HELP hides no STOP. What is plain needs nobody."""
    for opt_out_type, body, answer in WORDS:
        business.connection.execute("delete from customers; delete from smsretry.consents")
        text = business.due_text(due=timedelta(hours=1))
        assert hear(business, opt_out_type, body)[0] == answer, (opt_out_type, body)
        out = answer == "opted_out"
        assert business.row(text)["status"] == ("cancelled" if out else "pending")
        assert consents(business)[0][0] == ("opted_out" if out else "opted_in")
        if answer != "unsure":
            assert QueueStatus.of(operators.status()).needs_somebody == ("no run has finished lately",)
        business.connection.execute("delete from smsretry.inbound_texts")


@pytest.mark.parametrize("phone", [" 12125550123", "12125550123", "rcs:+12125550123"])
def test_a_number_that_was_read_wrongly_from_the_form_is_that_number(business: Business, phone: str) -> None:
    """A plus sign is a space in a form; and a STOP by RCS counts for SMS, too."""
    business.customer()
    assert hear(business, "STOP", phone=phone) == ("opted_out", 1, 0)


@pytest.mark.parametrize("body", ["STOP", "please stop texting me"])
def test_a_stop_to_their_last_text_holds_for_who_is_deleted_and_imported_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, body: str
) -> None:
    """At each business that shares the sender: the provider blocks them there. A START takes it back."""
    business.due_text()
    assert run(queue, sender) == ["Sent"]
    business.connection.execute("delete from customers")
    assert hear(business, body=body)[0] == "opted_out"
    business.due_text()
    another(business).due_text()
    assert run(queue, sender) == ["Cancelled", "Cancelled"]
    stack.move_clock(timedelta(minutes=1))
    business.connection.execute("delete from customers")
    hear(business, body="start")
    business.due_text()
    assert run(queue, sender) == ["Sent"]


def test_a_stop_counts_for_who_gets_the_number_later(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """No customer had it, or only in a spelling that is held. A START takes it back."""
    held = business.due_text(phone="+4407911123456", timezone="Europe/London")
    assert run(queue, sender) == ["Held"]
    assert hear(business, "STOP", phone="+447911123456") == ("opted_out", 0, 0)
    business.connection.execute("update customers set phone = '+447911123456'")
    stack.move_clock(timedelta(minutes=16))
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(held)["why_code"] == "opted_out"
    assert hear(business, "START", phone="+447911123456")[0] == "opted_in"
    business.due_text(phone="+447911123456", timezone="Europe/London")
    assert run(queue, sender) == ["Sent"]


def test_a_number_that_nobody_has_and_a_short_code_are_no_error(business: Business) -> None:
    """A webhook that answers with an error would be called again."""
    assert hear(business, "STOP") == ("opted_out", 0, 0)
    assert hear(business, "STOP", phone="72975") == ("opted_out", 0, 0)


@pytest.mark.parametrize(
    ("days", "keep_days", "kept"), [(89, 7, True), (91, 7, False), (91, 90, False), (91, 100, True)]
)
def test_an_old_stop_is_known_for_90_days_at_least(
    stack: Stack, business: Business, operators: SupabaseOperators, days: int, keep_days: int, kept: bool
) -> None:
    """However short texts are kept: its signature never expires. After that its name takes no room."""
    hear(business, "STOP", sid="SM" + "f" * 32)
    stack.move_clock(timedelta(days=days))
    operators.carry_out(Prune(keep_days=keep_days))
    assert hear(business, "STOP", sid="SM" + "f" * 32)[0] == ("already_recorded" if kept else "opted_out")


def test_an_old_start_undoes_no_later_stop(stack: Stack, business: Business, operators: SupabaseOperators) -> None:
    """Its webhook is still signed rightly after ten years."""
    business.customer(phone=PHONE)
    hear(business, "STOP")
    hear(business, "START", sid="SM" + "f" * 32)
    stack.move_clock(timedelta(minutes=1))
    hear(business, "STOP")
    stack.move_clock(timedelta(days=3650))
    operators.carry_out(Prune(keep_days=7))
    assert hear(business, "START", sid="SM" + "f" * 32)[0] == "already_recorded"
    assert consents(business) == [("opted_out", "inbound_stop")]


def test_a_start_that_had_to_wait_gives_nothing_back_if_a_stop_came_meanwhile(stack: Stack, business: Business) -> None:
    """Its word was kept before it waited for the customer's lock, so the STOP follows it."""
    business.customer()
    hear(business, "STOP")
    with stack.connect() as starting, starting.transaction():
        starting.execute("select from record_inbound_sms(%s, %s, body => 'START')", [PHONE, "SM" + "5" * 32])
        with stack.connect() as other:
            other.execute("select from record_inbound_sms(%s, %s, body => 'STOP')", [PHONE, "SM" + "6" * 32])
    assert hear(business, "STOP", sid="SM" + "6" * 32)[0] == "already_recorded"
    assert consents(business) == [("opted_out", "inbound_stop")]


@pytest.mark.parametrize("consent", ["opted_in", "opted_out"])
def test_a_stop_is_kept_once(stack: Stack, business: Business, consent: str) -> None:
    """Before the customer's row is written, whose trigger finds it there; also if the row says so already."""
    business.customer(consent=consent)
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "STOP") == ("opted_out", 1, 0)
    kept = business.connection.execute("select business_id from smsretry.consents where source = 'inbound_stop'")
    assert {row["business_id"] for row in kept} == {business.id, None}
    assert kept.rowcount == 2
