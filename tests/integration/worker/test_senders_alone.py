"""Several accounts and senders in one run: one's trouble is its own, and the provider's is found at a bounded cost."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.faults import HtmlError
from smsretry.sending.probes import AT_FIRST, PROBES
from smsretry.sending.run import run_once
from smsretry.sending.tally import IN_A_ROW
from tests.conftest import Business
from tests.support.builders import run, run_over
from tests.support.senders import open_account, texts_from


def shop(stack: Stack, business: Business, place: int) -> tuple[Business, Account]:
    """A business with a subaccount of its own."""
    number = f"+120255502{place:02}"
    account = open_account(stack, number=number)
    own = Business(business.connection, stack.now, id=uuid4()).open()
    texts_from(business.connection, own.id, account.sid, number)
    return own, account


def circuits(business: Business) -> set[str]:
    """Senders whose circuit is open."""
    return {row["sender"] for row in business.connection.execute("select sender from smsretry.circuit").fetchall()}


def test_a_suspended_subaccount_holds_up_nobody_else_and_goes_on_when_it_is_active_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Minute by minute, one text of it is tried. None of its texts is lost or used up."""
    (barber, suspended), (dentist, _) = shop(stack, business, 1), shop(stack, business, 2)
    suspended.status = "suspended"
    waiting = [barber.due_text(phone=f"+121255501{n:02}", due=timedelta(days=-1)) for n in range(12)]
    for minute in range(3):
        rows = [(one, one.due_text(phone=f"+164655501{minute}{n}")) for n, one in enumerate((dentist, business))]
        before, of_a_run = stack.twilio.posts, run_over(queue, sender)
        _, summary = run_once(of_a_run)
        assert [one.row(row)["status"] for one, row in rows] == ["completed", "completed"]
        assert (circuits(business), summary.needs_somebody) == ({f"+120255502{1:02}"}, False)
        assert [(each.sender, each.is_news) for each in summary.stopped_senders] == [("…0201", minute == 0)]
        assert stack.twilio.posts - before <= 2 + (1 if minute else IN_A_ROW)
        stack.move_clock(timedelta(minutes=1))
    assert {barber.row(row)["attempt_count"] for row in waiting} == {0}
    suspended.status = "active"
    for _ in range(20):
        stack.move_clock(timedelta(minutes=1))
        run(queue, sender)
    assert {barber.row(row)["status"] for row in waiting} == {"completed"}
    assert circuits(business) == set()


def test_an_outage_costs_no_more_over_many_accounts_and_passes_for_all(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Each account's own breaker would have tried three texts of each."""
    shops = [shop(stack, business, place)[0] for place in range(1, 16)]
    rows = [(one, one.due_text(phone=f"+16465550{n}{m:02}")) for n in range(3) for m, one in enumerate(shops)]
    stack.twilio.fail(HtmlError(http_status=503), times=None)
    before = stack.twilio.posts
    _, summary = run_once(run_over(queue, sender))
    assert stack.twilio.posts - before <= AT_FIRST + IN_A_ROW + PROBES
    assert summary.circuit_open
    assert "" in circuits(business)
    stack.twilio.heal()
    for _ in range(30):  # what came into doubt is looked for over 21 minutes
        stack.move_clock(timedelta(minutes=1))
        run(queue, sender)
    assert {one.row(row)["status"] for one, row in rows} == {"completed"}
    assert circuits(business) == set()
    assert len(stack.twilio.ledger.entries()) == len(rows)


@pytest.mark.parametrize("error", [401, 503])
def test_one_account_s_trouble_is_never_called_the_provider_s(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, error: int
) -> None:
    """Whatever it answers, the others were answered, too."""
    sick, *healthy = (shop(stack, business, place)[0] for place in range(1, 7))
    for n in range(5):
        phone = f"+16465550{n:03}"
        stack.twilio.fail(HtmlError(http_status=error), to=phone, times=None)
        sick.due_text(phone=phone)
    rows = [(one, one.due_text(phone=f"+16465551{m}{n:02}")) for n in range(3) for m, one in enumerate(healthy)]
    _, summary = run_once(run_over(queue, sender))
    assert {one.row(row)["status"] for one, row in rows} == {"completed"}
    assert ("" in circuits(business), summary.needs_somebody) == (False, False)
