"""What becomes of a text after Twilio accepted it: callbacks, looks, and what follows when it did not arrive."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import ExplainText
from smsretry.desk.pages.markdown import markdown
from smsretry.local.twilio.faults import AcceptThenDrop, FetchError
from smsretry.sending.delivering import sync_deliveries
from tests.integration.conftest import Command
from tests.integration.delivery.conftest import Post
from tests.integration.hearing import hear
from tests.support.builders import AT_ONCE, SID
from tests.support.records import columns

FORWARD = ["accepted", "queued", "sending", "sent", "delivered"]


def test_twilio_is_told_what_a_text_is_for(post: Post) -> None:
    """By its class: its Compliance Toolkit asks other things of what a customer asked for."""
    row, asked_for = post.due_text(), post.due_text(phone="+12125550177")
    post.sql(
        "update sms_retry_queue set message_class = 'transactional' where id = %s",
        asked_for,
    )
    assert post.run() == ["Sent"] * 2
    intents = {
        identity: post.twilio.ledger.find(post.sid_of(identity))
        for identity in (row, asked_for)
    }
    assert [entry and entry.intent for entry in intents.values()] == [
        "marketing",
        "notifications",
    ]


def test_a_message_of_which_a_part_arrived_is_not_sent_again(post: Post) -> None:
    """It is on the phone. A report of the whole is news, one of a loss is not."""
    row, sid = post.lost_text()
    assert post.settle(sid, "partially_delivered") == "recorded"
    assert post.statuses(row) == ("completed", "delivered")
    assert post.settle(sid, "undelivered", 30008) == "already_settled"
    assert post.settle(sid, "delivered") == "recorded"
    other = post.accepted(phone="+12125550177")
    post.report(other, "partially_delivered")
    assert post.sync() == "1 delivered"


def test_a_status_goes_forward_only_whatever_the_order(post: Post) -> None:
    """And a repetition is no news."""
    row = post.accepted()
    sid = post.sid_of(row)
    assert [post.settle(sid, status) for status in FORWARD] == ["recorded"] * 5
    assert [post.settle(sid, status) for status in reversed(FORWARD)] == [
        "already_settled"
    ] * 5
    assert post.settle(sid, "undelivered", 30008) == "already_settled"
    assert post.settle(sid, "teleported") == "already_settled", (
        "an error would be called again and again"
    )
    [attempt] = post.attempts_of(row)
    assert attempt["delivery_status"] == "delivered"
    assert attempt["delivery_code"] is attempt["delivery_ask_at"] is None
    log = post.log_of(row)
    assert columns(log, "status", "provider_message_id", "error_message") == (
        "delivered",
        {"twilio_sid": sid},
        None,
    )


def test_a_failure_is_shown_with_its_code_and_a_late_delivery_takes_it_back(
    post: Post,
) -> None:
    """The code may come with the second report."""
    row = post.accepted()
    sid = post.sid_of(row)
    assert post.settle(sid, "undelivered") == "recorded"
    assert post.settle(sid, "failed", 30008) == "recorded"
    [attempt] = post.attempts_of(row)
    assert columns(attempt, "delivery_status", "delivery_code") == (
        "undelivered",
        30008,
    )
    assert post.log_of(row)["status"] == "undelivered"
    assert post.settle(sid, "delivered") == "recorded"
    [attempt] = post.attempts_of(row)
    assert attempt["delivery_status"] == "delivered"
    assert attempt["delivery_code"] is attempt["delivery_ask_at"] is None
    assert post.log_fields(row, "status error_message") == (
        "delivered",
        None,
    )


def test_a_callback_before_the_answer_settles_the_text_and_its_failure_is_decided_about(
    post: Post,
) -> None:
    """The answer was lost; the callback with the attempt's id says that Twilio has it, and that it did not arrive."""
    row = post.due_text()
    post.twilio.fail(AcceptThenDrop())
    assert post.run() == ["InDoubt"]
    [attempt], [entry] = post.attempts_of(row), post.messages
    post.twilio.report(entry.sid, "undelivered", 30003)
    assert post.settle(entry.sid, "undelivered", 30003, attempt["id"]) == "settled"
    assert post.fields(row, "status attempt_count") == ("completed", 1)
    assert post.sync(after=timedelta(0)) == "1 retried"
    assert post.fields(row, "status attempt_count") == ("pending", 1)


def test_a_send_whose_answer_a_callback_overtook_is_the_last_of_three(
    post: Post,
) -> None:
    """It did not arrive, and is not sent a fourth time."""
    row, attempt = post.due_text(attempts=2), uuid4()
    post.begin(post.claim(), attempt)
    assert post.settle(SID, "undelivered", 30003, attempt) == "settled"
    assert post.sync(after=timedelta(0)) == "1 undelivered"
    assert post.status_of(row) == "failed"


def test_a_lost_message_in_whose_place_the_application_has_put_its_own_is_not_followed_by_another(
    post: Post,
) -> None:
    """The send log says that the text went out as that one, of which nothing is known here."""
    row = post.accepted()
    post.report(row, "undelivered", 30003)
    post.sql(
        "update send_logs set provider_message_id = %s", Jsonb({"twilio_sid": SID})
    )
    assert post.sync() == "1 still undelivered"
    assert (post.status_of(row), post.log_of(row)["provider_message_id"]) == (
        "completed",
        {"twilio_sid": SID},
    )


def test_a_message_that_is_not_ours_and_one_that_is_another_attempts_change_nothing(
    post: Post,
) -> None:
    """By SID alone, by a strange attempt, and by an attempt that Twilio has under another SID."""
    row = post.accepted()
    [before] = post.attempts_of(row)
    assert post.settle(SID, "delivered") == "unknown_attempt"
    assert post.settle(SID, "delivered", attempt=uuid4()) == "unknown_attempt"
    assert post.settle(SID, "delivered", attempt=before["id"]) == "unknown_attempt"
    assert post.attempts_of(row) == [before]


@pytest.mark.parametrize("again", ["delivered", "undelivered"])
def test_a_text_that_a_carrier_lost_is_sent_again_once(post: Post, again: str) -> None:
    """After half an hour, as another message; the second failure is the last."""
    row = post.accepted()
    first = post.sid_of(row)
    post.twilio.report(first, "undelivered", 30003)
    assert post.sync() == "1 retried"
    waits = post.row(row)
    assert columns(waits, "status", "error_code", "attempt_count") == (
        "pending",
        30003,
        1,
    )
    assert (
        timedelta(minutes=29)
        < waits["scheduled_for"] - post.stack.now()
        <= timedelta(minutes=30)
    )
    log = post.log_of(row)
    assert columns(log, "status", "provider_message_id") == ("pending", None)
    assert (
        log["error_message"]
        == "Not delivered: Twilio 30003: Unreachable destination handset"
    )
    assert post.sync() == "no delivery is open"
    assert post.sync(after=timedelta(minutes=19)) == "1 still undelivered"
    post.later(minutes=5)
    assert post.run() == ["Sent"]
    second = post.sid_of(row)
    assert len(post.messages) == 2
    post.twilio.report(second, again, None if again == "delivered" else 30008)
    assert post.sync().startswith(f"1 {again}")
    post.sync(after=timedelta(days=4))
    assert post.sync(after=timedelta(days=1)) == "no delivery is open"
    log = post.log_of(row)
    assert columns(log, "status", "provider_message_id") == (
        again,
        {"twilio_sid": second},
    )
    assert post.status_of(row) == ("completed" if again == "delivered" else "failed")


@pytest.mark.parametrize(("lost", "code"), [("undelivered", 30005), ("canceled", None)])
def test_a_text_that_was_given_up_and_arrives_after_all_is_found(
    post: Post, lost: str, code: int | None
) -> None:
    """No callback says so, and yet the last word is right."""
    row = post.accepted()
    post.report(row, lost, code)
    assert post.sync() == "1 undelivered"
    assert post.sync(after=timedelta(minutes=61)) == "1 still undelivered"
    post.report(row, "delivered")
    assert post.sync(after=timedelta(minutes=16)) == "1 delivered"
    assert post.statuses(row) == (
        "completed",
        "delivered",
    )


def test_a_carriers_stop_opts_the_number_out(post: Post) -> None:
    """As Twilio's own answer 21610 does."""
    row = post.accepted()
    post.report(row, "undelivered", 30630)
    assert post.sync() == "1 undelivered"
    [customer] = post.connection.execute(
        "select sms_consent_status, sms_consent_source from customers"
    ).fetchall()
    assert customer == {
        "sms_consent_status": "opted_out",
        "sms_consent_source": "twilio_30630",
    }


def test_a_number_that_was_corrected_meanwhile_is_not_marked(post: Post) -> None:
    """The failure says something of the number that the text was sent to."""
    row = post.accepted()
    post.connection.execute("update customers set phone = '+12125550177'")
    post.report(row, "undelivered", 30006)
    assert post.sync() == "1 undelivered"
    assert post.connection.execute("select phone_status from customers").fetchall() == [
        {"phone_status": None}
    ]


def test_a_look_that_has_lost_its_claim_decides_nothing(post: Post) -> None:
    """Its lease went by, and another look is under way."""
    row = post.accepted()
    post.later(minutes=5)
    claim = "select attempt_id, asks from claim_sms_deliveries(10)"
    late = post.sql(claim)[0]
    post.later(minutes=11)
    post.connection.execute(claim)
    gives_up = "finish_sms_delivery(%(attempt_id)s, %(asks)s, 'give_up', 'undelivered', 30006, why => 'A landline')"
    assert post.connection.execute(
        f"select {gives_up} as a".encode(), late
    ).fetchone() == {"a": "claim_lost"}
    assert post.status_of(row) == "completed"


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
    post: Post, meanwhile: str
) -> None:
    """What Twilio called lost may have reached the phone otherwise, or waits again, since the look began."""
    row = post.accepted()
    post.later(minutes=5)
    claim = "select attempt_id, asks from claim_sms_deliveries(10)"
    look = post.sql(claim)[0]
    post.connection.execute(meanwhile.encode())
    before = post.row(row)
    again = """finish_sms_delivery(%(attempt_id)s, %(asks)s, 'send_again', 'undelivered', 30008, why => 'Lost',
                                   due_in => '1 minute')"""
    assert post.connection.execute(
        f"select {again} as a".encode(), look
    ).fetchone() == {"a": "changed"}
    assert post.row(row) == before


def test_a_look_that_saw_no_failure_does_not_act_on_one_nor_put_off_one_that_a_callback_reported(
    post: Post,
) -> None:
    """Whatever it has decided: it knows of another state than the database. The next look decides."""
    row = post.accepted()
    post.later(minutes=5)
    [look] = post.sql("select attempt_id, asks from claim_sms_deliveries(10)")
    decided = [
        "'give_up', 'sent', why => 'A landline'",
        "'ask_again', 'sent', ask_in => '4 hours'",
        "'unknown'",
    ]
    for decision in decided:
        assert (
            post.value(
                f"select finish_sms_delivery(%s, %s, {decision})", *look.values()
            )
            == "changed"
        )
        post.settle(post.sid_of(row), "undelivered", 30006)
    assert post.status_of(row) == "completed"
    post.report(row, "undelivered", 30006)
    assert post.sync(after=timedelta(0)) == "1 undelivered"


def test_a_locked_row_keeps_nobody_waiting_and_is_reported_later(
    post: Post,
) -> None:
    """Its attempt, and its send log, without which it does not end."""
    first, second = post.accepted(), post.accepted(phone="+12125550124")
    for row in (first, second):
        post.report(row, "undelivered", 30006)
    with post.locked("sms_send_attempts where retry_id = %s", first):
        assert post.sync() == "1 undelivered"
    [look] = post.sql("select attempt_id, asks from claim_sms_deliveries(10)")
    gives_up = "finish_sms_delivery(%s, %s, 'give_up', 'undelivered', 30006, why => 'A landline')"
    with (
        post.locked("send_logs where id = %s", post.row(first)["send_log_id"]),
        pytest.raises(psycopg.errors.LockNotAvailable),
    ):
        post.sql(f"select {gives_up}", *look.values())
    assert post.status_of(first) == "completed"
    post.sql(f"select {gives_up}", *look.values())
    assert post.statuses(first) == (
        "failed",
        "undelivered",
    )


def test_a_reported_failure_is_decided_about_before_anybody_is_asked_about_again(
    post: Post,
) -> None:
    """It had stood last: behind thousands of a neighbor's looks its text missed its window."""
    for number in range(3):
        post.accepted(phone=f"+1212555012{number}")
    post.later(hours=1)
    lost = post.accepted()
    post.report(lost, "undelivered", 30008)
    post.settle(post.sid_of(lost), "undelivered", 30008)
    [followed] = sync_deliveries(post.services, limit=1).followed
    assert (followed.message.retry_id, followed.came_to) == (lost, "retried")


@pytest.mark.parametrize(
    ("code", "came_to"), [(30008, "retried"), (30006, "undelivered")]
)
def test_a_failure_that_a_callback_reported_counts_although_the_message_was_deleted_at_twilio(
    post: Post, code: int, came_to: str
) -> None:
    """Nothing had come of it: for three days Twilio "could not be asked", and the row stayed as sent."""
    row = post.accepted()
    post.settle(post.sid_of(row), "undelivered", code)
    post.twilio.fail(FetchError(20404, http_status=404))
    [followed] = post.look(after=timedelta(0)).followed
    assert (followed.came_to, followed.code) == (came_to, code)
    assert post.attempts_of(row)[0]["delivery_code"] == code
    [customer] = post.connection.execute(
        "select phone_status from customers"
    ).fetchall()
    assert customer["phone_status"] == ("not_mobile" if code == 30006 else None)


def test_a_message_that_was_deleted_at_twilio_is_said_to_be_and_makes_no_run_red(
    post: Post,
) -> None:
    """Twilio was asked, and answered. After three days it is unknown; a report that comes later counts all the same."""
    row = post.accepted()
    post.twilio.fail(FetchError(20404, http_status=404), times=None)
    summary = post.look()
    assert (str(summary), summary.needs_attention) == ("1 not at the provider", False)
    assert post.sync(after=timedelta(days=3)) == "1 unknown"
    assert post.statuses(row) == ("completed", "sent")
    post.settle(post.sid_of(row), "delivered")
    assert post.log_of(row)["status"] == "delivered"


def test_an_application_whose_statuses_know_no_delivery_keeps_sent(post: Post) -> None:
    """Its check refuses the new words; the attempt has them."""
    post.connection.execute(
        "alter table send_logs add constraint known check (status in ('pending', 'sent', 'failed'))"
    )
    try:
        arrived, lost = post.accepted(), post.accepted(phone="+12125550124")
        assert post.settle(post.sid_of(arrived), "delivered") == "recorded"
        post.report(lost, "undelivered", 30007)
        assert post.sync() == "1 undelivered"
        assert [post.log_of(row)["status"] for row in (arrived, lost)] == [
            "sent",
            "sent",
        ]
        assert (
            post.log_of(lost)["error_message"]
            == "Not delivered: Twilio 30007: Message filtered"
        )
        assert [
            post.attempts_of(row)[0]["delivery_status"] for row in (arrived, lost)
        ] == [
            "delivered",
            "undelivered",
        ]
    finally:
        post.connection.execute("alter table send_logs drop constraint known")


def many_accepted(
    post: Post,
    name: str,
    seconds: list[int | None],
    *,
    ago: timedelta = timedelta(minutes=30),
) -> None:
    """Accepted texts of another business: so many seconds until each was delivered; None, it was not."""
    neighbor = post.neighbor()
    post.connection.execute(
        "update businesses set name = %s where id = %s", [name, neighbor.id]
    )
    post.connection.execute(
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
        {"ago": ago, "seconds": seconds, "business": neighbor.id},
    )


def test_status_tells_how_many_arrive_by_hour_and_of_whom_some_do_not(
    post: Post, command: Command
) -> None:
    """By SQL, by command and as a page, hour by hour."""
    many_accepted(post, "Half", [4] * 10 + [None] * 10)
    many_accepted(post, "Most", [4] * 8 + [30] + [None], ago=timedelta(hours=3))
    many_accepted(post, "Most too", [4] * 18 + [None] * 2, ago=timedelta(hours=3))
    many_accepted(post, "Long ago", [9] * 30 + [None] * 30, ago=timedelta(hours=25))

    shown = command("status").stdout
    with SupabaseOperators(post.stack.settings()) as operators:
        status = operators.status()
    page = markdown(status.tell())

    [undelivered] = status.undelivered
    assert (undelivered.businesses, undelivered.code, undelivered.texts) == (
        3,
        None,
        13,
    )
    hours = sorted((one.hour.hour, one.delivery, one.texts) for one in status.hours)
    assert hours == [
        (13, "delivered", 27),
        (13, "undelivered", 3),
        (16, "delivered", 10),
        (16, "undelivered", 10),
    ]
    assert "  arrived, texts 37\n  did not arrive, texts 13\n" in shown
    assert "  without a code, texts 13, 3 businesses\n" in shown
    assert "| arrived | 37 |" in page
    assert f"13:00 UTC | 30 | {'█' * 30} 3 did not arrive |" in page


# What is told is the best that became of its messages


def test_a_text_whose_first_message_arrived_did_arrive(
    post: Post, operators: SupabaseOperators
) -> None:
    """Its second one was lost meanwhile: it had been told that the text did not arrive."""
    desk = Desk(operators, profile=AT_ONCE, meaning=code_meaning)

    def reports() -> str:
        [explanation] = desk.explain(ExplainText(id=row))
        return explanation.next

    row = post.accepted()
    first = post.sid_of(row)
    post.twilio.report(first, "undelivered", 30003, arrived=False)
    assert post.sync() == "1 retried"
    post.later(minutes=31)
    assert post.run() == ["Sent"]
    post.settle(post.sid_of(row), "undelivered", 30003)
    assert "sync-delivery-status may then send it again" in reports()
    post.settle(first, "delivered")
    assert post.sends(row, "delivery_status") == [
        "delivered",
        "undelivered",
    ]
    assert reports() == "nothing more; it was delivered"
    assert post.log_fields(row, "status provider_message_id") == (
        "delivered",
        {"twilio_sid": first},
    )


def test_a_text_that_had_ended_and_then_arrives_says_both(
    post: Post, operators: SupabaseOperators
) -> None:
    """Given up, because a carrier had called it lost; or cancelled by a STOP, because no evidence of it was found."""
    desk = Desk(operators, profile=AT_ONCE, meaning=code_meaning)
    failed = post.accepted(phone="+12125550124")
    post.report(failed, "undelivered", 30006)
    assert post.sync() == "1 undelivered"
    cancelled = post.due_text()
    post.twilio.fail(AcceptThenDrop())
    assert post.run() == ["InDoubt"]
    post.sql(
        "update sms_retry_queue set in_doubt_since = null, attempt_id = null where id = %s",
        cancelled,
    )
    hear(post, "STOP")
    post.settle(post.sid_of(failed), "delivered")
    [attempt] = post.attempts_of(cancelled)
    post.settle("SM" + "7" * 32, "delivered", attempt=attempt["id"])
    for row, before in (
        (failed, "had failed: Not delivered"),
        (cancelled, "had been cancelled: Customer opted out"),
    ):
        assert post.statuses(row) == (
            "completed",
            "delivered",
        )
        [explanation] = desk.explain(ExplainText(id=row))
        assert (
            f"It was delivered after all. Before that it {before}"
            in explanation.headline
        )
        assert (explanation.next, explanation.remedies) == (
            "nothing more; it was delivered",
            (),
        )
