"""The proof in short: `python -m tests.proofs.faults --texts 10000` is the long one."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from smsretry.testing.stack import SmsStack
from tests.proofs.faults.accounts import judge_questions
from tests.proofs.faults.arrivals import Message, judge_messages
from tests.proofs.faults.carrier import Told
from tests.proofs.faults.orders import KILL_POINTS, StallPoint, Switch
from tests.proofs.faults.scenarios import blind, everything, moved, outage, oversleep, reported
from tests.proofs.faults.texts import plan
from tests.proofs.faults.wire import Asked, What
from tests.support.builders import NOON


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsStack]:
    """A stack of its own: PostgreSQL is killed here, and others keep connections to the session's."""
    with SmsStack(tmp_path_factory.mktemp("faults")) as stack:
        yield stack


@pytest.fixture
def stack(own_stack: SmsStack) -> Stack:
    """Empty, and healthy."""
    return own_stack.empty()


def test_nothing_is_lost_or_doubled_when_workers_database_and_twilio_all_fail(stack: Stack) -> None:
    """Workers die at every point or oversleep their lease, Postgres is killed, answers are lost, opt-outs come."""
    report = everything(texts=80, seed="7", on=stack, kills=12, crashes=1, stalls=1)
    assert report.clean, f"\n{report}\n{report.bugs[:1]}"
    assert report.killed >= 12
    for point in KILL_POINTS:
        assert report.numbers[f"  {point}"], f"no worker died at {point}\n{report}"
    assert report.numbers["Postgres killed"] == 1
    assert report.numbers["workers stalled past their lease"]
    assert report.numbers["  accounts"] != 1
    assert report.numbers["  under a worker's hands"]


@pytest.mark.parametrize("where", [pytest.param("claimed", marks=pytest.mark.long), "begun"])
def test_a_worker_that_sleeps_past_its_lease_neither_sends_nor_writes(stack: Stack, where: StallPoint) -> None:
    """It was stopped with its claim, or with a send begun; meanwhile another one had its texts."""
    report = oversleep(seed="1", on=stack, where=where)
    assert report.clean, f"\n{report}"
    assert report.numbers["workers stalled past their lease"] == 1


@pytest.mark.long
def test_without_the_fence_the_harness_sees_doubled_texts() -> None:
    """A proof that cannot fail proves nothing: the same sleeper, and nobody asks for its claim number."""
    report = oversleep(seed="1", where="claimed", without="fence")
    assert report.verdict.doubled > 0, f"\n{report}"
    assert report.woke_and_wrote


@pytest.mark.long
@pytest.mark.parametrize("switch", ["reconcile", "quarantine"])
def test_without_looking_or_without_patience_the_harness_sees_doubled_texts(stack: Stack, switch: Switch) -> None:
    """The list lags by less than the quarantine, which harms nobody who looks and waits."""
    report = blind(texts=20, seed="1", on=stack, lag=timedelta(minutes=14), without=switch)
    assert report.verdict.doubled > 0, f"\n{report}"


@pytest.mark.long
def test_an_outage_of_two_hours_costs_each_text_at_most_one_attempt(stack: Stack) -> None:
    """And fails none: every text is sent afterwards, once."""
    report = outage(texts=12, seed="1", on=stack, refused=False, every=timedelta(minutes=6))
    assert report.clean, f"\n{report}"
    assert report.numbers["completed"] == report.numbers["texts"]
    assert report.most_attempts <= 2


@pytest.mark.long
def test_a_list_that_lags_beyond_the_quarantine_doubles_what_it_hides_and_nothing_else(stack: Stack) -> None:
    """The one window no design can close: accepted, not answered, and hidden for longer than anybody waits."""
    report = blind(texts=20, seed="1", on=stack, lag=timedelta(minutes=45))
    assert report.verdict.doubled == report.numbers["in doubt, though accepted"], f"\n{report}"
    assert replace(report.verdict, doubled=0).clean, f"\n{report}"


@pytest.mark.long
def test_a_list_that_lags_less_than_the_quarantine_doubles_nothing(stack: Stack) -> None:
    """The quarantine outlasts it."""
    report = blind(texts=20, seed="1", on=stack, lag=timedelta(minutes=14))
    assert report.clean, f"\n{report}"


@pytest.mark.long
def test_what_becomes_of_each_text_is_known_in_the_end_whatever_dies_when() -> None:
    """Callbacks are lost, late and out of order, and workers die or oversleep while they look after deliveries."""
    report = everything(texts=24, seed="7", kills=3, crashes=0, stalls=1, scheduled=True, delivery=True)
    assert report.clean, f"\n{report}\n{report.bugs[:1]}{report.wrong[:3]}"
    assert report.numbers["  became texts"] == report.numbers["texts"]
    assert report.numbers["texts sent again"]
    assert report.numbers["pollers killed"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("switch", "count"), [("ranks", "wrong_in_the_end"), ("patience", "doubled"), ("asking", "arrived_twice")]
)
def test_without_order_patience_or_a_question_the_harness_sees_it(switch: Switch, count: str) -> None:
    """The report that comes last counts; what is not known to be lost is taken for that; nobody asks once more."""
    report = reported(texts=47, seed="1", unwatched=switch == "asking", without=switch)
    assert getattr(report.verdict, count) > 0, f"\n{report}"


@pytest.mark.long
def test_when_a_send_begins_from_the_sender_that_its_claim_had_the_harness_sees_it(stack: Stack) -> None:
    """Six businesses moved meanwhile."""
    report = moved(seed="1", on=stack, without="sender")
    assert report.numbers["  under a worker's hands"], f"\n{report}"
    assert report.verdict.wrong_sender, f"\n{report}"


_LOST: Final = Told(NOON + timedelta(minutes=1), "undelivered", 30008)
_BLOCKED: Final = Told(NOON + timedelta(minutes=1), "undelivered", 30007)
_ARRIVED: Final = Told(NOON + timedelta(minutes=1), "delivered", None)
_LATE: Final = Told(NOON + timedelta(minutes=9), "delivered", None)


@pytest.mark.parametrize(
    ("first", "more", "wrong"),
    [
        ((_LOST,), [31], {}),
        ((_LOST, _LATE), [8], {}),
        ((_LOST, _LATE), [31], {"arrived_twice": 1}),
        ((), [31], {"doubled": 1}),
        ((_ARRIVED,), [31], {"doubled": 1, "arrived_twice": 1}),
        ((_LOST,), [0.5], {"doubled": 1}),
        ((_BLOCKED,), [31], {"retried_for_good": 1}),
        ((_LOST,), [31, 32], {"retried_twice": 1, "retried_too_often": 1}),
    ],
)
def test_the_judge_tells_a_message_that_may_follow_from_one_that_may_not(
    first: tuple[Told, ...], more: list[float], wrong: dict[str, int]
) -> None:
    """By what Twilio had said of the first, and the minutes of the others."""
    others = [Message(f"SM{n}", NOON + timedelta(minutes=minutes)) for n, minutes in enumerate(more)]
    assert +judge_messages([Message("SM", NOON, first), *others]) == Counter(wrong)


_OURS, _OTHER = "AC" + "1" * 32, "AC" + "2" * 32


@pytest.mark.parametrize(
    ("what", "account", "minutes", "wrong"),
    [
        ("list", _OURS, 5, 0),
        ("list", _OTHER, 5, 1),  # nothing had been sent from there
        ("list", _OTHER, 25, 0),  # the second attempt
        ("fetch", _OURS, 5, 0),
        ("fetch", _OTHER, 25, 1),  # the message is the first attempt's
        ("change", _OTHER, 25, 1),
    ],
)
def test_the_judge_knows_in_which_account_to_ask_for_a_text(
    what: What, account: str, minutes: float, wrong: int
) -> None:
    """Of two attempts, the first from our account and the second, twenty minutes later, from another one."""
    [text] = plan(1, seed="1", start=NOON, spread=timedelta(0), only_zone="America/New_York")
    attempts = [
        {"begun_at": NOON + timedelta(minutes=n * 20), "finished_at": NOON, "sent_account": sent, "sent_by": "MG"}
        for n, sent in enumerate((_OURS, _OTHER))
    ]
    entry = Entry(
        sid="SM1", account_sid=_OURS, accepted_at=NOON, to=text.phone or "", sender=None, messaging_service_sid="MG",
        body=text.body, status_callback=None, validity_period=None,
    )  # fmt: skip
    asked = Asked(what, account, NOON + timedelta(minutes=minutes), "SM1" if what != "list" else None, text.phone)
    found, told = judge_questions([asked], {text.body: [entry]}, {text.send_log_id: attempts}, [text])
    assert (found["wrong_account"], len(told)) == (wrong, wrong)
