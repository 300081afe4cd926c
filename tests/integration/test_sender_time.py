"""A sender's time is shared by all who send from it, and a text that waits for its turn loses nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.ports import Services
from smsretry.retry.profile import Profile
from smsretry.run import Run, run_once
from tests.conftest import Business

RATE = 20.0


def test_the_time_of_a_sender_is_given_away_once(queue: SupabaseQueue) -> None:
    """What one has leased is not there for another; another sender's is its own."""
    begins = [queue.lease("+12125550100", 10, 1) for _ in range(3)]
    assert begins == pytest.approx([0, 10, 20], abs=1)
    assert queue.lease("+12125550101", 10, 1) == 0


def test_a_rate_that_was_set_wrong_is_no_debt_for_ever(queue: SupabaseQueue) -> None:
    """At one segment in three hours the time of a day would be gone; with the right rate it goes on at once."""
    queue.lease("+12125550100", 1, 1 / 10_800)
    assert queue.lease("+12125550100", 10, 20) == 0


def test_a_rate_of_nothing_is_refused(queue: SupabaseQueue) -> None:
    """It would never come."""
    with pytest.raises(InputError, match="per_second must be above 0"):
        queue.lease("+12125550100", 10, 0)


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
