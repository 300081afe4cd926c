"""A sender's time is shared by all who send from it, and a text that waits for its turn loses nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import cast

import pytest

from smsretry.adapters.supabase.groups import Call, RepeatAlone
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.retry.answers import Lease
from smsretry.retry.profile import Profile
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from tests.conftest import Business

RATE = 20.0


def test_the_time_of_a_sender_is_given_away_once(queue: SupabaseQueue, stack: Stack) -> None:
    """What one has leased is not there for another; another sender's is its own, and what has gone by is nobody's."""
    leases = [queue.lease("+12125550100", 10, 1, 0) for _ in range(3)]
    assert [_ahead(lease) for lease in leases] == pytest.approx([0, 10, 20], abs=1)
    assert [later.begins_at - one.begins_at for one, later in pairwise(leases)] == [timedelta(seconds=10)] * 2
    assert _ahead(queue.lease("+12125550101", 10, 1, 0)) == 0
    stack.move_clock(timedelta(minutes=5))
    assert _ahead(queue.lease("+12125550100", 10, 1, 0)) == 0


def _ahead(lease: Lease) -> float:
    return (lease.begins_at - lease.asked_at).total_seconds()


def test_what_is_leased_with_a_lead_begins_when_the_answer_is_there(queue: SupabaseQueue) -> None:
    """A turn that is over before its worker knows of it would be lost."""
    assert _ahead(queue.lease("+12125550100", 10, 1, 0.5)) == 0.5
    assert _ahead(queue.lease("+12125550100", 10, 1, 0.5)) == pytest.approx(10.5, abs=1)


def test_the_clock_alone_may_be_asked_for(queue: SupabaseQueue) -> None:
    """Nothing is taken by it."""
    assert _ahead(queue.lease("+12125550100", 0, 1, 5)) == 0
    assert _ahead(queue.lease("+12125550100", 1, 1, 0)) == 0


def test_leases_of_many_senders_travel_together(queue: SupabaseQueue) -> None:
    """Each gets its own time, and one that is wrong has its own error."""
    call = partial(Call, "lease_sms_time", lock_order="")
    rates = {"+12125550100": 1, "+12125550101": 2, "+12125550102": 5}
    leases = [{"sender": sender, "segments": 10, "per_second": rate, "lead": 0} for sender, rate in rates.items()]
    again = [cast(Lease, one) for _ in range(2) for one in queue.lease_together([call(values=one) for one in leases])]
    assert [_ahead(lease) for lease in again[3:]] == pytest.approx([10, 5, 2], abs=1)

    wrong = {"sender": "+12125550103", "segments": 1, "per_second": 0, "lead": 0}
    good_one, alone = queue.lease_together([call(values=one) for one in (leases[1], wrong)])
    assert isinstance(good_one, Lease)
    assert isinstance(alone, RepeatAlone)
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(queue.lease, "+12125550100", 1, 1, 0)
        with pytest.raises(InputError, match="per_second must be above 0"):
            pool.submit(queue.lease, "+12125550103", 1, 0, 0).result()
    assert _ahead(good.result()) == pytest.approx(20, abs=1)


def test_a_sender_that_somebody_has_locked_keeps_no_other_s_lease(queue: SupabaseQueue, stack: Stack) -> None:
    """Its own is asked for alone."""
    senders = [f"+1212555010{n}" for n in range(4)]
    for sender in senders:
        queue.lease(sender, 1, 10, 0)
    calls = [
        Call("lease_sms_time", {"sender": sender, "segments": 1, "per_second": 10, "lead": 0}, sender)
        for sender in senders
    ]
    with stack.connect() as somebody:
        somebody.autocommit = False
        somebody.execute("select from smsretry.sender_time where sender = any(%s) for update", [senders[:2]])
        found = queue.lease_together(calls)
    assert [type(one).__name__ for one in found] == ["RepeatAlone", "RepeatAlone", "_Leased", "_Leased"]


def _together(business: Business, senders: list[str]) -> list[int]:
    """In which order they were leased in one call, those that were."""
    leases = [{"sender": sender, "segments": 1, "per_second": 10, "lead": 0} for sender in senders]
    found = business.connection.execute("select place from lease_sms_times(%s)", [json.dumps(leases)])
    return [row["place"] for row in found]


def test_senders_are_leased_in_one_order(business: Business) -> None:
    """In another order two workers could each wait for the other."""
    assert _together(business, ["+12125550102", "+12125550100", "+12125550101"]) == [2, 3, 1]


def test_many_senders_that_somebody_has_locked_are_waited_for_once(business: Business, stack: Stack) -> None:
    """And then hardly at all: to wait for each as long would take twelve seconds here."""
    senders = [f"+121255501{n:02d}" for n in range(61)]
    _together(business, senders)
    with stack.connect() as somebody, somebody.transaction(), business.connection.transaction():
        somebody.execute("select from smsretry.sender_time where sender < %s for update", [senders[-1]])
        business.connection.execute("set local statement_timeout = '8s'")
        assert _together(business, senders) == [61]


def test_a_rate_that_was_set_wrong_is_no_debt_for_ever(queue: SupabaseQueue) -> None:
    """At one segment in three hours the time of a day would be gone; with the right rate it goes on at once."""
    queue.lease("+12125550100", 1, 1 / 10_800, 0)
    assert _ahead(queue.lease("+12125550100", 10, 20, 0)) == 0


def test_a_rate_of_nothing_is_refused(queue: SupabaseQueue) -> None:
    """It would never come."""
    with pytest.raises(InputError, match="per_second must be above 0"):
        queue.lease("+12125550100", 10, 0, 0)


@pytest.mark.long
def test_two_workers_together_send_at_the_rate_of_their_sender(stack: Stack, business: Business) -> None:
    """And each text goes out once."""
    rows = [business.due_text() for _ in range(60)]
    profile = Profile(opening_spread=timedelta(0), segments_per_second=RATE)

    def work(_: int) -> int:
        with SupabaseQueue(stack.settings()) as queue, TwilioSender(stack.settings()) as sender:
            return run_once(Run(Services(queue, sender, profile)), limit=500)[1].sent

    with ThreadPoolExecutor(2) as workers:
        assert sum(workers.map(work, range(2))) == 60
    accepted = sorted(entry.accepted_at for entry in stack.twilio.ledger.entries())
    seconds = (accepted[-1] - accepted[0]).total_seconds()
    assert seconds >= 59 / RATE * 0.9
    assert min((later - one).total_seconds() for one, later in pairwise(accepted[::20])) >= 20 / RATE * 0.6
    assert {business.row(row)["status"] for row in rows} == {"completed"}
