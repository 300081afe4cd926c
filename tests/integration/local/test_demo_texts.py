"""The clock and the texts of `demo` and `up`. What each of their texts comes to is shown in e2e/test_up.py."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from smsretry.local.demo import stream
from smsretry.local.demo.clock import describe_clock, is_open, move_to_morning
from smsretry.local.demo.people import (
    DEAD_AFTER_BEGIN,
    DEAD_BEFORE_BEGIN,
    DELETED,
    SPECIAL,
    people,
)
from smsretry.local.demo.senders import OWN_SENDERS
from smsretry.local.demo.stream import Stream
from smsretry.local.stack import Stack


def test_no_two_customers_share_a_number_or_a_name() -> None:
    """What is planned for one cannot meet another's text."""
    everybody = [customer for customer, _ in people()] + [
        *SPECIAL,
        DEAD_BEFORE_BEGIN,
        DEAD_AFTER_BEGIN,
        DELETED,
    ]
    everybody += [customer for sender in OWN_SENDERS for customer in sender.customers]
    for known in ([c.phone for c in everybody if c.phone], [c.name for c in everybody]):
        assert [value for value, times in Counter(known).items() if times > 1] == []


def test_texts_come_at_their_rate_until_many_wait_and_the_demo_is_on_a_working_day(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty thousand a minute: every tick brings one, to a number of its own. `--rate 0` only shows what is there.
    Thanksgiving is a Thursday, and some states also close on the Friday after it: the demo is on Monday.
    """
    monkeypatch.setattr(stream, "_WAITING", 20)
    texts = Stream(stack, rate=60_000)
    with stack.connect() as connection:
        try:
            queued = [row for _ in range(40) if (row := texts.tick())]
            record = connection.execute(
                "select count(distinct phone) as numbers from customers"
            ).fetchone()
        finally:
            connection.execute("alter table customers drop column if exists name")
    assert (len(queued), record) == (20, {"numbers": 20})
    assert Stream(stack, rate=0).tick() is None
    stack.set_clock(datetime(2031, 11, 26, 20, tzinfo=UTC))
    move_to_morning(stack)
    assert is_open(stack)
    assert describe_clock(stack).startswith(
        "Mon 01 Dec 2031 14:30 UTC, 09:30 in New York; "
    )
