"""What has stopped, from run to run: one table, and one text that tries it."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import DropUnaccepted, JsonError
from smsretry.vocabulary import StopKind
from tests.conftest import Business
from tests.integration.worker.senders import DEFAULT, account, add_texts, by_business, claim, give_sender, shops
from tests.support.builders import fates_of, run_over
from tests.support.senders import open_account


def stops(business: Business) -> list[tuple[str, str]]:
    """Kind and subject of what has stopped."""
    found = business.connection.execute("select kind, subject from smsretry.stops order by kind, subject").fetchall()
    return [(row["kind"], row["subject"]) for row in found]


def test_an_outage_stops_everybody_and_a_text_that_goes_out_lifts_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A few texts are in doubt, and the others stay as they are; each run tries one. Nothing is sent twice."""
    own = shops(business.connection, 3)
    for number, shop in enumerate(own):
        sent_by = give_sender(business.connection, number, [shop])
        open_account(stack, account(number), "token", subaccount=True, senders=[sent_by])
        add_texts(business.connection, shop, 5)
    for _ in range(5):
        business.due_text()
    stack.twilio.fail(DropUnaccepted(), times=None)
    first = Counter(fates_of(run_over(queue, sender)))
    assert 0 < first["InDoubt"] <= 10
    assert ("everybody", "") in stops(business)
    assert Counter(fates_of(run_over(queue, sender)))["InDoubt"] <= 1
    stack.twilio.heal()
    stack.move_clock(timedelta(minutes=30))
    for _ in range(6):
        fates_of(run_over(queue, sender))
        stack.move_clock(timedelta(minutes=10))
    assert ("everybody", "") not in stops(business)
    assert len(stack.twilio.ledger.entries()) == 20


def test_a_refused_account_stops_its_sender_and_no_other(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It costs no text anything: what was tried is held, and the others go back."""
    rows = [business.due_text(phone=f"+1212555{n:04}") for n in range(30)]
    stack.twilio.fail(JsonError(20003, http_status=401), times=None)
    fates = Counter(fates_of(run_over(queue, sender)))
    assert set(fates) == {"Held", "GivenBack"}
    assert [kind for kind, _ in stops(business)] == ["sender"]
    assert Counter(fates_of(run_over(queue, sender))).total() == 1, "one tries"
    stack.twilio.heal()
    for _ in range(3):
        stack.move_clock(timedelta(minutes=30))
        fates_of(run_over(queue, sender))
    assert stops(business) == []
    assert {business.row(row)["status"] for row in rows} == {"completed"}


STOPS: list[StopKind] = ["everybody", "sender", "business"]


@pytest.mark.parametrize("kind", STOPS)
def test_of_what_has_stopped_one_text_is_claimed(business: Business, queue: SupabaseQueue, kind: StopKind) -> None:
    """Others' are claimed as ever, but where everybody has stopped."""
    stopped, other = shops(business.connection, 2)
    give_sender(business.connection, 1, [stopped])
    [row] = business.connection.execute("select id from smsretry.senders").fetchall()
    subjects: dict[StopKind, str] = {"everybody": "", "sender": str(row["id"]), "business": str(stopped)}
    for shop in (stopped, other):
        add_texts(business.connection, shop, 5)
    queue.set_stop(kind, subjects[kind], "It failed")
    batch = queue.claim_texts(50, default=DEFAULT)
    assert [*batch.stops] == [(kind, subjects[kind])]
    if kind == "everybody":
        assert len(batch.texts) == 1
    else:
        assert by_business(list(batch.texts)) == {stopped: 1, other: 5}
        assert queue.claim_texts(50, default=DEFAULT, without={subjects[kind]}).texts == []
    queue.set_stop(kind, subjects[kind], None)
    assert len(claim(queue)) == (9 if kind == "everybody" else 4)


def test_a_stop_of_what_is_gone_is_not_remembered(business: Business, queue: SupabaseQueue) -> None:
    """A sender that was removed meanwhile."""
    queue.set_stop("sender", str(UUID(int=5)), "It failed")
    assert stops(business) == []
