"""What a text may expect, on real PostgreSQL through real HTTP, with Twilio's stand-in."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.integration.story import Story
from tests.support.builders import BODY, NOON, PHONE
from tests.support.records import columns
from tests.support.shop import Shop
from tests.support.waiting import until


def test_a_sent_text_is_completed_and_its_send_log_has_twilios_name_for_it(
    shop: Shop,
) -> None:
    """Row, attempt and send log change together."""
    row = shop.due_text()
    assert shop.run() == ["Sent"]
    [message], [attempt], log = shop.messages, shop.attempts_of(row), shop.log_of(row)
    assert (message.to, message.body) == (PHONE, BODY)
    assert columns(log, "status", "error_message") == ("sent", None)
    assert log["provider_message_id"] == {"twilio_sid": message.sid}
    assert columns(attempt, "outcome", "twilio_sid", "settled_by") == (
        "accepted",
        message.sid,
        "response",
    )
    assert (attempt["consent_status"], shop.status_of(row)) == (
        "opted_in",
        "completed",
    )


STORIES = {
    "a rate limit or a wrong credential is no send, and never uses up a text's attempts": """
        text
        Twilio refuses 20429 429 always
        run: RetryScheduled
        it.status why_code: pending, rate_limited
        61 minutes
        run: RetryScheduled
        61 minutes
        run: RetryScheduled
        61 minutes
        run: RetryScheduled
        61 minutes
        Twilio is well
        Twilio refuses 20003 401 always
        run: Held
        it.status why_code: pending, account_refused
        61 minutes
        run: Held
        61 minutes
        run: Held
        61 minutes
        run: Held
        it.attempt_count: 0
        61 minutes
        Twilio is well
        run: Sent""",
    "a text known to be sent is never sent again, whoever queued it": """
        text
        sql update send_logs set status = 'sent', provider_message_id = '{"twilio_sid": "SM1"}'
        run: Cancelled
        it.status why_code: cancelled, already_sent
        it.log.status: sent""",
    "a send log whose SID is empty was not sent": """
        text first
        text second
        text third
        text fourth
        text fifth
        sql with n as (select id, row_number() over () as n from send_logs) \
            update send_logs set provider_message_id = (array['{"twilio_sid": null}', '{"twilio_sid": ""}', \
            '{"twilio_sid": " "}', '[]', '"x"']::jsonb[])[n] from n where n.id = send_logs.id
        run: Sent, Sent, Sent, Sent, Sent""",
}


@pytest.mark.parametrize("story", STORIES)
def test_what_is_no_send_and_what_is_one(shop: Shop, story: str) -> None:
    """Only a send that was really made counts."""
    Story(shop).tell(STORIES[story])


def test_nobody_without_consent_is_texted(shop: Shop) -> None:
    """Row and send log end with the reason; consent is read when the send begins, not when the row was claimed."""
    rows = [
        shop.due_text(consent="unknown"),
        shop.due_text(phone="+12125550124", consent="opted_out"),
    ]
    leaves = shop.due_text(phone="+12125550125")
    claims = shop.claims()
    shop.sql(
        "update customers set sms_consent_status = 'opted_out' where phone = '+12125550125'"
    )
    assert [shop.process(claim).fate for claim in claims] == ["Cancelled"] * 3
    reasons = ["The customer has not consented to texts", *["Customer opted out"] * 2]
    for row, reason in zip((*rows, leaves), reasons, strict=True):
        assert shop.status_of(row) == "cancelled"
        assert shop.row(row)["last_error"] == reason
        assert shop.log_of(row)["error_message"] == reason
        assert not shop.attempts_of(row)
    assert not shop.messages


def test_at_night_a_text_waits_for_the_morning_and_loses_no_attempt(shop: Shop) -> None:
    """Noon in New York is 7 in the morning in Honolulu. What waits for an opening is spread over ten minutes."""
    row = shop.due_text(timezone="Pacific/Honolulu")
    assert shop.run() == ["Deferred"]
    waiting = shop.row(row)
    assert columns(waiting, "status", "reason", "attempt_count") == (
        "pending",
        "quiet_hours",
        0,
    )
    assert (
        timedelta(0)
        <= waiting["scheduled_for"] - (NOON + timedelta(hours=1))
        < timedelta(minutes=10)
    )
    shop.at(waiting["scheduled_for"])
    assert shop.run() == ["Sent"]


def test_a_text_whose_window_closes_on_its_way_is_not_sent(shop: Shop) -> None:
    """After the claim; and while its begin waits for the send log, which the application has in its hands."""
    before_closing = NOON + timedelta(hours=8, minutes=58)  # 20:58 in New York
    row = shop.due_text()
    shop.at(before_closing)
    claim = shop.claim()
    shop.later(minutes=2)
    assert shop.process(claim).fate == "Deferred"

    shop.at(before_closing + timedelta(days=1))
    claim = shop.claim()
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as application:
        with application.transaction():
            application.execute("select from send_logs for update")
            future = pool.submit(shop.process, claim)
            until(
                lambda: (
                    future.done() or shop.sql("select from pg_locks where not granted")
                )
            )
            shop.later(minutes=2)
        assert future.result().fate == "Deferred"
    assert (shop.row(row)["attempt_count"], shop.messages) == (0, ())


def test_what_no_mending_helps_fails_with_its_reason(shop: Shop) -> None:
    """In row and send log. The reason never quotes the number."""
    theirs = shop.neighbor()
    wrong = {
        shop.due_text(phone=None): "no phone number",
        shop.due_text(phone=""): "no phone number",
        shop.due_text(phone="n/a"): "fewer than 7 digits",
        shop.due_text(phone="+447012345678"): "personal",
        shop.due_text(body="  "): "empty",
        shop.due_text(body="long " * 400_000): "longer than 1600 characters",
        shop.queue_row(
            shop.send_log(theirs.customer()), theirs.customer()
        ): "Customer not found",
        shop.queue_row(
            theirs.send_log(theirs.customer()), shop.customer()
        ): "Send log not found",
    }
    email = shop.due_text()
    shop.sql(
        "update send_logs set channel = 'email' where id = %s",
        shop.row(email)["send_log_id"],
    )
    good = shop.due_text()
    assert sorted(shop.run()) == [*["Failed"] * 9, "Sent"]
    for row, reason in (wrong | {email: "of channel email"}).items():
        ended, log = shop.row(row), shop.log_of(row)
        assert reason in ended["last_error"]
        assert "555" not in ended["last_error"]
        if reason != "Send log not found":  # another business's is not touched
            assert columns(log, "status", "error_message") == (
                "failed",
                ended["last_error"],
            )
    assert shop.status_of(good) == "completed"
    assert [
        log["status"]
        for log in shop.sql(
            "select status from send_logs where business_id = %s", theirs.id
        )
    ] == ["pending"]
