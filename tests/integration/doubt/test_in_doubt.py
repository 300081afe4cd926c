"""A text in doubt is settled by evidence: the database's, Twilio's callback, Twilio's list, or a person's word."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry import queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Requeue
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
from tests.support.builders import (
    BODY,
    PHONE,
    SID,
    finish,
    give_up,
    refused,
    resolution,
    retry,
)
from tests.support.claims import claim_doubtful, claim_suspect
from tests.support.orders import ordered, resolve
from tests.support.records import columns
from tests.support.shop import Shop


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


@pytest.mark.parametrize(
    "fault",
    [DropUnaccepted(), HtmlError(http_status=503)],
)
def test_a_text_that_twilio_does_not_have_is_sent_again_after_three_looks_and_fifteen_minutes(
    shop: Shop, fault: DropUnaccepted | HtmlError
) -> None:
    """Not before; then exactly once, and another doubt would be looked at as often."""
    row = in_doubt(shop, fault)
    assert live(shop, minutes=14) == ["InDoubt", "InDoubt"]
    assert live(shop, minutes=30) == ["RetryScheduled", "Sent"]
    assert shop.sends(row, "outcome") == [
        "not_sent",
        "accepted",
    ]
    assert (
        shop.row(row)["attempt_count"],
        shop.row(row)["reconcile_count"],
        len(shop.messages),
    ) == (2, 0, 1)


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


def test_a_callback_settles_the_text_before_any_look(shop: Shop) -> None:
    """The status callback URL carried the attempt's id; the webhook passes it on."""
    row = in_doubt(shop, AcceptThenDrop())
    attempt, signed = (
        shop.row(row)["attempt_id"],
        "select settle_sms_attempt(%s, %s, account_sid => %s)",
    )
    assert shop.value(signed, attempt, SID, "AC" + "9" * 32) == "unknown_attempt", (
        "an account speaks for its own alone"
    )
    assert [settle(shop, attempt) for _ in range(2)] == ["settled", "already_settled"]
    assert (shop.status_of(row), shop.attempts_of(row)[0]["settled_by"]) == (
        "completed",
        "callback",
    )
    assert shop.log_of(row)["provider_message_id"] == {"twilio_sid": SID}
    shop.later(hours=1)
    assert shop.run() == []
    row, attempt = shop.due_text(), uuid4()
    claim = shop.claim()
    shop.begin(claim, attempt)
    other = "SM" + "1" * 32
    assert settle(shop, attempt, other) == "settled", (
        "before the answer that names the message"
    )
    late = finish(
        shop.queue, claim, attempt, Accepted(other), Complete("Accepted", sid=other)
    )
    assert (late.applied, late.status) == (True, "completed")


@pytest.mark.parametrize("meanwhile", ["under way", "completed", "failed"])
def test_a_callback_about_an_earlier_send_leaves_the_row_to_the_later_one(
    shop: Shop, meanwhile: str
) -> None:
    """Its send log says that it was sent, and keeps the message that it names."""
    row, sends, named = shop.due_text(), [uuid4(), uuid4()], SID
    claim = shop.claim()
    shop.begin(claim, sends[0])
    finish(shop.queue, claim, sends[0], refused(30003), retry())
    shop.later(minutes=2)
    claim = shop.claim()
    shop.begin(claim, sends[1])
    if meanwhile == "completed":
        named = "SM" + "1" * 32
        finish(
            shop.queue,
            claim,
            sends[1],
            Accepted(named),
            Complete("Accepted", sid=named),
        )
    elif meanwhile == "failed":
        finish(shop.queue, claim, sends[1], refused(30003), give_up())
    before = shop.row(row)
    assert settle(shop, sends[0]) == "recorded"
    assert shop.row(row) == before
    assert shop.sends(row, "claim_no") == [1, 2]
    log = shop.log_of(row)
    assert columns(log, "status", "provider_message_id") == (
        "sent",
        {"twilio_sid": named},
    )


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


def test_a_person_says_what_became_of_a_text_that_expired_in_doubt(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """It went out: its send log says so, and it is not queued again. It did not: only then may it be requeued."""
    went, lost = (
        in_doubt(shop, AcceptThenDrop()),
        in_doubt(shop, DropUnaccepted(), phone="+12125550124"),
    )
    shop.twilio.fail(ListError(), times=None)
    shop.later(hours=49)
    assert shop.run() == ["Failed"] * 2
    assert "`smsretry texts resolve`" in shop.row(went)["last_error"]

    [message] = shop.messages
    assert [
        resolve(operators, resolution(went, sid))
        for sid in (message.sid, message.sid, SID)
    ] == [True, True, False]
    [attempt], log = shop.attempts_of(went), shop.log_of(went)
    assert columns(log, "status", "error_message") == ("sent", None)
    assert log["provider_message_id"] == {"twilio_sid": message.sid}
    assert columns(attempt, "outcome", "settled_by", "sent_to") == (
        "accepted",
        "operator",
        None,
    )
    assert queue_sms_retry(log["id"], None, queue=shop.queue).result == "already_sent"

    requeue = Requeue(
        retry_ids=[lost], dry_run=False, who="Ann", because="It never went out"
    )
    assert ordered(operators, requeue).changed == 0
    assert resolve(operators, resolution(lost, None))
    assert shop.ends(went, lost) == "failed failed"
    assert ordered(operators, requeue).changed == 1
    assert shop.run() == ["Sent"]


def test_a_persons_word_waits_while_a_worker_looks(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """The worker may be finding the message at this moment."""
    row = in_doubt(shop, AcceptThenDrop())
    shop.at(shop.now() + LOOK)
    assert len(claim_doubtful(shop.queue, 1)) == 1
    before = shop.attempts_of(row)
    assert not resolve(operators, resolution(row, None))
    assert shop.attempts_of(row) == before


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
