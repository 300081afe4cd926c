"""A claim that was cut short says so: who had no turn in it is innocent, and the breaker waits for their text."""

from datetime import timedelta

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import HtmlError
from tests.conftest import Business
from tests.support.builders import fates_of, run_over


@pytest.fixture
def other(business: Business) -> Business:
    """Another business."""
    return Business(business.connection, business.now).open()


def _set_apart(business: Business) -> None:
    """As if a trigger had been slow for it: none of its rows is taken for now."""
    business.connection.execute(
        "insert into smsretry.set_apart (business_id, at, retry_at, why) values (%s, %s, %s, 'It was slow')",
        [business.id, business.now(), business.now() + timedelta(hours=1)],
    )


def test_a_claim_of_all_that_is_due_says_that_nobody_else_waits(business: Business, queue: SupabaseQueue) -> None:
    """Also where it took as many as it may."""
    for _ in range(3):
        business.due_text()
    assert [claim.others_wait for claim in queue.claim_due(3)] == [False] * 3


def test_a_claim_says_that_a_business_waits_which_has_none_in_it(
    business: Business, other: Business, queue: SupabaseQueue
) -> None:
    """It was to take fewer than there are businesses."""
    business.due_text()
    other.due_text()
    assert [claim.others_wait for claim in queue.claim_due(1)] == [True]


def test_a_claim_says_that_a_business_waits_which_is_set_apart(
    business: Business, other: Business, queue: SupabaseQueue
) -> None:
    """However many more it might have taken."""
    business.due_text()
    other.due_text()
    _set_apart(other)
    assert [(claim.business_id, claim.others_wait) for claim in queue.claim_due(10)] == [(business.id, True)]


def test_the_breaker_stays_closed_while_a_business_that_is_set_apart_was_not_tried(
    stack: Stack, business: Business, other: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One business's trouble had been called everybody's: the claim held fewer texts than it might."""
    for _ in range(5):
        business.due_text()
    other.due_text()
    _set_apart(other)
    stack.twilio.fail(HtmlError(http_status=503), times=None)
    only_one = run_over(queue, sender)
    fates_of(only_one)
    assert only_one.flow_control.open_because is None


def test_the_breaker_stays_closed_until_those_are_tried_whom_a_short_answer_left_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Where max-rows is below a claim, three businesses had decided for the fourth, whose text goes out."""
    owners = [business, *(Business(business.connection, business.now).open() for _ in range(3))]
    for owner in owners:
        owner.due_text()
    stack.rpc_faults.max_rows = 3
    stack.twilio.fail(HtmlError(http_status=503), times=3)
    short = run_over(queue, sender)
    first = short.claim()
    assert [short.process(claim).fate for claim in first] == ["InDoubt"] * 3
    assert short.flow_control.open_because is None
    assert [short.process(claim).fate for claim in short.claim()] == ["Sent"]
    assert short.flow_control.open_because is None


def test_the_breaker_opens_when_everybody_was_tried(
    stack: Stack, business: Business, other: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A trouble that is everybody's is still found in one run."""
    for owner in (business, other):
        for _ in range(5):
            owner.due_text()
    stack.twilio.fail(HtmlError(http_status=503), times=None)
    everybodys = run_over(queue, sender)
    fates_of(everybodys)
    assert everybodys.flow_control.open_because is not None
