"""What a text may expect, on real Postgres through real HTTP, with Twilio's stand-in."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from smsretry import next_retry_delay, queue_sms_retry
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Requeue
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError, SendFault
from smsretry.retry.models import ItemResult, Text
from smsretry.retry.outcome import Outcome
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.run import ItemFailed, run_once
from tests.conftest import Business
from tests.support.builders import BODY, NOON, PHONE, begin, results_of, run_over
from tests.support.claims import claim_due
from tests.support.waiting import until

PASSING = JsonError(21702, http_status=400)


def run(queue: SupabaseQueue, sender: TwilioSender) -> list[ItemResult]:
    """One run; every row must come to something."""
    return results_of(run_over(queue, sender))


def until_due(stack: Stack, row: dict[str, Any]) -> timedelta:
    """From now, rounded to tenths of a minute: real time passes while a test runs."""
    wait: timedelta = row["scheduled_for"] - stack.now()
    return timedelta(minutes=round(wait / timedelta(minutes=1), 1))


def test_a_text_that_fails_for_a_moment_is_tried_again_after_each_of_the_delays(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The first is given on entry, by SQL; the rest by each failed retry."""
    log = business.send_log(business.customer())
    row = queue_sms_retry(log, "twilio_error", queue=queue).retry_id
    assert row is not None
    stack.twilio.fail(PASSING, times=None)
    waits = []
    for _ in range(3):
        waits.append(until_due(stack, business.row(row)))
        stack.move_clock(waits[-1] + timedelta(seconds=1))
        run(queue, sender)
    assert waits == [next_retry_delay(retries) for retries in (0, 1, 2)]


def test_after_three_sends_the_row_and_its_send_log_are_failed_with_the_last_error(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """What counts is the number of sends, so the number of requests is checked too."""
    row = business.due_text()
    stack.twilio.fail(PASSING, times=None)
    fates = []
    for _ in range(4):
        fates += [result.fate for result in run(queue, sender)]
        stack.move_clock(timedelta(minutes=16))
    assert fates == ["RetryScheduled", "RetryScheduled", "Failed"]
    assert len(business.attempts_of(row)) == 3
    ended, log = business.row(row), business.log_of(row)
    assert (ended["status"], ended["attempt_count"], ended["error_code"]) == ("failed", 3, 21702)
    assert log["status"] == "failed"
    assert log["error_message"] == ended["last_error"]
    assert "Gave up after 3 attempts" in ended["last_error"]


@pytest.mark.parametrize(
    ("refusal", "fate"),
    [(JsonError(20429, http_status=429), "RetryScheduled"), (JsonError(20003, http_status=401), "Held")],
)
def test_only_a_send_that_was_really_made_counts(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, refusal: SendFault, fate: str
) -> None:
    """A rate limit or a wrong credential is no send, and never uses up a text's attempts."""
    row = business.due_text()
    stack.twilio.fail(refusal, times=5)
    for _ in range(5):
        assert [result.fate for result in run(queue, sender)] == [fate]
        stack.move_clock(timedelta(minutes=61))
    assert business.row(row)["attempt_count"] == 0
    assert [result.fate for result in run(queue, sender)] == ["Sent"]


@pytest.mark.parametrize("consent", ["opted_out", "unknown"])
def test_nobody_without_consent_is_texted(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, consent: str
) -> None:
    """Row and send log end with the reason."""
    row = business.due_text(consent=consent)
    assert [result.fate for result in run(queue, sender)] == ["Cancelled"]
    assert business.row(row)["status"] == "cancelled"
    assert business.row(row)["last_error"].startswith("Customer opted out")
    assert business.log_of(row)["error_message"].startswith("Customer opted out")
    assert not stack.twilio.ledger.entries()


def test_consent_is_read_when_the_send_begins_and_not_when_the_row_was_claimed(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """An opt-out between claim and send wins, and the consent a send was made under is on record."""
    stays, leaves = business.due_text(), business.due_text(phone="+12125550124")
    claims = {claim.id: claim for claim in claim_due(queue, 10)}
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_out'
           where id = (select customer_id from sms_retry_queue where id = %s)""",
        [leaves],
    )
    begun = [begin(queue, claims[row]) for row in (stays, leaves)]
    assert [each.answer for each in begun] == ["go", "ended"]
    assert [attempt["consent_status"] for attempt in business.attempts_of(stays)] == ["opted_in"]
    assert business.attempts_of(leaves) == []


def test_at_night_a_text_waits_for_the_morning_and_loses_no_attempt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Noon in New York is 7 in the morning in Honolulu."""
    row = business.due_text(timezone="Pacific/Honolulu")
    (result,) = run(queue, sender)
    assert result.fate == "Deferred"
    waiting = business.row(row)
    assert (waiting["status"], waiting["reason"], waiting["attempt_count"]) == ("pending", "quiet_hours", 0)
    opening = NOON + timedelta(hours=1)  # what waits for it is spread over ten minutes
    assert opening <= waiting["scheduled_for"] < opening + timedelta(minutes=10)
    stack.move_clock(waiting["scheduled_for"] - stack.now() + timedelta(seconds=1))
    assert [result.fate for result in run(queue, sender)] == ["Sent"]


def test_a_text_whose_window_closes_between_claim_and_send_is_not_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The window is checked again, by the database's clock, as the send begins."""
    stack.move_clock(timedelta(hours=8, minutes=58))  # 20:58 in New York
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=2))
    result = process_sms_retry_item(claim, queue=queue, sender=sender)
    assert result.fate == "Deferred"
    assert not stack.twilio.ledger.entries()
    assert business.row(row)["attempt_count"] == 0


def test_a_text_whose_window_closes_while_its_begin_waits_for_a_lock_is_not_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The clock that decides is read after the last lock. The application had the send log in its hands meanwhile."""
    stack.move_clock(timedelta(hours=8, minutes=58))  # 20:58 in New York
    business.due_text()
    (claim,) = claim_due(queue, 1)
    with ThreadPoolExecutor(1) as pool, stack.connect() as application:
        with application.transaction():
            application.execute("select from send_logs for update")
            waiting = pool.submit(process_sms_retry_item, claim, queue=queue, sender=sender)
            until(lambda: business.connection.execute("select from pg_locks where not granted").fetchone() is not None)
            stack.move_clock(timedelta(minutes=2))
        assert waiting.result().fate == "Deferred"
    assert not stack.twilio.ledger.entries()


def test_a_row_whose_worker_died_before_the_send_is_free_again_after_ten_minutes(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It costs no attempt."""
    row = business.due_text()
    claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=9))
    assert queue.recover(10) == []
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert [(found.id, found.status) for found in queue.recover(10)] == [(row, "pending")]
    assert business.row(row)["attempt_count"] == 0
    assert [result.fate for result in run(queue, sender)] == ["Sent"]


def test_two_workers_never_hold_the_same_row(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Eight claimers at once, each for ten of a hundred."""
    rows = {business.due_text() for _ in range(100)}
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: claim_due(queue, 10), range(8)))
    claimed = [claim.id for batch in batches for claim in batch]
    assert all(len(batch) <= 10 for batch in batches)
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= rows


def test_a_sent_text_is_completed_and_its_send_log_has_twilios_name_for_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Row, attempt and send log change together."""
    row = business.due_text()
    (result,) = run(queue, sender)
    (text,) = stack.twilio.ledger.entries()
    assert result.fate == "Sent"
    assert (text.to, text.body) == (PHONE, BODY)
    log, (attempt,) = business.log_of(row), business.attempts_of(row)
    assert (log["status"], log["provider_message_id"], log["error_message"]) == (
        "sent",
        {"twilio_sid": text.sid},
        None,
    )
    assert (attempt["outcome"], attempt["twilio_sid"], attempt["settled_by"]) == ("accepted", text.sid, "response")
    assert "America/New_York" in attempt["quiet_hours_rule"]
    assert business.row(row)["status"] == "completed"


class Stumbling(TwilioSender):
    """Twilio's adapter with a bug that one body meets."""

    def send(self, text: Text) -> Outcome:
        """Fail on one text, send the others."""
        if text.body == "stumble":
            raise KeyError(text.to)
        return super().send(text)


def test_one_bad_row_never_stops_the_others(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nor does a bug: a text that met one while it was sent is in doubt, and nobody's number is in its message."""
    bad = business.due_text(body="stumble", phone="+12125550199")
    good = [business.due_text() for _ in range(5)]
    with Stumbling(stack.settings()) as stumbling:
        fates = {result.retry_id: result.fate for result in run(queue, stumbling)}
    assert fates == {bad: "InDoubt"} | dict.fromkeys(good, "Sent")
    assert "KeyError" in business.row(bad)["last_error"]
    assert "555" not in business.row(bad)["last_error"]


def test_an_error_nobody_foresaw_fails_its_row_with_its_message(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the zone data itself breaks, before anything is sent."""

    def broken(*_: object) -> None:
        raise OSError(f"cannot read America/New_York for {PHONE}")

    row = business.due_text()
    monkeypatch.setattr("smsretry.quiet_hours.check.next_change", broken)
    (item,), summary = run_once(run_over(queue, sender), limit=50)
    assert isinstance(item, ItemFailed)
    assert item.why.startswith(f"Row {row}: Unforeseen OSError at ")
    assert summary.errors == 1
    ended = business.row(row)
    assert ended["status"] == "failed"
    assert "OSError" in ended["last_error"]
    assert PHONE not in ended["last_error"] + item.why


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("customers", "Customer not found"),
        ("send_logs", "Send log not found"),
    ],
)
def test_a_text_without_its_customer_or_send_log_fails_with_that_reason(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, missing: str, why: str
) -> None:
    """They may be deleted while a text waits."""
    row = business.due_text()
    business.connection.execute(f"delete from {missing}".encode())
    assert [result.fate for result in run(queue, sender)] == ["Failed"]
    assert (business.row(row)["status"], business.row(row)["last_error"]) == ("failed", why)


@pytest.mark.parametrize(
    ("phone", "why"),
    [
        (None, "Customer has no phone number"),
        ("", "Customer has no phone number"),
        ("(212) 555-0123", "Phone number is not E.164"),
        ("+1212555", "Phone number has the wrong length for its country"),
        ("+9991234567", "Phone number has no known country code"),
    ],
)
def test_a_text_to_no_usable_number_fails_with_that_reason(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, phone: str | None, why: str
) -> None:
    """The reason never quotes the number."""
    row = business.due_text(phone=phone)
    run(queue, sender)
    ended = business.row(row)
    assert ended["status"] == "failed"
    assert ended["last_error"].startswith(why)
    assert business.log_of(row)["error_message"] == ended["last_error"]


def test_a_text_with_an_empty_body_fails_with_that_reason(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Twilio would refuse it; nobody has to ask."""
    row = business.due_text(body="  ")
    run(queue, sender)
    assert business.row(row)["last_error"] == "Text is empty: the subject of its send log holds no body"


def test_a_customer_with_a_bad_zone_is_texted_by_their_area_codes_clock(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The record of the attempt says which clock it was."""
    row = business.due_text(timezone="Mars/Olympus_Mons")
    assert [result.fate for result in run(queue, sender)] == ["Sent"]
    assert business.attempts_of(row)[0]["quiet_hours_rule"] == ("08:00–21:00 in America/New_York, area code 212")


@pytest.mark.parametrize(("hours", "fate"), [(47, "Sent"), (49, "Cancelled")])
def test_a_text_that_nobody_tried_ages_as_every_other(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, hours: int, fate: str
) -> None:
    """No worker came: two days after it might have gone out first, nobody wants it any more."""
    row = business.due_text(due=timedelta(0))
    stack.move_clock(timedelta(hours=hours))
    assert [result.fate for result in run(queue, sender)] == [fate]
    why = "Expired before it could be sent: it was due on 2027-01-12 (UTC)"
    assert business.row(row)["last_error"] == (why if fate == "Cancelled" else None)


def test_a_text_is_no_older_than_its_insert_whatever_time_it_was_given(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A tenant writes that it was due in the year 2000, and means at once."""
    row = business.due_text()
    business.connection.execute("update sms_retry_queue set scheduled_for = '2000-01-01 12:00+00'")
    assert [result.fate for result in run(queue, sender)] == ["Sent"]
    ended = business.row(row)
    assert ended["expires_at"] == ended["created_at"] + timedelta(hours=48)


def test_a_text_that_was_put_back_by_a_person_has_a_life_before_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """It had expired, and somebody wants it all the same."""
    row = business.due_text()
    stack.move_clock(timedelta(hours=49))
    assert [result.fate for result in run(queue, sender)] == ["Cancelled"]
    signed = {"dry_run": False, "who": "Ann", "because": "Still wanted"}
    operators.order(Requeue.model_validate({"retry_ids": [row], "states": ["cancelled"]} | signed))
    assert [result.fate for result in run(queue, sender)] == ["Sent"]


def test_a_text_that_waited_too_long_is_cancelled(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A reminder of the day before yesterday helps nobody: two days after it might have gone out first."""
    row = business.due_text()
    stack.twilio.fail(JsonError(20429, http_status=429), times=1)
    assert [result.fate for result in run(queue, sender)] == ["RetryScheduled"]
    assert business.row(row)["expires_at"] - business.row(row)["created_at"] == timedelta(hours=48)
    stack.move_clock(timedelta(hours=49))
    assert [result.fate for result in run(queue, sender)] == ["Cancelled"]
    assert business.log_of(row)["error_message"].startswith("Expired before it could be sent")
