"""A text that ended in doubt and is queued anew is in doubt about its earlier send, until that is settled.

It had simply been sent once more: only the row that had ended knew of the doubt.
"""

from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ExplainText, Requeue
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from tests.integration.doubt.doubting import fails_in_doubt, live, settle
from tests.integration.story import Story
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


STORIES = {
    "one that Twilio has is found and not sent again; the new row says what it waits for": """
        a text in doubt that Twilio has
        its life ends before Twilio's list could be had
        the application queues it anew as new
        select in_doubt_since is not null and attempt_id = (select id from sms_send_attempts) \
            from sms_retry_queue where id = {new}: True
        new.status why: pending, An earlier send of this text may have gone out: it is looked for before another \
one leaves
        30 runs
        it.status: failed
        new: completed sent
        new.log.provider_message_id: new/1
        new.sends.outcome settled_by: accepted, reconcile
        messages: 1""",
    "one that Twilio does not have is sent once, after three looks: its life begins anew with the first": """
        a text in doubt that Twilio has not
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        1 minute
        run: InDoubt
        select expires_at - smsretry.clock() between '47:59:00' and '48:00:00' from sms_retry_queue \
            where id = {new}: True
        14 runs: InDoubt
        30 runs
        messages: 1
        it.sends.outcome: not_sent
        new.sends.outcome: accepted""",
    "a person says by the old row that it went out": """
        a text in doubt that Twilio has
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        it went out as ledger/1: True
        run:
        new: completed sent
        messages: 1
        new.log.provider_message_id: new/1""",
    "a person says by the new row that it went out": """
        a text in doubt that Twilio has
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        new went out as ledger/1: True
        run:
        new: completed sent
        messages: 1
        new.log.provider_message_id: new/1""",
    "a person says by the old row that it did not go out, and it is sent at once, with every check": """
        a text in doubt that Twilio has not
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        it did not go out: True
        run: Sent
        new: completed sent
        messages: 1
        new.log.provider_message_id: new/1""",
    "a person says by the new row that it did not go out": """
        a text in doubt that Twilio has not
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        new did not go out: True
        run: Sent
        new: completed sent
        messages: 1""",
    "a word that came while it was queued, and that its transaction did not see, is found by the next look": """
        a text in doubt that Twilio has not
        its life ends before Twilio's list could be had
        the application inserts it anew as new
        sql update sms_send_attempts set outcome = 'not_sent', settled_by = 'operator', sent_to = null, \
            sent_body = null
        5 runs
        new: completed sent
        messages: 1""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_the_texts_that_are_queued_anew_in_doubt(shop: Shop, story: str) -> None:
    """The new row waits for what becomes of the old one's send."""
    Story(shop).tell(STORIES[story])


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
