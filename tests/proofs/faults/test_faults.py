"""The proof in short: `python -m tests.proofs.faults --texts 10000` is the long one."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from smsretry.local.stack import Stack
from smsretry.testing.stack import SmsStack
from tests.proofs.faults.orders import KILL_POINTS, StallPoint
from tests.proofs.faults.scenarios import blind, everything, outage, overslept


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsStack]:
    """A stack of its own: PostgreSQL is killed here, and others keep connections to the session's."""
    with SmsStack(tmp_path_factory.mktemp("faults")) as stack:
        yield stack


@pytest.fixture
def stack(own_stack: SmsStack) -> Stack:
    """Empty, and healthy."""
    return own_stack.empty()


def test_nothing_is_lost_or_doubled_when_workers_database_and_twilio_all_fail(
    stack: Stack,
) -> None:
    """Workers die at every point or oversleep their lease, PostgreSQL is killed, answers are lost, opt-outs come."""
    report = everything(stack, texts=40, seed="7", kills=6, crashes=1, stalls=1)
    assert report.clean, report.tell()
    happened = [f"  {point}" for point in KILL_POINTS] + [
        "workers stalled past their lease",
        "  under a worker's hands",
    ]
    for event in (*happened, "PostgreSQL killed"):
        assert report.numbers[event], f"nothing of it happened: {event}\n{report}"


@pytest.mark.long
@pytest.mark.parametrize("where", ["claimed", "begun"])
def test_a_worker_that_sleeps_past_its_lease_neither_sends_nor_writes(
    stack: Stack, where: StallPoint
) -> None:
    """It stood still with its claim, or with a send begun; meanwhile another one had its texts."""
    report = overslept(stack, seed="1", where=where)
    assert report.clean, report.tell()
    assert report.numbers["workers stalled past their lease"] == 1


@pytest.mark.long
def test_an_outage_of_two_hours_costs_each_text_at_most_one_attempt(
    stack: Stack,
) -> None:
    """And fails none: every text is sent afterwards, once."""
    report = outage(stack, texts=12, seed="1", every=timedelta(minutes=6))
    assert report.clean, report.tell()
    assert report.numbers["completed"] == report.numbers["texts"]
    assert report.numbers["most attempts of a sent text"] in (1, 2)


@pytest.mark.long
@pytest.mark.parametrize(("minutes", "doubled"), [(14, 0), (45, 5)])
def test_a_list_that_lags_beyond_the_quarantine_doubles_what_it_hides_and_nothing_else(
    stack: Stack, minutes: int, doubled: int
) -> None:
    """The one window no design can close: accepted, not answered, and hidden for longer than anybody waits."""
    report = blind(stack, texts=20, seed="1", lag=timedelta(minutes=minutes))
    assert {kind: len(lines) for kind, lines in report.verdict.findings.items()} == (
        {"doubled": 5} if doubled else {}
    )


@pytest.mark.long
def test_what_becomes_of_each_text_is_known_in_the_end_whatever_dies_when(
    stack: Stack,
) -> None:
    """Callbacks are lost, late and out of order, and workers die or oversleep while they look after deliveries."""
    report = everything(
        stack,
        texts=24,
        seed="7",
        kills=3,
        crashes=0,
        stalls=1,
        scheduled=True,
        delivery=True,
    )
    assert report.clean, report.tell()
    assert report.numbers["became texts"] == report.numbers["texts"]
    assert report.numbers["texts sent again"]
    assert report.numbers["pollers killed"]
