"""What becomes of a text after Twilio accepted it: callbacks, looks, and what follows when it did not arrive."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.pages.markdown import markdown
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, FetchError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.summary import DeliverySummary
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import SID, run

FORWARD = ["accepted", "queued", "sending", "sent", "delivered"]


def accepted(business: Business, queue: SupabaseQueue, sender: TwilioSender, **text: Any) -> UUID:
    """A text that Twilio has."""
    row = business.due_text(**text)
    assert run(queue, sender) == ["Sent"]
    return row


def settle(
    business: Business, sid: str, status: str | None, code: int | None = None, attempt: UUID | None = None
) -> str:
    """As the application's webhook does."""
    found = business.connection.execute(
        "select settle_sms_attempt(%s, %s, delivery_status => %s, error_code => %s) as answer",
        [attempt, sid, status, code],
    ).fetchone()
    assert found is not None
    return str(found["answer"])


def sync(stack: Stack, services: Services, *, after: timedelta = timedelta(minutes=6)) -> str:
    """A run of the deployment, some time later."""
    stack.move_clock(after)
    return str(sync_deliveries(services, limit=100))


def sid_of(business: Business, row: UUID, number: int = -1) -> str:
    """The message of one of its attempts."""
    return str(business.attempts_of(row)[number]["twilio_sid"])


def test_a_status_goes_forward_only_whatever_the_order(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """And a repetition is no news."""
    row = accepted(business, queue, sender)
    sid = sid_of(business, row)
    assert [settle(business, sid, status) for status in FORWARD] == ["recorded"] * 5
    assert [settle(business, sid, status) for status in reversed(FORWARD)] == ["already_settled"] * 5
    assert settle(business, sid, "undelivered", 30008) == "already_settled"
    [attempt] = business.attempts_of(row)
    assert (attempt["delivery_status"], attempt["delivery_code"], attempt["delivery_look_at"]) == (
        "delivered",
        None,
        None,
    )
    log = business.log_of(row)
    assert (log["status"], log["provider_message_id"], log["error_message"]) == ("delivered", {"twilio_sid": sid}, None)


def test_a_failure_is_told_with_its_code_and_a_late_delivery_takes_it_back(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The code may come with the second report."""
    row = accepted(business, queue, sender)
    sid = sid_of(business, row)
    assert settle(business, sid, "undelivered") == "recorded"
    assert settle(business, sid, "failed", 30008) == "recorded"
    [attempt] = business.attempts_of(row)
    assert (attempt["delivery_status"], attempt["delivery_code"]) == ("undelivered", 30008)
    assert business.log_of(row)["status"] == "undelivered"
    assert settle(business, sid, "delivered") == "recorded"
    [attempt] = business.attempts_of(row)
    assert (attempt["delivery_status"], attempt["delivery_code"], attempt["delivery_look_at"]) == (
        "delivered",
        None,
        None,
    )
    assert (business.log_of(row)["status"], business.log_of(row)["error_message"]) == ("delivered", None)


def test_a_callback_before_the_answer_settles_the_text_and_its_failure_is_decided_about(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """The answer was lost; the callback with the attempt's id says that Twilio has it, and that it did not arrive."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    [attempt], [entry] = business.attempts_of(row), stack.twilio.ledger.entries()
    stack.twilio.report(entry.sid, "undelivered", 30003)
    assert settle(business, entry.sid, "undelivered", 30003, attempt["id"]) == "settled"
    assert (business.row(row)["status"], business.row(row)["attempt_count"]) == ("completed", 1)
    assert sync(stack, services, after=timedelta(0)) == "retried 1"
    assert (business.row(row)["status"], business.row(row)["attempt_count"]) == ("pending", 1)


def test_a_message_that_is_not_ours_and_one_that_is_another_attempts_change_nothing(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """By SID alone, by a strange attempt, and by an attempt that Twilio has under another SID."""
    row = accepted(business, queue, sender)
    [before] = business.attempts_of(row)
    assert settle(business, SID, "delivered") == "unknown_attempt"
    assert settle(business, SID, "delivered", attempt=uuid4()) == "unknown_attempt"
    assert settle(business, SID, "delivered", attempt=before["id"]) == "unknown_attempt"
    assert business.attempts_of(row) == [before]


def test_a_status_that_nobody_knows_yet_is_no_error(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A webhook that answers with an error would be called again and again."""
    row = accepted(business, queue, sender)
    assert settle(business, sid_of(business, row), "teleported") == "already_settled"
    assert business.attempts_of(row)[0]["delivery_status"] is None


@pytest.mark.parametrize("again", ["delivered", "undelivered"])
def test_a_text_that_a_carrier_lost_is_sent_again_once(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services, again: str
) -> None:
    """After half an hour, as another message; the second failure is the last."""
    row = accepted(business, queue, sender)
    first = sid_of(business, row)
    stack.twilio.report(first, "undelivered", 30003)
    assert sync(stack, services) == "retried 1"
    waits = business.row(row)
    assert (waits["status"], waits["error_code"], waits["attempt_count"]) == ("pending", 30003, 1)
    assert timedelta(minutes=29) < waits["scheduled_for"] - stack.now() <= timedelta(minutes=30)
    log = business.log_of(row)
    assert (log["status"], log["provider_message_id"]) == ("pending", None)
    assert log["error_message"] == "Not delivered: Twilio 30003: Unreachable destination handset"
    assert sync(stack, services) == "no delivery is open"
    assert sync(stack, services, after=timedelta(minutes=19)) == "still undelivered 1"
    stack.move_clock(timedelta(minutes=5))
    assert run(queue, sender) == ["Sent"]
    second = sid_of(business, row)
    assert len(stack.twilio.ledger.entries()) == 2
    stack.twilio.report(second, again, None if again == "delivered" else 30008)
    assert sync(stack, services).startswith(f"{again} 1")
    sync(stack, services, after=timedelta(days=4))
    assert sync(stack, services, after=timedelta(days=1)) == "no delivery is open"
    log = business.log_of(row)
    assert (log["status"], log["provider_message_id"]) == (again, {"twilio_sid": second})
    assert business.row(row)["status"] == ("completed" if again == "delivered" else "failed")


GIVEN_UP = [
    (30005, "Unknown destination handset", None, False),
    (30006, "Landline or unreachable carrier", "not_mobile", False),
    (30007, "Message filtered", None, True),
    (30018, "Destination carrier requires sender ID pre-registration", None, True),
]


@pytest.mark.parametrize(("code", "name", "phone_status", "blamed"), GIVEN_UP)
def test_what_no_second_message_mends_is_given_up(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    code: int,
    name: str,
    phone_status: str | None,
    blamed: bool,
) -> None:
    """With a code's plain meaning; a code of the number marks it, and one of the sender blames the sender."""
    row = accepted(business, queue, sender)
    stack.twilio.report(sid_of(business, row), "undelivered", code)
    stack.move_clock(timedelta(minutes=6))
    [followed] = sync_deliveries(services, limit=10).followed
    assert (followed.came_to, followed.code, followed.blames_sender) == ("undelivered", code, blamed)
    told = f"Not delivered: Twilio {code}: {name}"
    ended, log = business.row(row), business.log_of(row)
    assert (ended["status"], ended["error_code"], ended["last_error"]) == ("failed", code, told)
    assert (log["status"], log["error_message"]) == ("undelivered", told)
    [customer] = business.connection.execute("select phone_status, sms_consent_status from customers").fetchall()
    assert customer == {"phone_status": phone_status, "sms_consent_status": "opted_in"}


def test_a_text_that_was_given_up_and_arrives_after_all_is_found(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """No callback says so, and yet the last word is right."""
    row = accepted(business, queue, sender)
    stack.twilio.report(sid_of(business, row), "undelivered", 30005)
    assert sync(stack, services) == "undelivered 1"
    assert sync(stack, services, after=timedelta(minutes=61)) == "still undelivered 1"
    stack.twilio.report(sid_of(business, row), "delivered")
    assert sync(stack, services, after=timedelta(minutes=16)) == "delivered 1"
    assert (business.row(row)["status"], business.log_of(row)["status"]) == ("completed", "delivered")


def test_a_carriers_stop_opts_the_number_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """As Twilio's own answer 21610 does."""
    row = accepted(business, queue, sender)
    stack.twilio.report(sid_of(business, row), "undelivered", 30630)
    assert sync(stack, services) == "undelivered 1"
    [customer] = business.connection.execute("select sms_consent_status, sms_consent_source from customers").fetchall()
    assert customer == {"sms_consent_status": "opted_out", "sms_consent_source": "twilio_30630"}


def test_a_number_that_was_corrected_meanwhile_is_not_marked(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """The failure says something of the number that the text was sent to."""
    row = accepted(business, queue, sender)
    business.connection.execute("update customers set phone = '+12125550177'")
    stack.twilio.report(sid_of(business, row), "undelivered", 30006)
    assert sync(stack, services) == "undelivered 1"
    assert business.connection.execute("select phone_status from customers").fetchall() == [{"phone_status": None}]


def test_looks_become_rarer_and_end_after_three_days(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Some carriers never say. A report that comes later counts all the same."""
    row = accepted(business, queue, sender)
    stack.twilio.report(sid_of(business, row), "sent")
    before = stack.twilio.fetches
    told = [sync(stack, services, after=timedelta(minutes=5, seconds=5)) for _ in range(6 * 12)]
    told += [sync(stack, services, after=timedelta(minutes=30)) for _ in range(4 * 24 * 2)]
    assert (told.count("on its way 1"), told.count("unknown 1")) == (10, 1)
    assert stack.twilio.fetches - before == 11
    [attempt] = business.attempts_of(row)
    assert (attempt["delivery_status"], business.log_of(row)["status"]) == ("unknown", "sent")
    settle(business, attempt["twilio_sid"], "delivered")
    assert business.log_of(row)["status"] == "delivered"


def test_a_look_that_has_lost_its_claim_decides_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its lease went by, and another look is under way."""
    row = accepted(business, queue, sender)
    stack.move_clock(timedelta(minutes=5))
    claim = "select attempt_id, looks from claim_sms_deliveries(10)"
    late = business.connection.execute(claim).fetchone()
    stack.move_clock(timedelta(minutes=11))
    business.connection.execute(claim)
    gives_up = "finish_sms_delivery(%(attempt_id)s, %(looks)s, 'give_up', 'undelivered', 30006, error => 'A landline')"
    assert business.connection.execute(f"select {gives_up} as a".encode(), late).fetchone() == {"a": "lost"}
    assert business.row(row)["status"] == "completed"


_ANOTHER = """
    with another as (
        insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, status)
        select business_id, send_log_id, customer_id, scheduled_for, 'completed' from sms_retry_queue returning id)
    insert into sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by, twilio_sid)
    select gen_random_uuid(), another.id, 1, 1, begun_at, {} from sms_send_attempts, another
"""


@pytest.mark.parametrize(
    "meanwhile",
    [
        "update sms_retry_queue set status = 'cancelled'",
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select business_id, send_log_id, customer_id, scheduled_for from sms_retry_queue""",
        _ANOTHER.format(f"finished_at, 'accepted', 'response', '{SID}'"),
        _ANOTHER.format("null, null, null, null"),
    ],
    ids=["ended", "queued", "another accepted", "another under way"],
)
def test_a_decision_to_send_again_is_asked_anew_as_it_is_written(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, meanwhile: str
) -> None:
    """What Twilio called lost may have reached the phone otherwise, or waits again, since the look began."""
    row = accepted(business, queue, sender)
    stack.move_clock(timedelta(minutes=5))
    claim = "select attempt_id, looks from claim_sms_deliveries(10)"
    look = business.connection.execute(claim).fetchone()
    business.connection.execute(meanwhile.encode())
    before = business.row(row)
    again = """finish_sms_delivery(%(attempt_id)s, %(looks)s, 'send_again', 'undelivered', 30008, error => 'Lost',
                                   retry_in => '1 minute')"""
    assert business.connection.execute(f"select {again} as a".encode(), look).fetchone() == {"a": "changed"}
    assert business.row(row) == before


def test_a_look_that_saw_no_failure_does_not_act_on_one(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Whatever it has decided: the message is on its way, and no callback says otherwise."""
    row = accepted(business, queue, sender)
    stack.move_clock(timedelta(minutes=5))
    claim = "select attempt_id, looks from claim_sms_deliveries(10)"
    look = business.connection.execute(claim).fetchone()
    gives_up = "finish_sms_delivery(%(attempt_id)s, %(looks)s, 'give_up', 'sent', error => 'A landline')"
    assert business.connection.execute(f"select {gives_up} as a".encode(), look).fetchone() == {"a": "changed"}
    assert business.row(row)["status"] == "completed"


def test_a_fetch_that_fails_proves_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Not even of a text whose failure a callback reported."""
    row = accepted(business, queue, sender)
    settle(business, sid_of(business, row), "undelivered", 30008)
    stack.twilio.fail(FetchError())
    summary: DeliverySummary = sync_deliveries(services, limit=10)
    assert (str(summary), summary.needs_somebody) == ("not asked 1", True)
    assert business.row(row)["status"] == "completed"


def test_a_reported_failure_is_decided_about_before_anybody_is_asked_about_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """It had stood last: behind thousands of a neighbor's looks its text missed its window."""
    for number in range(3):
        accepted(business, queue, sender, phone=f"+1212555012{number}")
    stack.move_clock(timedelta(hours=1))
    lost = accepted(business, queue, sender)
    stack.twilio.report(sid_of(business, lost), "undelivered", 30008)
    settle(business, sid_of(business, lost), "undelivered", 30008)
    [followed] = sync_deliveries(services, limit=1).followed
    assert (followed.message.retry_id, followed.came_to) == (lost, "retried")


@pytest.mark.parametrize(("code", "came_to"), [(30008, "retried"), (30006, "undelivered")])
def test_a_failure_that_a_callback_reported_counts_although_the_message_was_deleted_at_twilio(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    services: Services,
    code: int,
    came_to: str,
) -> None:
    """Nothing had come of it: for three days Twilio "could not be asked", and the row stayed as sent."""
    row = accepted(business, queue, sender)
    settle(business, sid_of(business, row), "undelivered", code)
    stack.twilio.fail(FetchError(20404, http_status=404))
    [followed] = sync_deliveries(services, limit=10).followed
    assert (followed.came_to, followed.code) == (came_to, code)
    assert business.attempts_of(row)[0]["delivery_code"] == code
    [customer] = business.connection.execute("select phone_status from customers").fetchall()
    assert customer["phone_status"] == ("not_mobile" if code == 30006 else None)


def test_a_message_that_was_deleted_at_twilio_is_said_to_be_and_makes_no_run_red(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Twilio was asked, and answered. After three days it is unknown."""
    row = accepted(business, queue, sender)
    stack.twilio.fail(FetchError(20404, http_status=404), times=None)
    stack.move_clock(timedelta(minutes=6))
    summary = sync_deliveries(services, limit=10)
    assert (str(summary), summary.needs_somebody) == ("not at the provider 1", False)
    assert sync(stack, services, after=timedelta(days=3)) == "unknown 1"
    assert business.row(row)["status"] == "completed"


def test_an_application_whose_statuses_know_no_delivery_keeps_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, services: Services
) -> None:
    """Its check refuses the new words; the attempt has them."""
    business.connection.execute(
        "alter table send_logs add constraint known check (status in ('pending', 'sent', 'failed'))"
    )
    try:
        arrived, lost = accepted(business, queue, sender), accepted(business, queue, sender, phone="+12125550124")
        assert settle(business, sid_of(business, arrived), "delivered") == "recorded"
        stack.twilio.report(sid_of(business, lost), "undelivered", 30007)
        assert sync(stack, services) == "undelivered 1"
        assert [business.log_of(row)["status"] for row in (arrived, lost)] == ["sent", "sent"]
        assert business.log_of(lost)["error_message"] == "Not delivered: Twilio 30007: Message filtered"
        assert [business.attempts_of(row)[0]["delivery_status"] for row in (arrived, lost)] == [
            "delivered",
            "undelivered",
        ]
    finally:
        business.connection.execute("alter table send_logs drop constraint known")


def many(business: Business, name: str, seconds: list[int | None], *, ago: timedelta = timedelta(minutes=30)) -> None:
    """Accepted texts of another business: so many seconds until each was delivered; None, it was not."""
    other = Business(business.connection, business.now).open()
    business.connection.execute("update businesses set name = %s where id = %s", [name, other.id])
    business.connection.execute(
        """with text as (
               select gen_random_uuid() as id, smsretry.clock() - %(ago)s as at, t.seconds
               from unnest(%(seconds)s::integer[]) as t (seconds)),
           retry as (
               insert into sms_retry_queue
                   (id, business_id, send_log_id, customer_id, status, scheduled_for, attempt_count, updated_at)
               select id, %(business)s, id, id, 'completed', at, 1, at from text)
           insert into sms_send_attempts
               (id, retry_id, business_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                twilio_sid, delivery_status, delivery_at)
           select id, id, %(business)s, 1, 1, at - interval '2 seconds', at, 'accepted', 'response',
                  'SM' || replace(id::text, '-', ''), case when seconds is null then 'undelivered' else 'delivered' end,
                  at + make_interval(secs => coalesce(seconds, 60))
           from text""",
        {"ago": ago, "seconds": seconds, "business": other.id},
    )


def test_status_tells_how_many_arrive_by_hour_and_of_whom_some_do_not(
    stack: Stack, business: Business, command: Command
) -> None:
    """By SQL, by command and as a page, which has a picture of the day."""
    many(business, "Half", [4] * 10 + [None] * 10)
    many(business, "Most", [4] * 8 + [30] + [None], ago=timedelta(hours=3))
    many(business, "Most too", [4] * 18 + [None] * 2, ago=timedelta(hours=3))
    many(business, "Long ago", [9] * 30 + [None] * 30, ago=timedelta(hours=25))

    lines = business.connection.execute("select * from sms_status()").fetchall()
    told = command("status").stdout
    with SupabaseOperators(stack.settings()) as operators:
        page = markdown(QueueStatus.of(operators.status()).tell())

    lost = {(line["business"], line["name"], line["texts"]) for line in lines if line["part"] == "undelivered"}
    assert lost == {("Half", "without a code", 10), ("Most", "without a code", 1), ("Most too", "without a code", 2)}
    hours = sorted((line["oldest"].hour, line["name"], line["texts"]) for line in lines if line["part"] == "hour")
    assert hours == [(13, "delivered", 27), (13, "undelivered", 3), (16, "delivered", 10), (16, "undelivered", 10)]
    assert "  delivered, texts 37, 74% of what is known\n" in told
    assert "  code without a code, texts 10, business Half\n" in told
    assert "| delivered | 37 | 74% of what is known |" in page
    assert "data:image/svg" in page
