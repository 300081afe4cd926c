"""One statement about many scheduled sends changes those that can be changed, and is refused where none can."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.shop import Shop

_TOO_LATE: Final = "It is too late to change scheduled send"
_INSERT: Final = """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for, status)
                    values (%s, %s, %s, 'See you', %s, %s)"""


def planned(shop: Shop) -> tuple[UUID, UUID, UUID]:
    """A customer's three scheduled sends: one that was sent, one that is queued and one that waits."""
    customer, ids = shop.customer(), (uuid4(), uuid4(), uuid4())
    for scheduled, minutes in zip(ids, (-1, 1, 60), strict=True):
        shop.sql(_INSERT, scheduled, shop.id, customer, shop.now() + timedelta(minutes=minutes), "scheduled")
    assert len(shop.queue.queue_scheduled(10, timedelta(minutes=2))) == 2
    assert shop.run() == ["Sent"]
    return ids


def write(shop: Shop, statement: str, *values: Any) -> set[UUID]:
    """The ids of the rows that it changed, for which PostgREST, too, asks around the statement."""
    changed = shop.sql(f"with changed as ({statement} returning *) select id from changed", *values)
    return {row["id"] for row in changed}


def states(shop: Shop, *scheduled: UUID) -> list[str]:
    """What each says."""
    return [shop.scheduled_send(one)["status"] for one in scheduled]


@contextmanager
def too_late() -> Iterator[None]:
    """A statement that is refused, so that nobody believes that it was carried out."""
    with pytest.raises(psycopg.Error, match=_TOO_LATE) as refused:
        yield
    assert refused.value.sqlstate == "SR409"


@pytest.mark.parametrize("role", ["service_role", "authenticated"])
def test_cancelling_all_of_a_customers_scheduled_sends_cancels_those_that_can_be(shop: Shop, role: str) -> None:
    """One that was sent refuses none of the others. Alone, it is refused."""
    sent, queued, waits = planned(shop)
    another, *_ = planned(shop)
    customer = shop.scheduled_send(sent)["customer_id"]
    cancel = "update scheduled_sends set status = 'cancelled' where "
    with shop.acting_as(role, shop.user_id):
        assert write(shop, cancel + "customer_id = %s", customer) == {queued, waits}
        for ids in ([sent], [sent, another]):
            with too_late(), shop.connection.transaction():
                write(shop, cancel + "id = any (%s)", ids)
        assert states(shop, sent, queued, waits, another) == ["queued", "cancelled", "cancelled", "queued"]
        assert [shop.text_of(one)["status"] for one in (sent, queued)] == ["completed", "cancelled"]


def test_many_are_moved_and_reworded_as_far_as_they_can_be(shop: Shop) -> None:
    """A queued one is moved, and keeps its words."""
    sent, queued, waits = planned(shop)
    later = shop.now() + timedelta(hours=2)
    assert write(shop, "update scheduled_sends set body = 'Come!' where business_id = %s", shop.id) == {waits}
    move = "update scheduled_sends set scheduled_for = %s where business_id = %s"
    assert write(shop, move, later, shop.id) == {queued, waits}
    assert shop.text_of(queued)["scheduled_for"] == later
    assert shop.scheduled_send(sent)["scheduled_for"] < shop.now()


def test_an_upsert_of_scheduled_sends_writes_those_that_it_can(shop: Shop) -> None:
    """New ones too; alone, what is too late is refused."""
    sent, _, _ = planned(shop)
    customer, due, new = shop.scheduled_send(sent)["customer_id"], shop.now() + timedelta(hours=1), uuid4()
    merge = "on conflict (id) do update set status = excluded.status"
    late, added = [sent, shop.id, customer, due, "cancelled"], [new, shop.id, customer, due, "scheduled"]
    assert write(shop, f"{_INSERT}, (%s, %s, %s, 'See you', %s, %s) {merge}", *late, *added) == {new}
    with too_late():
        write(shop, f"{_INSERT} {merge}", *late)
    assert states(shop, sent, new) == ["queued", "scheduled"]
