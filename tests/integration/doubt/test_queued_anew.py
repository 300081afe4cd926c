"""A text that ended in doubt and is queued anew is in doubt about its earlier send, until that is settled.

It had simply been sent once more: only the row that had ended knew of the doubt.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ExplainText, Requeue
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.retry.before import LIFE
from tests.integration.doubt.doubting import fails_in_doubt, live, settle
from tests.support.builders import resolution
from tests.support.claims import claim_doubtful
from tests.support.orders import ordered, resolve
from tests.support.records import columns
from tests.support.shop import Shop

WHY = "An earlier send of this text may have gone out: it is looked for before another one leaves"


def queued_anew(shop: Shop, row: UUID) -> UUID:
    """As an application does that retries what has failed."""
    ended = shop.row(row)
    return shop.queue_row(ended["send_log_id"], ended["customer_id"])


def test_a_text_that_twilio_has_is_found_and_not_sent_again(shop: Shop) -> None:
    """Here it is queued by the call. The new row says what it waits for, and is completed with what is found."""
    row = fails_in_doubt(shop, AcceptThenDrop())
    new = queue_sms_retry(shop.row(row)["send_log_id"], None, queue=shop.queue).retry_id
    assert new
    waits = shop.row(new)
    assert (waits["status"], waits["in_doubt_since"] is not None, waits["why"]) == (
        "pending",
        True,
        WHY,
    )
    assert waits["attempt_id"] == shop.attempts_of(row)[0]["id"]
    live(shop)
    [message], [attempt] = shop.messages, shop.attempts_of(new)
    assert shop.ends(row, new) == "failed completed"
    assert shop.log_of(new)["provider_message_id"] == {"twilio_sid": message.sid}
    assert columns(attempt, "outcome", "settled_by", "twilio_sid") == (
        "accepted",
        "reconcile",
        message.sid,
    )


def test_a_text_that_twilio_does_not_have_is_sent_once_after_three_looks(
    shop: Shop,
) -> None:
    """Here it is inserted. Its life begins anew with the first look."""
    row = fails_in_doubt(shop, DropUnaccepted())
    new = queued_anew(shop, row)
    shop.at(shop.now() + next_retry_delay(0))
    assert shop.run() == ["InDoubt"]
    assert (
        timedelta(0)
        <= shop.now() + LIFE - shop.row(new)["expires_at"]
        < timedelta(minutes=1)
    )
    assert live(shop, minutes=14) == ["InDoubt"]
    live(shop)
    assert len(shop.messages) == 1
    assert shop.sends(row, "outcome") == ["not_sent"]
    assert shop.sends(new, "outcome") == ["accepted"]


def test_a_callback_about_the_earlier_send_completes_the_new_row(shop: Shop) -> None:
    """At once, also while a worker looks: whatever that one found then changes nothing."""
    new = queued_anew(shop, fails_in_doubt(shop, AcceptThenDrop()))
    attempt, [claim] = shop.row(new)["attempt_id"], claim_doubtful(shop.queue, 1)
    assert [settle(shop, attempt) for _ in range(2)] == ["settled", "already_settled"]
    assert (shop.status_of(new), shop.log_of(new)["status"]) == (
        "completed",
        "sent",
    )
    assert shop.sends(new, "id") == [attempt]
    assert shop.process(claim).fate == "ClaimLost"
    live(shop)
    assert len(shop.messages) == 1


@pytest.mark.parametrize("went_out", [True, False])
@pytest.mark.parametrize("asked", ["old", "new"])
def test_a_person_says_by_either_row_whether_it_went_out(
    shop: Shop, operators: SupabaseOperators, asked: str, went_out: bool
) -> None:
    """The new row is completed with that message, or sent at once, with every check."""
    row = fails_in_doubt(shop, AcceptThenDrop() if went_out else DropUnaccepted())
    rows = {"old": row, "new": queued_anew(shop, row)}
    sid = shop.messages[0].sid if went_out else None
    assert resolve(operators, resolution(rows[asked], sid))
    assert shop.run() == ([] if went_out else ["Sent"])
    assert (shop.status_of(rows["new"]), len(shop.messages)) == ("completed", 1)
    assert shop.log_of(row)["provider_message_id"] == {
        "twilio_sid": shop.messages[0].sid
    }


def test_a_word_that_came_while_it_was_queued_is_found_by_the_next_look(
    shop: Shop,
) -> None:
    """The person's transaction did not see the new row yet, nor the new row's that the doubt was over."""
    new = queued_anew(shop, fails_in_doubt(shop, DropUnaccepted()))
    said = "outcome = 'not_sent', settled_by = 'operator', sent_to = null, sent_body = null"
    shop.sql(
        f"update sms_send_attempts set {said} where id = %s",
        shop.row(new)["attempt_id"],
    )
    live(shop, minutes=5)
    assert (shop.status_of(new), len(shop.messages)) == ("completed", 1)


def test_a_row_that_failed_is_not_requeued_while_another_one_of_its_text_is_in_doubt(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """Either row may be named to settle it."""
    newer = queued_anew(shop, fails_in_doubt(shop, DropUnaccepted()))
    ended = "status = 'failed', last_error = 'It failed', attempt_id = null, in_doubt_since = null"
    shop.sql(f"update sms_retry_queue set {ended} where id = %s", newer)
    requeue = Requeue(
        retry_ids=[newer], dry_run=False, who="Ann", because="It never went out"
    )
    [(reason, texts)] = ordered(operators, requeue).skipped.items()
    assert (texts, "resolve_sms_doubt" in reason) == (1, True)
    assert operators.texts(ExplainText(id=newer))[0].can == ("resolve",)
    assert resolve(operators, resolution(newer, None))
    assert ordered(operators, requeue).changed == 1
    assert shop.run() == ["Sent"]


def test_a_row_that_somebody_put_back_by_hand_is_in_doubt_about_its_send(
    shop: Shop,
) -> None:
    """However it comes back, and it cannot be begun."""
    row = fails_in_doubt(shop, AcceptThenDrop())
    shop.sql("update sms_retry_queue set reconcile_count = 2")
    shop.sql("update sms_retry_queue set status = 'pending', expires_at = null")
    back = shop.row(row)
    assert columns(back, "attempt_id", "why") == (shop.attempts_of(row)[0]["id"], WHY)
    assert back["reconcile_count"] == 0, "the looks start anew"
    [claim] = claim_doubtful(shop.queue, 1)
    assert shop.begin(claim).answer == "claim_lost"
    assert shop.process(claim).fate == "Sent"
    assert len(shop.messages) == 1


def test_another_businesss_row_of_the_same_send_log_keeps_no_text_waiting(
    shop: Shop,
) -> None:
    """Whoever wrote it there: a row answers for itself alone."""
    customer, neighbor = shop.customer(), shop.neighbor()
    log = shop.send_log(customer)
    theirs = neighbor.queue_row(log, neighbor.customer(phone="+12125550199"))
    shop.sql("select * from claim_due_sms_retries(limit_count => 50)")
    shop.later(minutes=11)
    shop.recover()
    shop.sql("update sms_retry_queue set status = 'cancelled' where id = %s", theirs)
    assert neighbor.attempts_of(theirs)[0]["outcome"] == "in_doubt"
    shop.queue_row(log, customer)
    assert shop.run() == ["Sent"]
