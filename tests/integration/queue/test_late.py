"""A runner that was off: what is of use yet goes out, and what is not ends with its reason."""

from datetime import datetime, timedelta

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.doctor.database import database_findings
from smsretry.local.stack import Stack
from smsretry.retry import before
from smsretry.retry.models import Claim
from smsretry.sending.scheduled import AHEAD, queue_scheduled_sends
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import BODY, fates_of, run_over
from tests.support.claims import claim_due

HOUR = timedelta(hours=1)
WHY = "Expired before it could be sent: it was due on 2027-01-12 (UTC)"


def first_run(queue: SupabaseQueue, sender: TwilioSender) -> list[str]:
    """Scheduled sends are queued, then a run: what each came to."""
    queued = [send.result for send in queue_scheduled_sends(queue, seconds=5).sends]
    return [result for result in queued if result != "queued"] + fates_of(run_over(queue, sender))


@pytest.mark.parametrize("hours", [1, 24, 47])
def test_an_outage_of_less_than_two_days_costs_nobody_a_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, hours: int
) -> None:
    """Planned, queued, and moved: those that may go out at once do, and by noon of the next day all have."""
    business.scheduled(due=timedelta(minutes=1))
    business.due_text(phone="+12125550124")
    business.due_text(phone="+12125550125", timezone="America/Los_Angeles")
    stack.move_clock(hours * HOUR)
    for _ in range(3):
        first_run(queue, sender)
        stack.move_clock(12 * HOUR)
    assert len(stack.twilio.ledger.entries()) == 3


def test_after_six_days_a_planned_text_is_cancelled_and_not_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """ "See you tomorrow" helps nobody six days later. Nor does what waited in the queue."""
    scheduled, row = business.scheduled(due=HOUR), business.due_text(phone="+12125550124")
    stack.move_clock(timedelta(days=6))
    assert first_run(queue, sender) == ["cancelled", "Cancelled"]
    send = business.scheduled_send(scheduled)
    assert (send["status"], send["why"]) == ("cancelled", WHY)
    assert (business.row(row)["status"], business.row(row)["last_error"]) == ("cancelled", WHY)
    assert stack.twilio.ledger.entries() == ()


def test_without_the_count_from_their_time_they_go_out_six_days_late(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The switch: life is counted from the first claim, and a planned text's by no one."""

    def as_it_is(claim: Claim, *, at: datetime, profile: object = None) -> Claim:
        return claim

    business.scheduled(due=HOUR)
    business.due_text(phone="+12125550124")
    stack.move_clock(timedelta(days=6))
    monkeypatch.setattr(before, "with_expiry", as_it_is)
    business.connection.execute("select * from queue_scheduled_sms(200, %s, interval '100 years')", [AHEAD])
    assert first_run(queue, sender) == ["Sent", "Sent"]


def test_a_planned_text_that_says_until_when_it_is_of_use_is_of_use_until_then(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its owner knows better than two days."""
    scheduled = business.scheduled(due=HOUR)
    business.connection.execute(
        "update scheduled_sends set not_after = scheduled_for + interval '10 days' where id = %s", [scheduled]
    )
    stack.move_clock(timedelta(days=6))
    assert first_run(queue, sender) == ["Sent"]


def test_a_planned_text_that_was_queued_in_time_counts_from_its_own_time(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its row is younger than its time: a run comes 47 hours late, and finds Twilio down for two hours."""
    scheduled = business.scheduled(due=HOUR)
    stack.move_clock(48 * HOUR)
    queue_scheduled_sends(queue, seconds=5)
    due = business.scheduled_send(scheduled)["scheduled_for"]
    [claim] = claim_due(queue, 1)
    assert claim.due_since == due
    assert before.with_expiry(claim, at=claim.claimed_at).expires_at == due + before.LIFE


def test_a_time_that_has_passed_means_at_once_where_it_is_planned_by_a_call(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A week ago, by somebody who means now."""
    answer = business.connection.execute(
        "select * from schedule_sms(%s, %s, %s, smsretry.clock() - interval '7 days')",
        [business.id, business.customer(), BODY],
    ).fetchone()
    assert answer is not None
    assert abs(answer["due_at"] - stack.now()) < timedelta(minutes=1)
    assert first_run(queue, sender) == ["Sent"]


def test_the_doctor_counts_what_is_past_before_anything_is_switched_on(
    stack: Stack, business: Business, settings: Settings
) -> None:
    """How many, since when, and what the first run will do."""
    for _ in range(3):
        business.scheduled(due=-timedelta(days=200))
    business.scheduled(due=HOUR)
    [found] = [each for each in database_findings(settings, {}, stack.now) if "scheduled sends" in each.subject]
    assert (found.subject, found.ok) == ("late scheduled sends", True)
    assert found.advice is not None
    assert found.advice.startswith(
        "3 wait though their time has passed, the first for 200 d: the next run lets those go"
    )
