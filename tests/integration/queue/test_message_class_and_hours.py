"""Which hours a text has: by its class, by its business's own hours; and what a waiting row says of it.

Rows that wait for the same opening are spread behind it, each at its own time.
"""

import re
from datetime import datetime, timedelta
from typing import Any, cast, get_args
from uuid import UUID

import psycopg
import pytest

from smsretry import queue_sms_retry, send_sms
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.retry.profile import Profile
from smsretry.vocabulary import MessageClass
from tests.conftest import Business
from tests.integration.isolation.test_access import acting_as
from tests.support.builders import BODY, begin, fates_of, results_of, run, run_over
from tests.support.claims import claim_due

FLORIDA = "+13055550123"
OFFICE = "Mon-Fri 09:00-18:00, Sat 10:00-16:00"
SPREAD = timedelta(minutes=10)


def new_york(clock: str) -> datetime:
    """An instant of January 2027, by New York's clock: `12 20:30` is a Tuesday evening."""
    day, time = clock.split()
    return datetime.fromisoformat(f"2027-01-{day}T{time}-05:00")


def set_hours(business: Business, hours: str) -> None:
    """Somebody writes the business's own hours into its row."""
    business.connection.execute("update businesses set sms_hours = %s where id = %s", [hours, business.id])


def queued(business: Business, queue: SupabaseQueue, message_class: MessageClass, **customer: Any) -> UUID:
    """A due text of that class; returns its row's id."""
    log = business.send_log(business.customer(**customer))
    answer = queue_sms_retry(
        log, None, 0, business.now() - timedelta(seconds=1), queue=queue, message_class=message_class
    )
    assert answer.retry_id is not None
    return answer.retry_id


def make_due(business: Business, row: UUID) -> None:
    """Somebody moves its time."""
    due = business.now() - timedelta(minutes=1)
    business.connection.execute("update sms_retry_queue set scheduled_for = %s where id = %s", [due, row])


# The class of a text


@pytest.mark.parametrize("given", ["marketing", "transactional"])
def test_a_queued_text_has_the_class_it_was_queued_with(
    business: Business, queue: SupabaseQueue, given: MessageClass
) -> None:
    """And every claim of it tells."""
    row = queued(business, queue, given)
    assert business.row(row)["message_class"] == given
    assert [claim.message_class for claim in claim_due(queue, 1)] == [given]


def test_a_text_of_no_stated_class_is_marketing(business: Business, queue: SupabaseQueue) -> None:
    """The stricter one: by the call, by the application's insert, and by its old call over HTTP."""
    rows = [
        queue_sms_retry(business.send_log(business.customer()), "twilio_error", queue=queue).retry_id,
        business.due_text(),
        queued(business, queue, cast(MessageClass, None)),
    ]
    assert [business.row(cast(UUID, row))["message_class"] for row in rows] == ["marketing"] * 3


def test_a_class_that_is_none_is_refused(business: Business, queue: SupabaseQueue) -> None:
    """By the call with a message, and by the table whoever writes it."""
    with pytest.raises(InputError, match=r"^message_class must be marketing or transactional$"):
        queued(business, queue, cast(MessageClass, "urgent"))
    row = business.due_text()
    with pytest.raises(psycopg.errors.CheckViolation, match="sms_retry_queue_message_class"):
        business.connection.execute("update sms_retry_queue set message_class = 'urgent' where id = %s", [row])


def test_a_text_that_is_queued_keeps_its_class(business: Business, queue: SupabaseQueue) -> None:
    """One live row a text: asking again changes nothing of it, and frees nothing from the states' rules."""
    log = business.send_log(business.customer())
    first = queue_sms_retry(log, None, queue=queue)
    again = queue_sms_retry(log, None, queue=queue, message_class="transactional")
    assert (again.result, again.retry_id) == ("already_queued", first.retry_id)
    assert business.row(cast(UUID, first.retry_id))["message_class"] == "marketing"


def test_what_a_tenant_inserts_is_marketing(business: Business) -> None:
    """With the original columns, as the application always did."""
    connection, customer = business.connection, business.customer()
    log = business.send_log(customer)
    with acting_as(connection, "authenticated", business.user_id):
        row = business.queue_row(log, customer)
        assert business.row(row)["message_class"] == "marketing"


@pytest.mark.parametrize(("column", "value"), [("message_class", "transactional"), ("why", "Because")])
def test_a_tenant_sets_no_class_and_no_why(business: Business, column: str, value: str) -> None:
    """What frees a text from a state's rule is the backend's to say."""
    connection, customer = business.connection, business.customer()
    log, row = business.send_log(customer), business.due_text()
    insert = f"""insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, {column})
                 values (%s, %s, %s, now(), %s)"""
    with acting_as(connection, "authenticated", business.user_id):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(insert.encode(), [business.id, log, customer, value])
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(f"update sms_retry_queue set {column} = %s where id = %s".encode(), [value, row])


@pytest.mark.parametrize("how", ["the queue", "a first send"])
def test_in_florida_at_half_past_eight_what_was_asked_for_goes_and_marketing_waits_for_the_morning(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, how: str
) -> None:
    """Florida closes at eight in the evening; the federal window, which binds both, at nine."""
    stack.set_clock(new_york("12 20:30"))
    rows: dict[MessageClass, UUID] = {}
    for kind in get_args(MessageClass):
        if how == "the queue":
            rows[kind] = queued(business, queue, kind, phone=FLORIDA)
        else:
            log = business.send_log(business.customer(phone=FLORIDA))
            rows[kind] = send_sms(log, queue=queue, sender=sender, message_class=kind).retry_id
    run(queue, sender)
    assert business.row(rows["transactional"])["status"] == "completed"
    (attempt,) = business.attempts_of(rows["transactional"])
    assert attempt["quiet_hours_rule"] == "08:00–21:00 in America/New_York, the customer's zone"
    waits = business.row(rows["marketing"])
    assert (waits["status"], waits["reason"], waits["attempt_count"]) == ("pending", "quiet_hours", 0)
    assert new_york("13 08:00") <= waits["scheduled_for"] < new_york("13 08:00") + SPREAD
    assert len(stack.twilio.ledger.entries()) == 1


def test_what_was_asked_for_waits_at_night_too(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """At nine nothing goes; nor in the last minute before, when Twilio's own queue might hold it past nine."""
    stack.set_clock(new_york("12 20:59"))
    row = queued(business, queue, "transactional", phone=FLORIDA)
    assert run(queue, sender) == ["Deferred"]
    assert business.row(row)["scheduled_for"] >= new_york("13 08:00")
    assert business.row(row)["why"] == "Quiet hours: 08:00–21:00 in America/New_York, the customer's zone"


# A business's own hours


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        (OFFICE, "12 12:00", None),
        (OFFICE, "12 08:30", "12 09:00"),
        (OFFICE, "12 18:00", "13 09:00"),
        (OFFICE, "15 19:00", "16 10:00"),
        (OFFICE, "16 15:00", None),
        (OFFICE, "16 16:30", "18 09:00"),
        (OFFICE, "17 12:00", "18 09:00"),
        ("09:00-12:00, 13:00-18:00", "12 12:00", "12 13:00"),
        ("Mon 10:00-11:00", "12 12:00", "18 10:00"),
        ("06:00-23:00", "12 07:30", "12 08:00"),
        ("00:00-24:00", "12 21:30", "13 08:00"),
    ],
)
def test_a_business_s_own_hours_narrow_the_window_and_never_widen_it(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    hours: str,
    now: str,
    until: str | None,
) -> None:
    """12 January is a Tuesday, 16 a Saturday. Without `until` it goes at once; otherwise from that opening on."""
    set_hours(business, hours)
    stack.set_clock(new_york(now))
    row = business.due_text()
    assert run(queue, sender) == (["Deferred"] if until else ["Sent"])
    if until:
        opening = new_york(until)
        assert opening <= business.row(row)["scheduled_for"] < opening + SPREAD
        assert "(federal, own)" in business.row(row)["why"]
        stack.set_clock(business.row(row)["scheduled_for"] + timedelta(seconds=1))
        assert run(queue, sender) == ["Sent"]
    (attempt,) = business.attempts_of(row)
    assert "(federal, own)" in attempt["quiet_hours_rule"]


def test_own_hours_are_read_on_the_customer_s_clock(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Noon in New York is nine in Los Angeles, where ten has yet to come."""
    set_hours(business, "10:00-18:00")
    row = business.due_text(timezone="America/Los_Angeles")
    assert run(queue, sender) == ["Deferred"]
    assert new_york("12 13:00") <= business.row(row)["scheduled_for"] < new_york("12 13:10")


def test_own_hours_bind_what_was_asked_for_too_and_no_other_business(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """They are the business's word, not a state's."""
    set_hours(business, "14:00-18:00")
    other = Business(business.connection, stack.now).open()
    mine, theirs = queued(business, queue, "transactional"), other.due_text()
    assert sorted(run(queue, sender)) == ["Deferred", "Sent"]
    assert (business.row(mine)["status"], other.row(theirs)["status"]) == ("pending", "completed")


NO_HOURS = [
    "9-5", "25:00-26:00", ", 09:00-18:00", "nine to five", "", " ", "Mon-Fri", "Monday 09:00-18:00", "mon 09:00-18:00",
    "09:00-18:00 Mon", "09:00–18:00", "9:00-18:00", "30:00-31:00", "09:60-18:00", "09:00-18:00; Sat 10:00-16:00",
    "09:00-18:00,", "Mon,Tue 09:00-18:00", "09:00-18:00\nMon 10:00-11:00", "09:00-18:00 09:00-18:00",
    "'; drop table businesses; --",
]  # fmt: skip


def test_hours_that_are_none_are_refused_where_they_are_written(business: Business) -> None:
    """Where a person sees it; nothing of the business changes."""
    set_hours(business, OFFICE)
    for hours in NO_HOURS:
        with pytest.raises(psycopg.errors.CheckViolation, match="businesses_sms_hours"):
            set_hours(business, hours)
    assert business.connection.execute("select sms_hours from businesses").fetchall() == [{"sms_hours": OFFICE}]


SENSELESS = ["20:00-08:00", "09:00-09:00", "Fri-Mon 09:00-18:00"]


def test_hours_that_make_no_sense_hold_a_text_rather_than_let_it_go(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Held with the column's name until it is mended; nobody is texted, and no other business is kept waiting."""
    others = [Business(business.connection, stack.now).open() for _ in SENSELESS]
    for other, hours in zip(others, SENSELESS, strict=True):
        set_hours(other, hours)
    held = {other.due_text(): other for other in others}
    mine = business.due_text()
    assert sorted(run(queue, sender)) == ["Held"] * len(SENSELESS) + ["Sent"]
    for row, other in held.items():
        waiting = other.row(row)
        assert (waiting["status"], waiting["attempt_count"], waiting["attempt_id"]) == ("pending", 0, None)
        assert waiting["why"].startswith("The business's sms_hours cannot be read: ")
        assert waiting["held_since"] is not None
        assert other.log_of(row)["status"] == "pending"
    assert business.row(mine)["status"] == "completed"
    set_hours(others[0], "08:00-20:00")
    stack.move_clock(timedelta(minutes=15))
    assert sorted(run(queue, sender)) == ["Held"] * (len(SENSELESS) - 1) + ["Sent"]
    assert [other.row(row)["status"] for row, other in held.items()] == ["completed", "pending", "pending"]


@pytest.mark.parametrize("hours", ["20:00-08:00", "Fri-Mon 09:00-18:00"])
def test_senseless_hours_are_answered_with_what_to_do(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, hours: str
) -> None:
    """Each message says what comes next."""
    set_hours(business, hours)
    row = business.due_text()
    run(queue, sender)
    assert re.search("write|correct|set |mend", business.row(row)["why"])


def test_own_hours_that_never_meet_the_state_s_hold_a_text_with_what_to_do(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Florida closes when this business opens. In New York they meet."""
    set_hours(business, "20:00-21:00")
    florida, new_yorker = business.due_text(phone=FLORIDA), business.due_text()
    assert sorted(run(queue, sender)) == ["Deferred", "Held"]
    said = business.row(florida)["why"]
    assert said.startswith("No permitted hour within 8 days: closed (federal, us-fl-501.616, own)")
    assert "widen the window" in said
    assert business.row(new_yorker)["status"] == "pending"


# Why a row waits


def test_a_waiting_row_says_why_until_its_send_begins(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """In words, with every rule and the zone; a row that is under way waits for nothing."""
    stack.set_clock(new_york("12 20:30"))
    row = business.due_text(phone=FLORIDA)
    assert business.row(row)["why"] is None
    (item,) = results_of(run_over(queue, sender))
    why = "Quiet hours: 08:00–20:00 (federal, us-fl-501.616) in America/New_York, the customer's zone"
    assert business.row(row)["why"] == why
    assert (item.detail, item.next_at) == (why, business.row(row)["scheduled_for"])
    stack.set_clock(business.row(row)["scheduled_for"] + timedelta(seconds=1))
    (claim,) = claim_due(queue, 1)
    assert business.row(row)["why"] == why
    begin(queue, claim)
    assert business.row(row)["why"] is None


def test_a_row_that_is_given_back_keeps_its_time_and_waits_for_its_hour_no_longer(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The run had stopped. The hour had come: to go on saying otherwise would mislead who reads the row."""
    stack.set_clock(new_york("12 20:30"))
    row = business.due_text(phone=FLORIDA)
    run(queue, sender)
    waiting = business.row(row)
    stack.set_clock(waiting["scheduled_for"] + timedelta(seconds=1))
    stopped = run_over(queue, sender)
    stopped.flow_control.stop("This run was asked to stop")
    assert fates_of(stopped) == ["GivenBack"]
    after = business.row(row)
    assert (after["why"], after["scheduled_for"]) == (None, waiting["scheduled_for"])


def test_a_row_that_ended_no_longer_says_what_it_waits_for(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """Cancelled by an opt-out while it waited for the morning: last_error says so, and nothing else does."""
    stack.set_clock(new_york("12 20:30"))
    row = business.due_text(phone=FLORIDA)
    run(queue, sender)
    operators.record_consent(FLORIDA, consent="opted_out", source="telephone", business_id=None)
    assert business.row(row)["status"] == "cancelled"
    assert business.row(row)["why"] is None


# Behind an opening


def test_rows_that_wait_for_the_same_opening_are_spread_behind_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Over ten minutes, never before the opening, no two alike; and at its time it goes out."""
    stack.set_clock(new_york("12 22:00"))
    rows = [business.due_text() for _ in range(40)]
    assert run(queue, sender) == ["Deferred"] * 40
    opening = new_york("13 08:00")
    waits = sorted(business.row(row)["scheduled_for"] - opening for row in rows)
    assert timedelta(0) <= waits[0]
    assert waits[-1] < SPREAD
    assert len(set(waits)) == 40
    assert {wait // (SPREAD / 3) for wait in waits} == {0, 1, 2}  # by hash: misses a third once in four million
    stack.set_clock(opening + waits[4])
    assert set(run(queue, sender)) == {"Sent"}


def test_a_row_that_is_deferred_twice_gets_the_same_time(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """By its id and not by dice: to the microsecond, whenever it is asked."""
    rows = [business.due_text() for _ in range(3)]
    times = []
    for clock in ("12 22:00", "13 03:00", "13 07:59"):
        stack.set_clock(new_york(clock))
        for row in rows:
            make_due(business, row)
        assert run(queue, sender) == ["Deferred"] * 3
        times.append([business.row(row)["scheduled_for"] for row in rows])
    assert times[0] == times[1] == times[2]


def test_the_spread_is_the_owner_s_to_set(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Without one, everything is due at the opening."""
    stack.set_clock(new_york("12 22:00"))
    row = business.due_text()
    assert run(queue, sender, Profile(opening_spread=timedelta(0))) == ["Deferred"]
    assert business.row(row)["scheduled_for"] == new_york("13 08:00")


def test_a_short_window_holds_all_that_wait_for_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Five minutes are open: the spread ends before the last minute, in which nothing is sent any more."""
    set_hours(business, "13:00-13:05")
    rows = [business.due_text() for _ in range(20)]
    assert run(queue, sender) == ["Deferred"] * 20
    waits = [business.row(row)["scheduled_for"] for row in rows]
    assert all(new_york("12 13:00") <= wait < new_york("12 13:03:50") for wait in waits)
    stack.set_clock(new_york("12 13:02:30"))
    assert set(run(queue, sender)) == {"Sent"}


def test_a_row_is_not_spread_past_its_expiry(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It expires a minute after the opening: due in the time that is left."""
    stack.set_clock(new_york("12 22:00"))
    rows = [business.due_text() for _ in range(10)]
    business.connection.execute("update sms_retry_queue set expires_at = %s", [new_york("13 08:01")])
    assert run(queue, sender) == ["Deferred"] * 10
    assert all(new_york("13 08:00") <= business.row(row)["scheduled_for"] < new_york("13 08:00:50") for row in rows)


CASES: list[tuple[str | None, str, str | None]] = [
    (OFFICE, FLORIDA, "America/New_York"),
    ("20:00-21:00", FLORIDA, "America/New_York"),
    ("20:00-08:00", FLORIDA, "America/New_York"),
    (None, FLORIDA, f"My place, {FLORIDA}"),
    (None, "+13005550123", None),
    (None, "+88255501234567", None),
    (None, "3055550123", None),
]
"""Hours, number and zone of a text that waits, or is held, at ten in the evening."""


def test_no_number_and_no_body_is_in_what_a_held_or_waiting_row_says(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Why, last error, send log and result name rules and zones; the number's last seven digits are nowhere."""
    stack.set_clock(new_york("12 22:00"))
    numbers = {}
    for hours, phone, timezone in CASES:
        other = Business(business.connection, stack.now).open()
        business.connection.execute("update businesses set sms_hours = %s where id = %s", [hours, other.id])
        numbers[other.due_text(phone=phone, timezone=timezone)] = phone[-7:]
    results = {item.retry_id: item for item in results_of(run_over(queue, sender))}
    for row, number in numbers.items():
        item, kept, log = results[row], business.row(row), business.log_of(row)
        assert item.fate in ("Deferred", "Held", "Failed")
        said = f"{kept['why']} {kept['last_error']} {log['error_message']} {item}"
        assert number not in said
        assert BODY[:12] not in said
