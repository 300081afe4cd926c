"""One business's trigger sleeps or refuses: nobody else's text is later for it than two runs."""

from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from smsretry.sending.run import run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.builders import run_over
from tests.support.claims import claim_suspect
from tests.support.impatience import impatient
from tests.support.shop import Shop

PATIENCE = 1.5
"""Seconds after which the database's API gives a statement up here."""
FOR_EVER = "perform pg_sleep(300)"


def trigger(
    shop: Shop, does: str, *, when: str = "update", deferred: bool = False
) -> AbstractContextManager[None]:
    """A trigger of the application's on the queue, which does something for one of its tenants."""
    kind, moment = (
        ("constraint trigger", "after") if deferred else ("trigger", "before")
    )
    make = f"""create function public.tenants_own() returns trigger language plpgsql as $$
               begin if new.business_id = '{shop.id}' then {does}; end if; return new; end $$;
               create {kind} tenants_own {moment} {when} on public.sms_retry_queue
               {"deferrable initially deferred" if deferred else ""} for each row execute function tenants_own()"""
    return shop.changed(make, "drop function public.tenants_own() cascade")


def test_a_business_whose_trigger_never_ends_costs_the_others_nothing(
    shop: Shop,
) -> None:
    """Once one took all the time of a claim, its texts are left to the next run, and those of others are sent."""
    slow = shop.neighbor()
    doubtful = slow.due_text()
    slow.due_text()
    shop.sql(
        "update sms_retry_queue set in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid() where id = %s",
        doubtful,
    )
    rows = [shop.due_text(phone=f"+121255501{n:02}") for n in range(8)]
    suspects = slow.due_text(), shop.due_text()
    for times, row in enumerate(suspects, start=2):
        shop.sql(
            "update sms_retry_queue set recover_count = %s where id = %s", times, row
        )
    with impatient(shop.stack, seconds=PATIENCE), trigger(slow, FOR_EVER):
        run_once(run_over(shop.queue, shop.provider))
    assert [shop.status_of(row) for row in [*rows, suspects[1]]] == ["completed"] * 9


@pytest.mark.parametrize("deferred", [False, True])
def test_a_trigger_that_refuses_one_business_s_claims_refuses_nobody_else_s(
    shop: Shop, *, deferred: bool
) -> None:
    """A claim that fails as a whole is made again row by row. What is refused stays as it is, and has its turns.
    A suspect that cannot be claimed is passed over: the others would wait behind it for ever.
    """
    refused = shop.neighbor()
    rows = {shop.due_text() for _ in range(5)}
    for _ in range(5):
        refused.due_text()
    suspects = refused.due_text(), shop.due_text()
    for times, row in enumerate(suspects, start=2):
        shop.sql(
            "update sms_retry_queue set recover_count = %s where id = %s", times, row
        )
    with trigger(refused, "raise exception 'No'", deferred=deferred):
        assert {claim.id for claim in shop.claims(10)} == rows
        later = {shop.due_text() for _ in range(3)}
        assert {claim.id for _ in range(4) for claim in shop.claims(3)} == later
        assert [claim.id for claim in claim_suspect(shop.queue)] == [suspects[1]]
    assert len(shop.claims(10)) == 5


def test_a_trigger_that_sleeps_keeps_nobody_else_s_rows_stuck(shop: Shop) -> None:
    """What dead workers held is taken back in any order: one that takes all the time is not always the first."""
    slow = shop.neighbor()
    good, late = shop.due_text(), slow.due_text()
    shop.claims()
    shop.later(minutes=11)
    with impatient(shop.stack, seconds=PATIENCE), trigger(slow, FOR_EVER):
        runs = 0
        while shop.status_of(good) != "pending":
            shop.recover()
            assert (runs := runs + 1) < 30
        assert shop.status_of(late) == "processing"
    assert shop.recover() == [late]


def test_a_trigger_that_never_ends_keeps_nobody_else_s_scheduled_sends(
    shop: Shop,
) -> None:
    """The slow business is left to the next run, and the others' are queued in this one."""
    slow = shop.neighbor()
    for _ in range(5):
        slow.scheduled()
    planned = [shop.scheduled(due=timedelta(minutes=2)) for _ in range(3)]
    with (
        impatient(shop.stack, seconds=PATIENCE),
        trigger(slow, FOR_EVER, when="insert"),
    ):
        took = queue_scheduled_sends(shop.queue).sends
    assert [send.retry_id for send in took if send.result == "later"] == [None]
    assert [shop.scheduled_send(one)["status"] for one in planned] == ["queued"] * 3
