"""A claim is atomic and takes at most what it asks for; its number is the fence of every write; answers may be lost."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.local.twilio.faults import JsonError
from smsretry.retry.models import Claim
from tests.integration.story import Story
from tests.support.builders import SID
from tests.support.claims import claim_doubtful
from tests.support.records import Record
from tests.support.shop import Shop


def outcomes(shop: Shop, claim: Claim, attempt: object) -> Record:
    """What a worker may say of the text that it claimed, and what each call answers."""
    fence, later = [claim.id, claim.claim_no], shop.now() + timedelta(hours=1)
    finish = "select applied from finish_sms_attempt(%s, %s, %s, {})"
    return {
        "begin": shop.value("select answer from begin_sms_attempt(%s, %s, %s, %s, '')", *fence, uuid4(), later),
        "defer": shop.value("select defer_sms_retry(%s, %s, %s, 'quiet_hours', 'Night')", *fence, later),
        "hold": shop.value(
            "select defer_sms_retry(%s, %s, why => 'No zone', due_in => '15 minutes', held => true)", *fence
        ),
        "end": shop.value("select end_sms_retry(%s, %s, 'failed', 'No number')", *fence),
        "accepted": shop.value(
            finish.format("'accepted', 'completed', twilio_sid => %s"), *fence, attempt, SID),
        "refused": shop.value(
            finish.format("'rejected', 'pending', why => 'No', due_in => interval '1 minute'"), *fence, attempt),
    }  # fmt: skip


REFUSED = "+12125550199"
EXPIRED = {"answer": "ended", "why_code": "expired"}
NOTHING = {
    "begin": "claim_lost",
    "defer": False,
    "hold": False,
    "end": False,
    "accepted": False,
    "refused": False,
}


def test_a_worker_that_lost_its_claim_changes_nothing(shop: Shop) -> None:
    """Whatever it believes, and whether it names its own attempt or the other worker's."""
    row = shop.due_text()
    stale = shop.claim()
    shop.later(minutes=11)
    shop.recover()
    assert outcomes(shop, stale, uuid4()) == NOTHING, "nobody has it"
    fresh, attempt = shop.claim(), uuid4()
    assert shop.begin(fresh, attempt).answer == "go"
    before = shop.row(row)
    for named in (uuid4(), attempt):
        assert outcomes(shop, stale, named) == NOTHING
    assert (shop.row(row), shop.log_of(row)["status"]) == (before, "pending")


def test_what_has_begun_is_moved_by_its_own_outcome_alone(shop: Shop) -> None:
    """Whatever its worker says meanwhile. After recovery it is in doubt: only evidence settles it."""
    row, attempt = shop.due_text(), uuid4()
    claim = shop.claim()
    assert [shop.begin(claim, attempt).answer for _ in range(3)] == ["go"] * 3, (
        "the same begin repeated is the same"
    )
    before = shop.row(row)
    assert outcomes(shop, claim, uuid4()) == NOTHING, "another attempt is not its own"
    assert shop.row(row) == before
    shop.later(minutes=11)
    shop.recover()
    before = shop.row(row)
    assert before["in_doubt_since"] is not None
    assert outcomes(shop, claim, attempt) == NOTHING
    shop.later(minutes=2)
    [look] = claim_doubtful(shop.queue, 1)
    begin = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '')"
    finish = "select applied from finish_sms_attempt(%s, %s, %s, 'accepted', 'completed', twilio_sid => %s)"
    answer = (
        shop.value(begin, row, look.claim_no),
        shop.value(finish, row, look.claim_no, attempt, SID),
    )
    assert answer == ("claim_lost", False), (
        "a look has the claim for its evidence alone"
    )
    assert shop.status_of(row) == "processing"
    assert shop.sends(row, "outcome") == ["in_doubt"]


@pytest.mark.parametrize(
    ("function", "customer", "fate"),
    [
        ("begin_sms_attempt", {}, "Sent"),
        ("finish_sms_attempt", {}, "Sent"),
        ("finish_sms_attempt", {"phone": REFUSED}, "RetryScheduled"),
        ("defer_sms_retry", {"timezone": "Pacific/Honolulu"}, "Deferred"),
        ("defer_sms_retry", {"phone": "+881612345678", "timezone": None}, "Held"),
        ("end_sms_retry", {"phone": None}, "Failed"),
    ],
)
def test_an_answer_that_is_lost_after_the_commit_costs_nothing(
    shop: Shop, function: str, customer: Record, fate: str
) -> None:
    """The adapter asks again, and the function knows that it was asked before."""
    row = shop.due_text(**customer)
    shop.twilio.fail(JsonError(30003), to=REFUSED)
    shop.stack.rpc_faults.drop_after_commit(function, times=1)
    assert shop.run() == [fate]
    assert (len(shop.messages), len(shop.attempts_of(row))) == (
        fate == "Sent",
        fate in ("Sent", "RetryScheduled"),
    )
    assert shop.row(row)["attempt_count"] == len(shop.attempts_of(row))


def test_a_claim_takes_at_most_what_it_asks_for(shop: Shop) -> None:
    """Also on tables without statistics, where a locking subquery would run once a row. Each is oldest first."""
    shop.sql("truncate sms_retry_queue cascade")
    rows = [shop.due_text(due=timedelta(minutes=n - 60)) for n in range(40)]
    assert [len(shop.claims(limit)) for limit in (0, -5)] == [0, 0]
    assert {claim.id for claim in shop.claims(10)} == set(rows[:10])
    assert (
        shop.value("select count(*) from sms_retry_queue where status = 'processing'")
        == 10
    )
    assert len(shop.claims(10_000)) == 30


STORIES = {
    "the claim number rises with every claim and never falls, whatever gives the attempt back": """
        text
        claim: it
        it.claim_no: 1
        sql select defer_sms_retry(id, claim_no, smsretry.clock(), null, 'x') from sms_retry_queue
        claim: it
        it.claim_no: 2
        sql select defer_sms_retry(id, claim_no, smsretry.clock(), null, 'x') from sms_retry_queue
        claim: it
        it.claim_no: 3
        11 minutes
        recover: it
        claim: it
        it.claim_no: 4""",
    "only what waits and is due is claimed, and by its id nothing that a worker has or that may have gone out": """
        text later due=2
        text completed
        text failed
        text cancelled
        sql update sms_retry_queue set status = 'completed' where id = {completed}
        sql update sms_retry_queue set status = 'failed' where id = {failed}
        sql update sms_retry_queue set status = 'cancelled' where id = {cancelled}
        claim:
        text
        claim: it
        select jsonb_array_length(claim_sms_retry({it}) -> 'texts'): 0
        begin: go
        sql update sms_retry_queue set scheduled_for = smsretry.clock() + interval '1 day' where id = {later}
        11 minutes
        recover: it
        select in_doubt_since is not null from sms_retry_queue where id = {it}: True
        select jsonb_array_length(claim_sms_retry({it}) -> 'texts'): 0""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_claims(shop: Shop, story: str) -> None:
    """By the database's clock."""
    Story(shop).tell(STORIES[story])


def test_the_end_that_a_text_has_outranks_the_worker_s(shop: Shop) -> None:
    """What the application or an earlier begin has said is not put off, and no send begins past it."""
    for _ in range(2):
        shop.due_text()
    claims, end = shop.claims(), shop.now() + timedelta(hours=1)
    shop.sql("update sms_retry_queue set expires_at = %s", end)
    begin = "select answer, why_code from begin_sms_attempt(%s, %s, gen_random_uuid(), %s, '', expires_at => %s)"
    for claim, answer in zip(
        claims, ({"answer": "go", "why_code": None}, EXPIRED), strict=True
    ):
        assert shop.sql(
            begin,
            claim.id,
            claim.claim_no,
            end + timedelta(days=1),
            end + timedelta(days=2),
        ) == [answer]
        assert shop.row(claim.id)["expires_at"] == end
        shop.later(hours=1)


def test_what_is_locked_is_passed_over_and_what_is_decided_by_stays_locked(
    shop: Shop,
) -> None:
    """An opt-out, or another's word that it was sent, waits until a begin is written, or is seen by it."""
    locked, free = shop.due_text(), shop.due_text()
    begin = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '')"
    with shop.stack.connect() as other_connection:
        with other_connection.transaction():
            other_connection.execute(
                "select from sms_retry_queue where id = %s for update", [locked]
            )
            claim = shop.claim()
            assert claim.id == free
        with shop.connection.transaction():
            assert shop.value(begin, claim.id, claim.claim_no) == "go"
            for table, column in (
                ("customers", "customer_id"),
                ("send_logs", "send_log_id"),
                ("sms_retry_queue", "id"),
            ):
                key = shop.row(free)[column]
                ask = f"select from {table} where id = %s for update skip locked"
                assert other_connection.execute(ask.encode(), [key]).fetchall() == [], (
                    table
                )
