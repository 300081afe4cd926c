"""What silent workers held is taken back. A row whose workers die is claimed alone, ever less often, never failed."""

from datetime import timedelta

import pytest

from tests.integration.story import Story
from tests.support.claims import claim_suspect
from tests.support.records import columns
from tests.support.shop import Shop

STORIES = {
    "a row whose worker died before the send is free again after ten minutes, which a begin starts anew": """
        text
        claim: it
        9 minutes
        recover:
        1 minute
        recover: it
        it.status attempt_count: pending, 0
        claim: it
        9 minutes
        begin: go
        9 minutes
        recover:""",
    "a claim from a clock that was ahead is taken back: its lease would last until then": """
        text
        400 days
        claim: it
        -400 days
        recover: it
        run: Sent""",
}


@pytest.mark.parametrize("story", STORIES)
def test_what_a_silent_worker_held_is_taken_back(shop: Shop, story: str) -> None:
    """It costs no attempt."""
    Story(shop).tell(STORIES[story])


def test_recovery_goes_row_by_row_and_waits_for_nobody(shop: Shop) -> None:
    """It passes over what a worker writes at this moment, and over what the database refuses to write."""
    written, refused, silent = (shop.due_text() for _ in range(3))
    shop.claims()
    shop.later(minutes=11)
    jam = f"alter table sms_retry_queue add constraint jam check (id <> '{refused}' or status <> 'pending') not valid"
    with shop.changed(jam, "alter table sms_retry_queue drop constraint jam"):  # noqa: SIM117
        with shop.locked("sms_retry_queue where id = %s", written):
            assert shop.recover() == [silent]
    assert set(shop.recover()) == {written, refused}


def test_a_row_that_kills_its_workers_is_claimed_alone_and_never_given_up(
    shop: Shop,
) -> None:
    """Twice with others, then by itself and ever less often, and a person can see why. Nobody tried to send it."""
    rows = {shop.due_text(), shop.due_text()}
    for _ in range(2):
        assert {claim.id for claim in shop.claims(2)} == rows
        shop.later(minutes=11)
        shop.recover()
    for row in rows:
        assert (
            shop.row(row)["recover_count"],
            "claimed alone" in shop.row(row)["why"],
        ) == (2, True)
    for _ in range(6):
        assert shop.claims() == []
        shop.later(minutes=16)
        assert len(claim_suspect(shop.queue)) == 1
        shop.later(minutes=11)
        shop.recover()
    records = [shop.row(row) for row in rows]
    assert sum(row["recover_count"] for row in records) == 10
    assert [
        columns(row, "status", "attempt_count", "last_error") for row in records
    ] == [("pending", 0, None)] * 2
    shop.later(minutes=16)
    assert shop.run() == ["Sent", "Sent"]


def test_of_rows_under_suspicion_the_one_that_killed_fewest_workers_is_claimed_first(
    shop: Shop,
) -> None:
    """It is the likeliest to be innocent. What is not due or locked is passed over. A begin clears its row."""
    rows = {deaths: shop.due_text() for deaths in (4, 2, 3)}
    locked, later = shop.due_text(), shop.due_text(due=timedelta(hours=1))
    for deaths, row in (rows | {5: locked, 6: later}).items():
        shop.sql(
            "update sms_retry_queue set recover_count = %s where id = %s", deaths, row
        )
    with shop.locked("sms_retry_queue where id = %s", locked):
        claims = [claim for _ in range(5) for claim in claim_suspect(shop.queue)]
    assert [claim.id for claim in claims] == [rows[2], rows[3], rows[4]]
    assert shop.begin(claims[0]).answer == "go"
    assert shop.row(rows[2])["recover_count"] == 0


def test_a_row_under_suspicion_is_claimed_ever_less_often(shop: Shop) -> None:
    """Up to a quarter of an hour apart, so that what kills a worker a run does not stop all runs."""
    expected = {1: 0, 2: 1, 3: 2, 10: 9, 16: 15, 40: 15}
    rows = {deaths: shop.due_text() for deaths in expected}
    for deaths, row in rows.items():
        shop.sql(
            "update sms_retry_queue set recover_count = %s where id = %s", deaths, row
        )
        assert shop.queue.claim_one(row) is not None
    shop.later(minutes=11)
    shop.recover()
    waits = {
        deaths: shop.row(row)["scheduled_for"] - shop.row(row)["updated_at"]
        for deaths, row in rows.items()
    }
    assert waits == {
        deaths: timedelta(minutes=minutes) for deaths, minutes in expected.items()
    }
