"""Group commit: calls of `group_sms_calls` are one transaction, and each of them answers for itself alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psycopg.types.json import Jsonb

from smsretry.retry.decision import GiveBack
from smsretry.retry.models import Claim
from tests.integration.isolation.test_slow_businesses import trigger
from tests.support.records import Record
from tests.support.shop import Shop
from tests.support.waiting import until


def begin(claim: Claim, attempt: int = 1, **changes: object) -> Record:
    """A worker's begin, as it travels."""
    values = {
        "retry_id": str(claim.id), "claim_no": claim.claim_no, "attempt_id": f"00000000-0000-0000-0000-{attempt:012}",
        "send_before": "2027-01-13T00:00:00Z", "quiet_hours_rule": "test",
        "life": "48 hours", "segments": 1, "answer_seconds": 0,
    }  # fmt: skip
    return {
        "function": "begin_sms_attempt",
        "lock_order": f"{claim.phone} {claim.id}",
        "values": values | changes,
    }


def defer(claim: Claim) -> Record:
    """Likewise what puts a text off."""
    values = {
        "retry_id": str(claim.id),
        "claim_no": claim.claim_no,
        "due_at": "2027-01-13T00:00:00Z",
        "why": "night",
    }
    return {
        "function": "defer_sms_retry",
        "lock_order": f"{claim.phone}",
        "values": values,
    }


def together(shop: Shop, *calls: Record) -> list[Any]:
    """The answer of each call, or its error's code; None: there was no time for it."""
    answers_by_place = {
        one["place"]: one
        for one in shop.value("select group_sms_calls(%s)", Jsonb(calls))
    }
    answers = [answers_by_place.get(place) for place in range(1, len(calls) + 1)]
    short = [one and (one.get("code") or one.get("answer")) for one in answers]
    return [one["answer"] if isinstance(one, dict) else one for one in short]


def claims_of(shop: Shop, texts: int) -> list[Claim]:
    """Claims of so many due texts, in order of their numbers."""
    for n in range(texts):
        shop.due_text(phone=f"+1212555{n:04}")
    return sorted(shop.claims(), key=lambda claim: claim.phone or "")


def test_each_call_of_a_group_has_the_answer_it_has_alone(shop: Shop) -> None:
    """Whatever the others answer, and in the order they were given. What fails is undone alone, and what no worker
    calls is refused alone. A group may be repeated: its answer was lost after it was committed.
    """
    claims = claims_of(shop, 6)
    shop.sql(
        "update customers set sms_consent_status = 'opted_out' where id = %s",
        claims[1].customer_id,
    )
    calls = [
        begin(claims[5], 5),
        begin(claims[0], 1),
        begin(claims[1], 2),
        begin(claims[2], 3, claim_no=99),
        begin(claims[3], 4, send_before="2027-01-12T00:00:00Z"),
        begin(claims[4], 6, claim_no=None),
        {"function": "prune_sms_history", "lock_order": "", "values": {}},
        {"function": "", "lock_order": "", "values": {}},
    ]
    assert together(shop, *calls) == [
        "go",
        "go",
        "ended",
        "claim_lost",
        "closed",
        "SR422",
        "SR422",
        "SR422",
    ]
    assert [shop.row(claim.id)["begun_at"] is not None for claim in claims] == [
        True,
        *[False] * 4,
        True,
    ]
    assert together(shop, *calls[:2]) == ["go", "go"]
    assert shop.value("select count(*) from sms_send_attempts") == 2


def test_rows_that_somebody_holds_locked_hold_a_group_up_once(shop: Shop) -> None:
    """One lock is waited for, for half a second; the others are left for the next run at once."""
    claims = claims_of(shop, 34)
    with shop.stack.connect() as other_connection, other_connection.transaction():
        locked = [claim.id for claim in claims[:30]]
        other_connection.execute(
            "select from sms_retry_queue where id = any (%s) for update", [locked]
        )
        codes = together(shop, *(begin(claim, n) for n, claim in enumerate(claims)))
    assert codes[0] == "55P03"
    assert set(codes[:30]) <= {"55P03", None}, (
        "on a busy machine there was no time for all of them"
    )
    assert set(codes[30:]) <= {"go", None}
    assert codes.count("55P03") > 2, (
        "half a second each would be no more than two of them"
    )


def test_a_group_that_is_slow_ends_after_a_second_and_what_only_a_commit_asks_fails_its_own_call(
    shop: Shop,
) -> None:
    """What was not made belongs to the next group. A deferred constraint of the application's undoes no other call."""
    neighbor = shop.neighbor()
    neighbor.due_text(phone="+12055550100")
    first_claim, *claims = claims_of(shop, 3)
    assert first_claim.business_id == neighbor.id
    with trigger(neighbor, "raise exception 'No'", deferred=True):
        assert together(shop, *map(defer, (claims[0], first_claim))) == [True, "P0001"]
    with trigger(neighbor, "perform pg_sleep(1.1)"):
        assert together(shop, *map(defer, (first_claim, *claims[1:]))) == [
            True,
            None,
            None,
        ]


def test_a_call_that_waits_for_a_lock_keeps_no_other_call_from_its_answer(
    shop: Shop,
) -> None:
    """Also where it was the only one under way when it began to wait."""
    first_claim, second = claims_of(shop, 2)
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as other_connection:
        with other_connection.transaction():
            other_connection.execute(
                "select from sms_retry_queue where id = %s for update", [first_claim.id]
            )
            waiting = pool.submit(
                shop.queue.act_on, first_claim, GiveBack("Asked to", "operator")
            )
            until(lambda: shop.sql(waits))
            assert shop.queue.act_on(second, GiveBack("Asked to", "operator"))
            assert not waiting.done()
        assert waiting.result()


def test_without_the_group_function_each_call_is_made_alone(shop: Shop) -> None:
    """A grant that is missing there costs no text."""
    for n in range(20):
        shop.due_text(phone=f"+121255501{n:02}")
    grant = "execute on function group_sms_calls"
    with shop.changed(
        f"revoke {grant} from service_role", f"grant {grant} to service_role"
    ):
        assert shop.run() == ["Sent"] * 20
