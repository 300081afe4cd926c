"""The texts of `demo` and `up`: each customer's outcome is its own, and new ones come at their rate.

What each text of the demo comes to is shown by the command itself: e2e/test_up.py.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.demo import stream
from smsretry.local.demo.clock import is_open, move_to_morning, told
from smsretry.local.demo.fates import fates, tables
from smsretry.local.demo.people import DEAD_AFTER_BEGIN, DEAD_BEFORE_BEGIN, DELETED, SHOWN, SPECIAL, people
from smsretry.local.demo.seeding import seed
from smsretry.local.demo.senders import HARBOR, OWN_SENDERS, PILATES
from smsretry.local.demo.stream import Stream
from smsretry.local.stack import Stack
from smsretry.sending.pipeline import process_sms_retry_item
from tests.e2e.documents import demo_rows
from tests.support.claims import claim_due


@pytest.fixture(autouse=True)
def _as_it_was(stack: Stack) -> Iterator[None]:
    """The stack is the other tests', too."""
    yield
    with stack.connect() as connection:
        connection.execute("alter table customers drop column if exists name")


def test_the_demos_texts_are_the_same_each_time_and_no_two_customers_share_a_number_or_a_name(stack: Stack) -> None:
    """All were queued at different moments, so that their order is not left to their ids; and what is planned for one
    number cannot meet another's text.
    """
    everybody = [customer for customer, _ in people()] + [*SPECIAL, DEAD_BEFORE_BEGIN, DEAD_AFTER_BEGIN, DELETED]
    everybody += [customer for own in OWN_SENDERS for customer in own.customers]
    for known in ([c.phone for c in everybody if c.phone], [c.name for c in everybody]):
        assert [value for value, times in Counter(known).items() if times > 1] == []
    names = seed(stack)
    with stack.connect() as connection:
        rows = connection.execute("select id, scheduled_for from sms_retry_queue where status = 'pending'").fetchall()
    waiting = Counter(row["scheduled_for"] for row in rows if names[row["id"]] in {c.name for c, _ in people()})
    assert set(waiting.values()) == {1}


def test_the_demo_shows_the_interesting_rows(stack: Stack) -> None:
    """In the order of the list, under the sender of each, and in 80 columns. `demo_rows` reads it as it is printed."""
    console = Console(width=80, record=True, file=StringIO())
    console.print(tables(stack, seed(stack), [(stack.now(), fates(stack))] * 2, only=SHOWN))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == f"What became of {len(SHOWN)} of the 68 texts (times in UTC; --all shows every text)"
    assert max(map(len, lines)) <= 80
    assert [name for name, _, _ in demo_rows("\n".join(lines))] == [*SHOWN]
    assert [line.strip() for line in lines if ", from " in line] == [
        "Maple Street Dental, from the environment's sender …0006",
        f"Harbor Cycle Works, from its own sender {HARBOR.service}",
        f"Pine Street Pilates, from its own sender {PILATES.service}",
    ]


def test_zanes_text_fails_once_and_is_sent_when_it_is_queued_again(
    stack: Stack, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Code 21612 is one that a person can mend, with another sender; the next try then succeeds."""
    row = next(row for row, name in seed(stack).items() if name == "Zane")
    fates = []
    with stack.connect() as connection:
        connection.execute("delete from sms_retry_queue where id <> %s", [row])
        for _ in range(2):
            [claim] = claim_due(queue, 10)
            fates.append(process_sms_retry_item(claim, queue=queue, sender=sender).fate)
            connection.execute("update sms_retry_queue set status = 'pending', scheduled_for = smsretry.clock()")
    assert fates == ["Failed", "Sent"]


def test_new_texts_come_at_their_rate_until_many_wait(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty thousand a minute: every tick brings one, to a number of its own. At night few go out, and then none come.

    `--rate 0` only shows what is there.
    """
    monkeypatch.setattr(stream, "_WAITING", 20)
    texts = Stream(stack, rate=60_000)
    queued = [row for _ in range(40) if (row := texts.tick())]
    with stack.connect() as connection:
        found = connection.execute("select count(distinct phone) as numbers from customers").fetchone()
    assert (len(queued), found) == (20, {"numbers": 20})
    assert Stream(stack, rate=0).tick() is None


def test_the_clock_is_moved_on_to_a_working_day_and_says_so(stack: Stack) -> None:
    """Thanksgiving is a Thursday, and some states also close on the Friday after it: the demo is on Monday."""
    stack.set_clock(datetime(2031, 11, 26, 20, tzinfo=UTC))
    move_to_morning(stack)
    assert is_open(stack)
    assert told(stack).startswith("Mon 01 Dec 2031 14:30 UTC, 09:30 in New York; ")
    assert told(stack).endswith(" ahead of this machine's")
