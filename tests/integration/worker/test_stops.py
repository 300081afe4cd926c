"""What has stopped, from run to run: one table, and one text that tries it."""

from collections import Counter
from uuid import UUID

import pytest

from smsretry.local.twilio.faults import DropUnaccepted
from smsretry.sending import flow_control
from smsretry.sending.flow_control import IN_A_ROW
from smsretry.vocabulary import StopKind
from tests.integration.worker.senders import (
    account,
    add_texts,
    by_business,
    claim,
    give_sender,
    shops,
)
from tests.support.builders import CONCURRENCY
from tests.support.senders import open_account
from tests.support.shop import Shop


def stops(shop: Shop) -> list[str]:
    """The kinds of what has stopped."""
    return [
        row["kind"]
        for row in shop.sql("select kind from smsretry.stops order by kind, subject")
    ]


def test_an_outage_stops_everybody_and_a_text_that_goes_out_lifts_it(
    shop: Shop,
) -> None:
    """Three texts of each business are in doubt, and the others stay as they are; each run tries one. Nothing is sent
    twice.
    """
    for number, other in enumerate(shops(shop.connection, 3)):
        sent_by = give_sender(shop.connection, number, [other])
        open_account(shop.stack, account(number), senders=[sent_by])
        add_texts(shop.connection, other, 5)
    add_texts(shop.connection, shop.id, 5)
    shop.twilio.fail(DropUnaccepted(), times=None)
    assert 0 < Counter(shop.run())["InDoubt"] <= 4 * IN_A_ROW
    assert "everybody" in stops(shop)
    assert Counter(shop.run())["InDoubt"] <= 1
    shop.twilio.heal()
    shop.later(minutes=30)
    for _ in range(6):
        shop.run()
        shop.later(minutes=10)
    assert "everybody" not in stops(shop)
    assert len(shop.messages) == 20


def test_a_run_goes_on_while_its_sends_are_under_way(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that leaves its place to others, because each answer takes long, is claimed again in the same run."""
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", 0.1)
    shop.twilio.seconds_each = 0.6
    add_texts(shop.connection, shop.id, 50)
    fates = Counter(shop.run())
    assert fates["Sent"] == 50, "as many as a run may take"
    assert fates["GivenBack"], "nobody waited for long"


def test_as_many_requests_are_under_way_as_the_setting_says_and_no_more(
    shop: Shop,
) -> None:
    """While others begin or are recorded, which needs none of its places."""
    shop.twilio.seconds_each = 0.2
    add_texts(shop.connection, shop.id, 50)
    assert shop.run() == ["Sent"] * 50
    assert shop.twilio.most_posts_at_once <= CONCURRENCY


@pytest.mark.parametrize(("down", "runs"), [(1, 1), (4, 2), (5, 3)])
def test_senders_that_are_down_cost_the_other_one_no_text(
    shop: Shop, down: int, runs: int
) -> None:
    """One stops when several of its businesses have failed. Several stop everybody, until a run tries the other one.

    Each run tries one that has not failed.
    """
    businesses = shops(shop.connection, 12 * down)
    for sender in range(down):
        own = businesses[12 * sender : 12 * (sender + 1)]
        sent_by = give_sender(shop.connection, sender, own)
        open_account(shop.stack, account(sender), senders=[sent_by])
    for number, other in enumerate(businesses):
        add_texts(shop.connection, other, 1, first=number)
        phone = f"+1212555{number:04}"
        shop.twilio.fail(DropUnaccepted(), to=phone, times=None)
    add_texts(shop.connection, shop.id, 30, first=1000)
    sent = [Counter(shop.run())["Sent"] for _ in range(runs)]
    assert sum(sent) == 30
    assert "everybody" not in stops(shop)
    assert stops(shop).count("sender") == down


STOPS: list[StopKind] = ["everybody", "sender", "business"]


@pytest.mark.parametrize("kind", STOPS)
def test_of_what_has_stopped_one_text_is_claimed(shop: Shop, kind: StopKind) -> None:
    """Others' are claimed as ever, but where everybody has stopped. Who is gone by now is not remembered."""
    stopped, other = shops(shop.connection, 2)
    give_sender(shop.connection, 1, [stopped])
    sender = str(shop.value("select id from smsretry.senders"))
    subject = {"everybody": "", "sender": sender, "business": str(stopped)}[kind]
    for each in (stopped, other):
        add_texts(shop.connection, each, 5)
    shop.queue.set_stop(kind, subject, "It failed")
    for gone in ("sender", "business"):
        shop.queue.set_stop(gone, str(UUID(int=5)), "It failed")
    batch = shop.queue.claim_texts(50)
    assert [*batch.stops] == [(kind, subject)]
    if kind == "everybody":
        assert len(batch.texts) == 1
    else:
        assert by_business(list(batch.texts)) == {stopped: 1, other: 5}
        assert shop.queue.claim_texts(50, room={subject: 0}).texts == []
    assert stops(shop) == [kind]
    shop.queue.set_stop(kind, subject, None)
    assert len(claim(shop.queue)) == (9 if kind == "everybody" else 4)
