"""One statement about many scheduled sends changes all of them, or is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.shop import Shop

_TOO_LATE = "It is too late to change scheduled send"
_INSERT = """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for, status)
                    values (%s, %s, %s, 'See you', %s, %s)"""


def planned(shop: Shop) -> tuple[UUID, UUID, UUID]:
    """A customer's three scheduled sends: one that was sent, one that is queued and one that waits."""
    customer, ids = shop.customer(), (uuid4(), uuid4(), uuid4())
    for scheduled, minutes in zip(ids, (-1, 1, 60), strict=True):
        shop.sql(
            _INSERT,
            scheduled,
            shop.id,
            customer,
            shop.now() + timedelta(minutes=minutes),
            "scheduled",
        )
    assert len(shop.queue.queue_scheduled(10, timedelta(minutes=2))) == 2
    assert shop.run() == ["Sent"]
    return ids


def write(shop: Shop, statement: str, *values: Any) -> set[UUID]:
    """The ids of the rows that it changed, for which PostgREST, too, asks around the statement."""
    changed = shop.sql(
        f"with changed as ({statement} returning *) select id from changed", *values
    )
    return {row["id"] for row in changed}


def states(shop: Shop, *scheduled: UUID) -> list[str]:
    """What each says."""
    return [shop.scheduled_send(one)["status"] for one in scheduled]


@contextmanager
def too_late(shop: Shop) -> Iterator[None]:
    """A statement that is refused, so that nobody believes that it was carried out."""
    with (
        pytest.raises(psycopg.Error, match=_TOO_LATE) as refused,
        shop.connection.transaction(),
    ):
        yield
    assert refused.value.sqlstate == "SR409"


@pytest.mark.parametrize("role", ["service_role", "authenticated"])
def test_what_waits_is_cancelled_at_once_and_an_update_that_comes_too_late_for_one_changes_none(
    shop: Shop, role: str
) -> None:
    """It names the row. Without it the others are cancelled."""
    sent, queued, waits = planned(shop)
    another, *_ = planned(shop)
    customer = shop.scheduled_send(sent)["customer_id"]
    cancel = "update scheduled_sends set status = 'cancelled' where "
    with shop.acting_as(role, shop.user_id):
        for ids in ([sent], [sent, another], [sent, queued, waits]):
            with too_late(shop):
                write(shop, cancel + "id = any (%s)", ids)
        assert states(shop, sent, queued, waits, another) == [
            "queued",
            "queued",
            "scheduled",
            "queued",
        ]
        assert write(
            shop, cancel + "customer_id = %s and status = 'scheduled'", customer
        ) == {waits}
        assert write(shop, cancel + "id = %s", queued) == {queued}
        assert [shop.text_of(one)["status"] for one in (sent, queued)] == [
            "completed",
            "cancelled",
        ]


def test_an_upsert_of_scheduled_sends_writes_all_of_them_or_none(shop: Shop) -> None:
    """New ones too."""
    sent, _, _ = planned(shop)
    customer, due, new = (
        shop.scheduled_send(sent)["customer_id"],
        shop.now() + timedelta(hours=1),
        uuid4(),
    )
    merge = "on conflict (id) do update set status = excluded.status"
    late, added = (
        [sent, shop.id, customer, due, "cancelled"],
        [new, shop.id, customer, due, "scheduled"],
    )
    with too_late(shop):
        write(
            shop, f"{_INSERT}, (%s, %s, %s, 'See you', %s, %s) {merge}", *late, *added
        )
    assert write(shop, f"{_INSERT} {merge}", *added) == {new}
    assert states(shop, sent, new) == ["queued", "scheduled"]
