"""One business's trigger sleeps or refuses, its rows are locked or huge: nobody else's text is later for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.groups import Call, NotMade, RepeatAlone
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueBusy, QueueSlow
from smsretry.local.stack import Stack
from smsretry.retry.models import Claim
from smsretry.sending.run import run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import Business
from tests.integration.groups import in_groups
from tests.support.builders import SENDER, fates_of, run_over
from tests.support.claims import claim_due, claim_suspect
from tests.support.impatience import impatient

_TRIGGER = """
create function public.tenants_own() returns trigger language plpgsql as $$
begin
    if new.business_id = '{business}' then {does}; end if;
    return new;
end $$;
create {kind} tenants_own {when} on public.{table} {deferred} for each row execute function public.tenants_own();
"""


@contextmanager
def trigger(
    stack: Stack, business: Business, does: str, *, table: str = "sms_retry_queue", when: str = "update",
    deferred: bool = False,
) -> Iterator[None]:  # fmt: skip
    """A trigger of the application's, which does something for one of its tenants."""
    kind = "constraint trigger" if deferred else "trigger"
    moment = "after" if deferred else "before"
    sql = _TRIGGER.format(
        business=business.id, does=does, table=table, kind=kind, when=f"{moment} {when}",
        deferred="deferrable initially deferred" if deferred else "",
    )  # fmt: skip
    with stack.connect() as connection:
        connection.execute(sql.encode())
        try:
            yield
        finally:
            connection.execute(f"drop trigger tenants_own on public.{table}".encode())
            connection.execute("drop function public.tenants_own()")


@pytest.fixture
def slow(stack: Stack) -> Iterator[Business]:
    """Another business."""
    with stack.connect() as connection:
        yield Business(connection, stack.now).open()


def _texts(business: Business, number: int, *, area: int = 212) -> list[UUID]:
    return [business.due_text(phone=f"+1{area}55501{n:02}", body=f"Text {n}") for n in range(number)]


def _calls(claims: list[Claim], function: str) -> list[Call]:
    by_function: dict[str, Callable[[Claim], dict[str, object]]] = {
        "begin_sms_attempt": lambda claim: {
            "attempt_id": uuid4(), "send_before": claim.claimed_at + timedelta(hours=1), "quiet_hours_rule": "test",
            "phone": claim.phone, "body": claim.body, "sent_by": SENDER, "decided_by": claim.decided_by,
            "life": "48 hours",
        },
        "defer_sms_retry": lambda claim: {"until": claim.claimed_at + timedelta(hours=1), "why": "night"},
        "hold_sms_retry": lambda _: {"why": "Mend it", "look_in": "15 minutes"},
        "end_sms_retry": lambda _: {"final_status": "failed", "error": "No number"},
    }  # fmt: skip
    return [
        Call(
            function, {"retry_id": claim.id, "claim_no": claim.claim_no} | by_function[function](claim),
            f"{claim.phone} {claim.id}", function == "begin_sms_attempt",
        )
        for claim in claims
    ]  # fmt: skip


# In a group


def test_a_call_that_sleeps_is_cancelled_alone_and_what_was_done_is_done(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """The group's time is over then: what was not made belongs to the next group."""
    _texts(business, 6)
    _texts(slow, 1, area=305)
    claims = sorted(claim_due(queue, 10), key=lambda claim: claim.phone or "")
    with impatient(stack), trigger(stack, slow, "perform pg_sleep(30)"):
        told, _ = in_groups(queue, _calls([*claims[:3], claims[-1], *claims[3:-1]], "begin_sms_attempt"))
        assert isinstance(told[3], RepeatAlone | QueueSlow)
        assert [type(one) for one in told[:3] + told[4:]] == [dict] * 6
    assert all(business.row(claim.id)["begun_at"] for claim in claims[:6])
    assert slow.row(claims[-1].id)["begun_at"] is None


def test_a_group_that_is_slow_ends_after_a_second_and_the_next_one_takes_the_rest(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """Not cancelled: each of them is quick enough alone."""
    _texts(slow, 5, area=205)
    _texts(business, 3)
    claims = sorted(claim_due(queue, 10), key=lambda claim: claim.phone or "")
    with trigger(stack, slow, "perform pg_sleep(0.4)"):
        told = queue.together(_calls(claims, "defer_sms_retry"))
    assert type(told[0]) is bool
    assert {type(one) for one in told[4:]} == {NotMade}


@pytest.mark.parametrize(
    "function",
    [
        "begin_sms_attempt",
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ("defer_sms_retry", "hold_sms_retry", "end_sms_retry")
        ),
    ],
)
def test_thirty_locked_rows_hold_up_a_group_for_half_a_second_whatever_is_called(
    queue: SupabaseQueue, stack: Stack, business: Business, function: str
) -> None:
    """An operator's transaction: two seconds each would be a minute, past every timeout."""
    _texts(business, 34)
    claims = sorted(claim_due(queue, 40), key=lambda claim: claim.phone or "")
    with impatient(stack, seconds=3), stack.connect() as other, other.transaction():
        locked = [claim.id for claim in claims[:30]]
        other.execute("select 1 from sms_retry_queue where id = any (%s) for update", [locked])
        told = queue.together(_calls(claims, function))
    passing = QueueBusy if function == "begin_sms_attempt" else RepeatAlone
    assert passing in [type(one) for one in told[:30]]
    assert {type(one) for one in told[:30]} <= {passing, NotMade}
    assert not any(isinstance(one, Exception) for one in told[30:])


def test_what_only_a_commit_asks_fails_its_own_call(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """A deferred constraint trigger of the application's."""
    _texts(business, 2)
    _texts(slow, 1, area=305)
    claims = sorted(claim_due(queue, 10), key=lambda claim: claim.phone or "")
    with trigger(stack, slow, "raise exception 'No'", deferred=True):
        told = queue.together(_calls(claims, "defer_sms_retry"))
    assert [isinstance(one, Exception) for one in told] == [False, False, True]


def test_megabytes_in_a_tenant_s_columns_are_not_copied(
    queue: SupabaseQueue, sender: TwilioSender, business: Business
) -> None:
    """No more is kept of a consent's source than a person reads."""
    row = business.due_text()
    business.connection.execute(
        "update customers set sms_consent_source = repeat('a form on our page ', 500000) where business_id = %s",
        [business.id],
    )
    assert fates_of(run_over(queue, sender)) == ["Sent"]
    (attempt,) = business.attempts_of(row)
    assert len(attempt["consent_source"]) == 200


def test_an_answer_that_is_cut_off_costs_no_claim(
    queue: SupabaseQueue, sender: TwilioSender, stack: Stack, business: Business
) -> None:
    """max-rows below a group and a claim: each of them is one value."""
    _texts(business, 40)
    stack.rpc_faults.max_rows = 10
    assert fates_of(run_over(queue, sender)) == ["Sent"] * 40
    assert len(stack.twilio.ledger.entries()) == 40


# In a run


@pytest.mark.long
@pytest.mark.parametrize("table", ["sms_retry_queue", "send_logs"])
def test_a_business_whose_trigger_sleeps_costs_the_others_nothing(
    queue: SupabaseQueue, sender: TwilioSender, stack: Stack, business: Business, slow: Business, table: str
) -> None:
    """Neither in the claim nor in a group: all of theirs are sent in two runs, and none is told as failed."""
    rows = _texts(business, 20)
    _texts(slow, 10, area=205)
    with impatient(stack, seconds=2), trigger(stack, slow, "perform pg_sleep(0.3)", table=table):
        for _ in range(2):
            run_once(run_over(queue, sender))
    assert [business.row(row)["status"] for row in rows] == ["completed"] * 20
    assert [len(business.attempts_of(row)) for row in rows] == [1] * 20


@pytest.mark.parametrize("deferred", [False, True])
def test_a_trigger_that_refuses_one_business_s_claims_refuses_nobody_else_s(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business, *, deferred: bool
) -> None:
    """A claim that fails as a whole is made again row by row. What is refused stays as it is, and has its turns."""
    rows = _texts(business, 5)
    _texts(slow, 5)
    with trigger(stack, slow, "raise exception 'No'", deferred=deferred):
        assert {claim.id for claim in claim_due(queue, 10)} == set(rows)
        later = set(_texts(business, 3))
        assert {claim.id for _ in range(4) for claim in claim_due(queue, 3)} == later
    assert len(claim_due(queue, 10)) == 5


def test_a_suspect_that_cannot_be_claimed_is_passed_over(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """Or the others would wait behind it for ever."""
    (bad,), (good,) = _texts(slow, 1), _texts(business, 1)
    for row, count in ((bad, 2), (good, 3)):
        business.connection.execute("update sms_retry_queue set recover_count = %s where id = %s", [count, row])
    with trigger(stack, slow, "raise exception 'No'"):
        assert [claim.id for claim in claim_suspect(queue)] == [good]


def test_a_trigger_that_sleeps_keeps_nobody_else_s_rows_stuck(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """What dead workers held is taken back: the slow business's last."""
    rows = _texts(business, 5)
    _texts(slow, 10)
    claim_due(queue, 20)
    stack.move_clock(timedelta(minutes=11))
    with impatient(stack, seconds=2), trigger(stack, slow, "perform pg_sleep(0.3)"):
        for _ in range(2):
            queue.recover(10)
    assert [business.row(row)["status"] for row in rows] == ["pending"] * 5


def test_a_trigger_that_sleeps_keeps_nobody_else_s_scheduled_sends(
    queue: SupabaseQueue, stack: Stack, business: Business, slow: Business
) -> None:
    """Its own come last."""
    for n in range(10):
        slow.scheduled(due=timedelta(seconds=n))
    planned = [business.scheduled(due=timedelta(seconds=30 + n)) for n in range(5)]
    with impatient(stack, seconds=2), trigger(stack, slow, "perform pg_sleep(0.3)", when="insert"):
        for _ in range(2):
            queue_scheduled_sends(queue)
    assert [business.scheduled_send(one)["status"] for one in planned] == ["queued"] * 5
