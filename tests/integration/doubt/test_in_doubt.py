"""A text in doubt is settled by evidence: the database's, Twilio's callback, Twilio's list, or a person's word."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    BrokenAnswer,
    DropUnaccepted,
    HtmlError,
    JsonError,
    ListError,
)
from smsretry.retry.decision import Complete
from smsretry.retry.outcome import Accepted
from smsretry.retry.profile import Profile
from tests.integration.doubt.doubting import LOOK, in_doubt, live, settle
from tests.integration.story import Story
from tests.support.builders import (
    BODY,
    PHONE,
    finish,
)
from tests.support.claims import claim_doubtful, claim_suspect
from tests.support.records import columns
from tests.support.shop import Shop

STORIES = {
    "one that Twilio does not have is sent again after three looks and fifteen minutes, and once": """
        a text in doubt that Twilio has not
        14 runs: InDoubt, InDoubt
        30 runs: RetryScheduled, Sent
        it.sends.outcome: not_sent, accepted
        it.attempt_count reconcile_count: 2, 0     # another doubt would be looked at as often
        messages: 1""",
    "likewise, where a page was in the place of the answer": """
        text
        Twilio shows a page
        run: InDoubt
        14 runs: InDoubt, InDoubt
        30 runs: RetryScheduled, Sent
        it.sends.outcome: not_sent, accepted
        it.attempt_count reconcile_count: 2, 0
        messages: 1""",
    "a callback with the attempt's id settles it before any look, by the account that it left from alone": """
        a text in doubt that Twilio has
        select settle_sms_attempt(attempt_id, 'SM' || repeat('1', 32), account_sid => 'AC' || repeat('9', 32)) \
            from sms_retry_queue: unknown_attempt
        callback of the attempt of it nobody: settled
        callback of the attempt of it nobody: already_settled
        it: completed sent
        it.sends.settled_by twilio_sid: callback, it/1
        it.log.provider_message_id: it/1
        1 hour
        run:""",
    "a callback about an earlier send leaves the row to the later one, which is under way": """
        text
        Twilio refuses 30003
        run: RetryScheduled
        6 minutes
        begin: go
        keep it
        callback of the attempt of it/1 nobody: recorded
        it is as it was: True
        it.sends.claim_no: 1, 2
        it.log.status provider_message_id: sent, it/1""",
    "likewise, if the later one is completed: its send log keeps the message that it names": """
        text
        Twilio refuses 30003
        run: RetryScheduled
        6 minutes
        run: Sent
        keep it
        callback of the attempt of it/1 nobody: recorded
        it is as it was: True
        it.log.status provider_message_id: sent, it/2""",
    "likewise, if the later one has failed": """
        text
        Twilio refuses 30003
        run: RetryScheduled
        6 minutes
        Twilio refuses 21612
        run: Failed
        keep it
        callback of the attempt of it/1 nobody: recorded
        it is as it was: True
        it.log.status provider_message_id: sent, it/1""",
    "a person says what became of one that expired, and one that did not go out may then be requeued": """
        a text in doubt that Twilio has
        text lost phone=+12125550124
        Twilio loses the text
        run: InDoubt
        Twilio has no list always
        49 hours
        run: Failed, Failed
        select last_error like '%`smsretry texts resolve`%' from sms_retry_queue where id = {it}: True
        it went out as ledger/1: True
        it went out as ledger/1: True
        it went out as nobody: False
        it.log.status error_message provider_message_id: sent, None, it/1
        it.sends.outcome settled_by sent_to: accepted, operator, None
        select result from queue_sms_retry((select send_log_id from sms_retry_queue where id = {it})): already_sent
        requeue lost: 0
        lost did not go out: True
        it.status: failed
        lost.status: failed
        requeue lost: 1
        run: Sent""",
    "a person's word waits while a worker looks, who may be finding the message": """
        a text in doubt that Twilio has
        61 seconds
        sql select claim_sms_texts(10)
        keep it.sends
        it did not go out: False
        it.sends is as it was: True""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_the_texts_in_doubt(shop: Shop, story: str) -> None:
    """Evidence settles them, or a person."""
    Story(shop).tell(STORIES[story])


def test_a_callback_may_come_before_the_answer_that_names_its_message(
    shop: Shop,
) -> None:
    """Which then finds it settled."""
    shop.due_text()
    claim, attempt, other = shop.claim(), uuid4(), "SM" + "1" * 32
    shop.begin(claim, attempt)
    assert settle(shop, attempt, other) == "settled"
    accepted = Complete("Accepted", sid=other)
    late = finish(shop.queue, claim, attempt, Accepted(other), accepted)
    assert (late.applied, late.status) == (True, "completed")


def test_a_text_that_twilio_has_is_found_in_its_list_and_completed(shop: Shop) -> None:
    """Whatever broke the answer. Number and words are kept until then; afterwards a keyed hash is enough."""
    for fault in (
        AcceptThenDrop(), JsonError(20500, http_status=500, accepted=True), HtmlError(http_status=503, accepted=True),
        BrokenAnswer.EMPTY, BrokenAnswer.HTML, BrokenAnswer.TRUNCATED, BrokenAnswer.WITHOUT_SID,
    ):  # fmt: skip
        row = in_doubt(shop, fault)
        [attempt] = shop.attempts_of(row)
        assert columns(attempt, "sent_to", "sent_body") == (PHONE, BODY)
        shop.at(shop.now() + LOOK)
        assert shop.run() == ["Sent"]
        [attempt], message = shop.attempts_of(row), shop.messages[-1]
        assert columns(attempt, "outcome", "settled_by") == ("accepted", "reconcile")
        assert columns(attempt, "twilio_sid", "sent_to", "sent_body") == (
            message.sid,
            None,
            None,
        )
        assert len(attempt["number_key"]) == 32
        assert (shop.status_of(row), shop.log_of(row)["provider_message_id"]) == (
            "completed",
            {"twilio_sid": message.sid},
        )
        shop.later(days=8)
    assert len(shop.messages) == 7


def test_with_the_policy_hold_a_person_decides(shop: Shop) -> None:
    """The row is held with what to do, its attempt stays in doubt, and nobody is given it who would simply send it."""
    row = in_doubt(shop, DropUnaccepted())
    live(shop, Profile(in_doubt="hold"))
    held_record = shop.row(row)
    assert held_record["status"] == "pending"
    assert held_record["in_doubt_since"]
    assert held_record["held_since"]
    assert held_record["why"].startswith("In doubt: no evidence after 3 looks")
    assert shop.sends(row, "outcome") == ["in_doubt"]
    shop.later(hours=2)
    assert shop.sql("select from claim_due_sms_retries(10)") == []
    assert not shop.messages


def test_a_look_that_failed_is_not_an_absence(shop: Shop) -> None:
    """Hours without Twilio's list send nothing again, and from the first on a person is told; then it is found."""
    row = in_doubt(shop, AcceptThenDrop())
    shop.twilio.fail(ListError(), times=None)
    for minutes in range(20, 500, 20):
        shop.later(minutes=20)
        assert shop.run() == ["InDoubt" if minutes < 60 else "Held"]
    assert shop.row(row)["reconcile_count"] == 0
    shop.twilio.heal()
    shop.later(minutes=20)
    shop.stack.rpc_faults.drop_after_commit("reconcile_sms_retry", times=1)
    assert shop.run() == ["Sent"], "though the answer to the decision was lost"
    assert len(shop.messages) == 1


def test_a_send_log_that_the_application_marked_as_sent_is_evidence(shop: Shop) -> None:
    """Its webhook may know the status and not the attempt. The list need not be had."""
    for status in ("sent", "delivered", "undelivered"):
        row = in_doubt(shop, AcceptThenDrop())
        shop.sql(
            "update send_logs set status = %s where id = %s",
            status,
            shop.row(row)["send_log_id"],
        )
        shop.twilio.fail(ListError(), times=None)
        shop.at(shop.now() + LOOK)
        assert shop.run() == ["Sent"]
        log = shop.log_of(row)
        assert (shop.status_of(row), log["status"], log["provider_message_id"]) == (
            "completed",
            status,
            None,
        )
        shop.twilio.heal()


def test_a_doubt_outlives_every_worker_that_dies_over_it(shop: Shop) -> None:
    """To give it up would call a text failed that its reader has. It may be what kills them, so it is claimed alone."""
    row, shares = in_doubt(shop, AcceptThenDrop()), []
    for _ in range(5):
        shop.later(minutes=16)
        together = claim_doubtful(shop.queue, 1)
        shares.append(len(together))
        assert len(together or claim_suspect(shop.queue)) == 1
        shop.later(minutes=11)
        shop.recover()
    assert shares == [1, 1, 0, 0, 0]
    shop.at(shop.now() + timedelta(minutes=16))
    assert shop.run() == ["Sent"]
    assert shop.status_of(row) == "completed"
