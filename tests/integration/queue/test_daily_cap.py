"""Three texts to one person in 24 hours, where a state says so: a fourth waits until there is room for it.

What counts is what may have reached the phone from this business, whoever of its customers has the number.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from datetime import datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.decision import Defer, Retry
from smsretry.retry.models import Claim
from smsretry.retry.outcome import NotSent, Outcome
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business
from tests.support.builders import PHONE, begin, finish, give_up, refused, run
from tests.support.claims import claim_doubtful, claim_due

FLORIDA = "+13055550123"
DAY = timedelta(hours=24)
WHY = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"


def text_to(business: Business, customer: UUID) -> UUID:
    """One more due text to this customer; returns its row's id."""
    return business.queue_row(business.send_log(customer), customer)


def app_sent(business: Business, customer: UUID, *, at: datetime, channel: str = "sms") -> UUID:
    """What the application sent itself, with Twilio's name for it."""
    log = business.send_log(customer)
    business.connection.execute(
        """update send_logs set status = 'sent', channel = %s, created_at = %s, updated_at = %s,
                                provider_message_id = jsonb_build_object('twilio_sid', 'SM' || md5(id::text))
           where id = %s""",
        [channel, at, at, log],
    )
    return log


# The fourth text


@pytest.mark.parametrize(
    ("phone", "timezone", "rule"),
    [
        (FLORIDA, "America/New_York", "us-fl-501.616"),
        ("+14055550123", "America/Chicago", "us-ok-775c.4"),
        ("+14105550123", "America/New_York", "us-md-14-4502"),
        ("+15035550123", "America/Los_Angeles", "us-or-646.563"),
    ],
)
def test_a_fourth_text_waits_until_the_first_is_a_day_old_and_loses_no_attempt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, phone: str, timezone: str, rule: str
) -> None:
    """To the microsecond, with the rule; then it goes out."""
    customer = business.customer(phone=phone, timezone=timezone)
    first = text_to(business, customer)
    assert run(queue, sender) == ["Sent"]
    for _ in range(2):
        stack.move_clock(timedelta(minutes=20))
        text_to(business, customer)
        assert run(queue, sender) == ["Sent"]
    fourth = text_to(business, customer)
    assert run(queue, sender) == ["Deferred"]
    row, (sent,) = business.row(fourth), business.attempts_of(first)
    assert row["scheduled_for"] == sent["finished_at"] + DAY
    assert (row["status"], row["reason"], row["attempt_count"]) == ("pending", "quiet_hours", 0)
    assert row["why"] == f"Daily cap: 3 texts in 24 hours to one person ({rule})"
    assert row["last_error"] is None
    assert business.attempts_of(fourth) == []
    stack.move_clock(row["scheduled_for"] - stack.now() - timedelta(seconds=5))
    assert run(queue, sender) == []
    stack.move_clock(timedelta(seconds=6))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries(phone)) == 4


def test_the_day_rolls_and_does_not_begin_at_midnight(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Two texts at noon and one at eight the next morning: a fourth that morning waits for noon, a fifth like it."""
    customer = business.customer(phone=FLORIDA)
    noon = stack.now()
    for _ in range(2):
        text_to(business, customer)
    run(queue, sender)
    stack.move_clock(timedelta(hours=20, minutes=30))
    text_to(business, customer)
    assert run(queue, sender) == ["Sent"]
    fourth, fifth = text_to(business, customer), text_to(business, customer)
    assert run(queue, sender) == ["Deferred", "Deferred"]
    for row in (fourth, fifth):
        assert timedelta(0) <= business.row(row)["scheduled_for"] - noon - DAY < timedelta(minutes=1)
    stack.move_clock(timedelta(hours=3, minutes=31))
    assert run(queue, sender) == ["Sent", "Sent"]


def test_a_capped_text_waits_for_the_opening_when_its_place_is_free_at_night(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The application texted at six in the morning: free at six tomorrow, and open at eight."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(3):
        app_sent(business, customer, at=datetime.fromisoformat("2027-01-12T06:00:00-05:00"))
    row = text_to(business, customer)
    assert run(queue, sender) == ["Deferred"]
    waiting, opening = business.row(row), datetime.fromisoformat("2027-01-13T08:00:00-05:00")
    assert opening <= waiting["scheduled_for"] < opening + timedelta(minutes=10)
    assert (waiting["why"], waiting["reason"]) == (WHY, "quiet_hours")
    stack.set_clock(waiting["scheduled_for"] + timedelta(seconds=1))
    assert run(queue, sender) == ["Sent"]


def test_a_text_that_expires_before_there_is_room_for_it_is_cancelled(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """At once and with a reason, in row and send log; it never begins."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(3):
        app_sent(business, customer, at=stack.now())
    row = text_to(business, customer)
    business.connection.execute(
        "update sms_retry_queue set expires_at = %s where id = %s", [stack.now() + timedelta(hours=23), row]
    )
    assert run(queue, sender) == ["Cancelled"]
    ended, log = business.row(row), business.log_of(row)
    assert ended["status"] == "cancelled"
    assert ended["last_error"].startswith("Expires before")
    assert (log["status"], log["error_message"]) == ("failed", ended["last_error"])
    assert business.attempts_of(row) == []
    assert not stack.twilio.ledger.entries()


def test_a_text_that_is_cancelled_for_the_cap_says_so(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """At noon, with the window open, an hour is not what it waited for."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(3):
        app_sent(business, customer, at=stack.now())
    row = text_to(business, customer)
    business.connection.execute("update sms_retry_queue set expires_at = smsretry.clock() + interval '23 hours'")
    assert run(queue, sender) == ["Cancelled"]
    assert WHY in business.row(row)["last_error"]


def test_begin_says_when_there_is_room_and_begins_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """The claim is still held, so that its worker may put the row off."""
    customer = business.customer(phone=FLORIDA)
    sent = [stack.now() - timedelta(hours=hours) for hours in (23, 5, 1)]
    for at in sent:
        app_sent(business, customer, at=at)
    row = text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    before = business.row(row)
    answer = begin(queue, claim, cap=3)
    assert (answer.answer, answer.reached_at, answer.why) == ("capped", sent[0], None)
    assert business.row(row) == before
    assert business.attempts_of(row) == []
    assert queue.put_off(claim, Defer(WHY, "daily_cap", until=sent[0] + DAY, for_window=True))


# What counts, and what does not


def accepted(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    text_to(business, customer)
    assert run(queue, sender) == ["Sent"]


def in_doubt(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    text_to(business, customer)
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]


def under_way(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    assert begin(queue, claim, cap=3).answer == "go"


def sent_by_the_application(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    app_sent(business, customer, at=stack.now() - timedelta(hours=23))


def to_another_customer_with_the_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    accepted(stack, business, queue, sender, business.customer(phone=FLORIDA))


def transactional(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    row = text_to(business, customer)
    business.connection.execute("update sms_retry_queue set message_class = 'transactional' where id = %s", [row])
    assert run(queue, sender) == ["Sent"]


def rejected(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    _end(business, queue, customer, refused(30003))


def not_sent(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    _end(business, queue, customer, NotSent("It did not go out"))


def _end(business: Business, queue: SupabaseQueue, customer: UUID, outcome: Outcome) -> None:
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt, cap=3)
    finish(queue, claim, attempt, outcome, give_up("It did not go out"))


def in_doubt_and_not_found(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    in_doubt(stack, business, queue, sender, customer)
    stack.move_clock(timedelta(minutes=2))
    (claim,) = claim_doubtful(queue, 1)
    assert queue.reconcile(claim, Retry("No evidence", "no_evidence", delay=timedelta(0))) == "applied"
    business.connection.execute("update sms_retry_queue set status = 'cancelled' where id = %s", [claim.id])


def an_email(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    app_sent(business, customer, at=stack.now(), channel="email")


def a_text_that_only_waits(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    business.queue_row(business.send_log(customer), customer, due=timedelta(hours=5))


def one_a_day_old(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID) -> None:
    app_sent(business, customer, at=stack.now() - DAY)


def from_another_business(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    other = Business(business.connection, stack.now).open()
    accepted(stack, other, queue, sender, other.customer(phone=FLORIDA))
    app_sent(other, other.customer(phone=FLORIDA), at=stack.now())


def to_another_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, customer: UUID
) -> None:
    accepted(stack, business, queue, sender, business.customer(phone="+13055550188"))


Event = Callable[[Stack, Business, SupabaseQueue, TwilioSender, UUID], None]
COUNTED: list[Event] = [
    accepted,
    in_doubt,
    under_way,
    sent_by_the_application,
    to_another_customer_with_the_number,
    transactional,
]
UNCOUNTED: list[Event] = [
    rejected,
    not_sent,
    in_doubt_and_not_found,
    an_email,
    a_text_that_only_waits,
    one_a_day_old,
    from_another_business,
    to_another_number,
]


@pytest.mark.parametrize("event", COUNTED)
def test_what_may_have_reached_the_phone_counts(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, event: Event
) -> None:
    """After two accepted texts it is the third."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(2):
        accepted(stack, business, queue, sender, customer)
    event(stack, business, queue, sender, customer)
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    assert begin(queue, claim, cap=3).answer == "capped"


@pytest.mark.parametrize("event", UNCOUNTED)
def test_what_did_not_reach_the_phone_from_this_business_today_does_not_count(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, event: Event
) -> None:
    """After two accepted texts there is room for a third; the two count once each, as attempt and as send log."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(2):
        accepted(stack, business, queue, sender, customer)
    event(stack, business, queue, sender, customer)
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    assert begin(queue, claim, cap=3).answer == "go"


def test_a_text_in_doubt_whose_send_log_says_sent_counts_once(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The webhook was there first: still one text."""
    customer = business.customer(phone=FLORIDA)
    accepted(stack, business, queue, sender, customer)
    in_doubt(stack, business, queue, sender, customer)
    business.connection.execute(
        """update send_logs set status = 'sent', updated_at = %s,
                                provider_message_id = jsonb_build_object('twilio_sid', %s::text)
           where provider_message_id is null""",
        [stack.now(), stack.twilio.ledger.entries()[-1].sid],
    )
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    assert begin(queue, claim, cap=3).answer == "go"


def test_a_number_that_was_changed_after_the_claim_gets_no_fourth_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Somebody corrects it while the row is claimed: the old number may be a stranger's by now."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(3):
        app_sent(business, business.customer(phone=FLORIDA), at=stack.now())
    text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    business.connection.execute("update customers set phone = '+13055550188' where id = %s", [customer])
    process_sms_retry_item(claim, queue=queue, sender=sender)
    assert not stack.twilio.ledger.entries(FLORIDA)


# Where there is no cap


@pytest.mark.parametrize("exempt", ["the federal rules", "a transactional text", "a state without a cap"])
def test_without_a_rule_there_is_no_cap(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, exempt: str
) -> None:
    """Five texts in a run."""
    customer = business.customer(phone=PHONE if exempt == "a state without a cap" else FLORIDA)
    for _ in range(5):
        text_to(business, customer)
    if exempt == "a transactional text":
        business.connection.execute("update sms_retry_queue set message_class = 'transactional'")
    profile = Profile(quiet_hours_rules="federal") if exempt == "the federal rules" else DEFAULT
    assert run(queue, sender, profile) == ["Sent"] * 5


# At once


def test_of_eight_texts_to_a_number_in_one_run_three_go_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Ten threads send; the neighbor's eight to the same number are another three."""
    neighbor = Business(business.connection, stack.now).open()
    for each in (business, neighbor):
        people = [each.customer(phone=FLORIDA) for _ in range(2)]
        for number in range(8):
            text_to(each, people[number % 2])
    assert sorted(run(queue, sender)) == ["Deferred"] * 10 + ["Sent"] * 6
    assert len(stack.twilio.ledger.entries(FLORIDA)) == 6
    (said,) = business.connection.execute(
        "select array_agg(distinct why) as why from sms_retry_queue where status = 'pending'"
    ).fetchall()
    assert said == {"why": [WHY]}


def test_of_sends_begun_at_the_same_moment_one_gets_the_last_place(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Six threads at a barrier, ten times, each time with a new number that has had two texts."""
    for turn in range(10):
        people = [business.customer(phone=f"+1305555{turn:04}") for _ in range(2)]
        for person in people:
            app_sent(business, person, at=stack.now())
        for number in range(6):
            text_to(business, people[number % 2])
        claims, together = claim_due(queue, 6), Barrier(6)

        def at_once(claim: Claim, together: Barrier = together) -> str:
            together.wait()
            return begin(queue, claim, cap=3).answer

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(at_once, claims))
        assert sorted(answers) == ["capped"] * 5 + ["go"]


@pytest.mark.parametrize("first_cap", [3, None], ids=["both capped", "the first without a cap"])
@pytest.mark.parametrize(("first", "second"), [("commits", "capped"), ("rolls back", "go")])
def test_a_begin_waits_for_another_ones_end_before_it_counts(
    stack: Stack, business: Business, queue: SupabaseQueue, first: str, second: str, first_cap: int | None
) -> None:
    """Two customers, one number, one place left: the first transaction is held open, and the second does not answer."""
    rows = [text_to(business, business.customer(phone=FLORIDA)) for _ in range(2)]
    for _ in range(2):
        app_sent(business, business.row(rows[0])["customer_id"], at=stack.now())
    claims = {claim.id: claim for claim in claim_due(queue, 2)}
    with ThreadPoolExecutor(1) as pool:
        with business.connection.transaction(force_rollback=first == "rolls back"):
            answer = business.connection.execute(
                "select answer from begin_sms_attempt(%s, %s, %s, %s, 'test', cap => %s, cap_since => %s)",
                [
                    rows[0], claims[rows[0]].claim_no, uuid4(), stack.now() + timedelta(hours=1),
                    first_cap, stack.now() - DAY if first_cap else None,
                ],
            ).fetchone()  # fmt: skip
            assert answer == {"answer": "go"}
            waiting = pool.submit(begin, queue, claims[rows[1]], cap=3)
            with pytest.raises(StillWaiting):
                waiting.result(timeout=0.3)
        assert waiting.result().answer == second


def test_a_begin_waits_for_no_other_number(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Nor for another business's texts to the same one."""
    neighbor = Business(business.connection, stack.now).open()
    rows = [
        text_to(business, business.customer(phone=FLORIDA)),
        text_to(business, business.customer(phone="+13055550188")),
        text_to(neighbor, neighbor.customer(phone=FLORIDA)),
    ]
    claims = {claim.id: claim for claim in claim_due(queue, 3)}
    with ThreadPoolExecutor(1) as pool, business.connection.transaction():
        business.connection.execute(
            "select * from begin_sms_attempt(%s, %s, %s, %s, 'test', cap => 3, cap_since => %s)",
            [rows[0], claims[rows[0]].claim_no, uuid4(), stack.now() + timedelta(hours=1), stack.now() - DAY],
        )
        for row in rows[1:]:
            assert pool.submit(begin, queue, claims[row], cap=3).result(timeout=120).answer == "go"


def test_the_same_begin_repeated_is_not_capped_by_itself(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """The answer was lost on its way: the last place is already its own."""
    customer = business.customer(phone=FLORIDA)
    for _ in range(2):
        app_sent(business, customer, at=stack.now())
    row = text_to(business, customer)
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    stack.rpc_faults.drop_after_commit("begin_sms_attempt")
    assert [begin(queue, claim, attempt, cap=3).answer for _ in range(2)] == ["go", "go"]
    assert len(business.attempts_of(row)) == 1
