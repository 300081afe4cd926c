"""The texts of `demo` and `up`: each customer's outcome is its own, and new ones come at their rate."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO
from uuid import UUID

import pytest
from rich.console import Console

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
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
from smsretry.sending.run import run_once
from tests.e2e.documents import demo_rows
from tests.support.builders import run_over
from tests.support.claims import claim_due


@pytest.fixture(autouse=True)
def _as_it_was(stack: Stack) -> Iterator[None]:
    """The stack is the other tests', too."""
    yield
    with stack.connect() as connection:
        connection.execute("alter table customers drop column if exists name")


def test_no_two_customers_of_the_demo_share_a_number_or_a_name() -> None:
    """What is planned for one number cannot meet another's text."""
    everybody = [customer for customer, _ in people()] + [*SPECIAL, DEAD_BEFORE_BEGIN, DEAD_AFTER_BEGIN, DELETED]
    everybody += [customer for own in OWN_SENDERS for customer in own.customers]
    for known in ([c.phone for c in everybody if c.phone], [c.name for c in everybody]):
        assert [value for value, times in Counter(known).items() if times > 1] == []
    assert set(SHOWN) <= {customer.name for customer in everybody}


def test_two_demos_take_the_same_fifty_texts_first(stack: Stack) -> None:
    """All were queued at different moments, so that the order is not left to their ids."""
    names = seed(stack)
    with stack.connect() as connection:
        rows = connection.execute("select id, scheduled_for from sms_retry_queue where status = 'pending'").fetchall()
    waiting = Counter(row["scheduled_for"] for row in rows if names[row["id"]] in {c.name for c, _ in people()})
    assert set(waiting.values()) == {1}


def test_the_demo_shows_the_interesting_rows(stack: Stack) -> None:
    """In the order of the list, under the sender of each, and in 80 columns. `demo_rows` reads it as it is printed."""
    names = seed(stack)
    lines = _printed(stack, names)
    assert lines[0].strip() == f"What became of {len(SHOWN)} of the 68 texts (times in UTC; --all shows every text)"
    assert max(map(len, lines)) <= 80
    assert [name for name, _, _ in demo_rows("\n".join(lines))] == [*SHOWN]
    assert [line.strip() for line in lines if ", from " in line] == [
        "Maple Street Dental, from the environment's sender …0006",
        f"Harbor Cycle Works, from its own sender {HARBOR.service}",
        f"Pine Street Pilates, from its own sender {PILATES.service}",
    ]


def test_texts_of_the_demos_suspended_account_wait_and_say_what_to_do(
    stack: Stack, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Those of the other two go out, each from its own account."""
    names = seed(stack)
    with stack.connect() as connection:
        connection.execute("delete from sms_retry_queue where id <> all (%s)", [_rows(names, "Ava", "Nora", "Lena")])
    run_once(run_over(queue, sender))
    shown = {name: why for name, _, why in demo_rows("\n".join(_printed(stack, names)))}
    assert shown == {
        "Ava": "Accepted by Twilio",
        "Nora": "Accepted by Twilio",
        "Lena": f"Twilio 20005: Account not active. {code_meaning(20005).to_do}",
    }
    with stack.connect() as connection:
        [held_up] = connection.execute(
            "select why from smsretry.texts_by_sender(null, smsretry.clock()) where why_code = 'account_refused'"
        )
    assert held_up["why"] == shown["Lena"]
    word = fates(stack)
    assert [word[row] for row in _rows(names, "Nora", "Lena")] == ["[green]sent[/]", "waits"]
    assert {entry.account_sid for entry in stack.twilio.ledger.entries()} == {
        stack.twilio.accounts.main.sid,
        HARBOR.account,
    }


def _rows(names: Mapping[UUID, str], *wanted: str) -> list[UUID]:
    return [row for name in wanted for row, called in names.items() if called == name]


def _printed(stack: Stack, names: Mapping[UUID, str]) -> list[str]:
    shown = Console(width=80, record=True, file=StringIO())
    shown.print(tables(stack, names, [(stack.now(), fates(stack))] * 2, only=SHOWN))
    return shown.export_text().splitlines()


def test_zanes_text_fails_once_and_is_sent_when_it_is_queued_again(
    stack: Stack, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Code 21612 is one that a person can mend, with another sender; the next try then succeeds."""
    row = next(row for row, name in seed(stack).items() if name == "Zane")
    fates = []
    with stack.connect() as connection:
        for _ in range(2):
            connection.execute(
                "update sms_retry_queue set scheduled_for = smsretry.clock() + interval '1 day' where id <> %s", [row]
            )
            [claim] = [claim for claim in claim_due(queue, 10) if claim.id == row]
            fates.append(process_sms_retry_item(claim, queue=queue, sender=sender).fate)
            connection.execute(
                """update sms_retry_queue set status = 'pending', scheduled_for = smsretry.clock()
                   where id = %s and status = 'failed'""",
                [row],
            )
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
