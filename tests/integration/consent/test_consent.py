"""Consent is read as a send begins and kept with it; Twilio's 21610, or a person's word, ends it.

What else Twilio says of a number is kept with the customer. What it says of our account is not.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import ValidationError

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.data import table
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import DropUnaccepted, JsonError
from smsretry.retry.models import Claim
from tests.conftest import Business
from tests.integration.hearing import another, customer_of
from tests.support.builders import BODY, PHONE, begin, finish, give_up, refused, results_of, run, run_over
from tests.support.claims import claim_due
from tests.support.orders import record_consent

OTHER_PHONE: Final = "+12125550188"
LATER: Final = timedelta(hours=1)
UNSUBSCRIBED: Final = JsonError(21610, http_status=400, message=f"Attempt to send to unsubscribed recipient: {PHONE}")
OPTED_OUT: Final = ("cancelled", "Customer opted out")
NUMBER_CODES: Final = [(int(row["code"]), row["phone_status"]) for row in table("twilio_errors") if row["phone_status"]]


def unsubscribed(queue: SupabaseQueue, claim: Claim, attempt: UUID) -> None:
    """Twilio refused it for good, because the recipient is unsubscribed."""
    finish(queue, claim, attempt, refused(21610), give_up("Twilio 21610", 21610, opted_out=True))


def waiting(business: Business, customer: UUID, *, due: timedelta = LATER) -> UUID:
    """One more text to this customer; returns its row's id."""
    return business.queue_row(business.send_log(customer), customer, due=due)


def consent(business: Business, customer: UUID) -> tuple[Any, Any]:
    """The customer's consent, and where it is known from."""
    found = customer_of(business, customer)
    return found["sms_consent_status"], found["sms_consent_source"]


def ending(business: Business, row: UUID) -> tuple[str, str | None]:
    """How a row ended, and why; its send log says the same."""
    found = business.row(row)
    if found["status"] == "cancelled":
        assert business.log_of(row)["error_message"] == found["last_error"]
    return found["status"], found["last_error"]


@pytest.fixture
def neighbor(business: Business) -> Business:
    """Another business, of another user."""
    return another(business)


# Read as the send begins, and kept


def test_an_attempt_keeps_the_consent_it_was_begun_under_and_where_that_is_known_from(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """As it was when the send began: not when the row was claimed, and not as it became afterwards."""
    row = business.due_text(consent="unknown")
    (claim,) = claim_due(queue, 1)
    given = stack.now() - timedelta(days=30)
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s, sms_consent_source = 'web form 7'",
        [given],
    )
    assert begin(queue, claim).answer == "go"
    record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=business.id)
    (attempt,) = business.attempts_of(row)
    kept = attempt["consent_status"], attempt["consent_at"], attempt["consent_source"]
    assert kept == ("opted_in", given, "web form 7")


def test_an_opt_out_that_is_being_written_is_waited_for(business: Business, queue: SupabaseQueue) -> None:
    """None slips between the question and the answer: here the opt-out was first by a moment."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    with ThreadPoolExecutor(1) as pool:
        with business.connection.transaction():
            business.connection.execute("update customers set sms_consent_status = 'opted_out'")
            begun = pool.submit(begin, queue, claim)
            with pytest.raises(StillWaiting):
                begun.result(timeout=0.3)
        assert (begun.result().answer, begun.result().why) == ("ended", "Customer opted out")
    assert ending(business, row) == OPTED_OUT
    assert business.attempts_of(row) == []


def test_an_opt_out_waits_for_no_send_that_is_being_begun_and_holds_for_the_next(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """Here the send was first: it is on record as begun. The customer's row is marked when it is said again."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    with business.connection.transaction():
        business.connection.execute(
            "select * from begin_sms_attempt(%s, %s, %s, %s, 'test')",
            [row, claim.claim_no, uuid4(), stack.now() + LATER],
        )
        said = record_consent(operators, PHONE, consent="opted_out", source="letter", business_id=None)
        assert (said.customers, said.cancelled, said.unmarked) == (0, 0, 1)
    assert business.row(row)["begun_at"] is not None
    assert [attempt["consent_status"] for attempt in business.attempts_of(row)] == ["opted_in"]
    customer = business.row(row)["customer_id"]
    waiting(business, customer, due=timedelta(0))
    assert run(queue, sender) == ["Cancelled"]
    assert record_consent(operators, PHONE, consent="opted_out", source="letter", business_id=None).unmarked == 0
    assert consent(business, customer) == ("opted_out", "letter")


# Twilio's 21610


def test_twilios_21610_ends_its_text_and_the_number_s_consent_at_that_business(
    stack: Stack, business: Business, neighbor: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Of everybody there who has the number, and what waits for them; nobody else's, and Twilio is not asked again."""
    family, someone = business.customer(consent="unknown"), business.customer(phone=OTHER_PHONE)
    row = business.due_text()
    customer = business.row(row)["customer_id"]
    waits = [waiting(business, customer), waiting(business, family), waiting(business, family)]
    stays, theirs = waiting(business, someone), waiting(neighbor, neighbor.customer())
    stack.twilio.fail(UNSUBSCRIBED)
    before = stack.now()
    assert run(queue, sender) == ["Failed"]
    assert consent(business, customer) == consent(business, family) == ("opted_out", "twilio_21610")
    assert before <= customer_of(business, customer)["sms_consent_at"] <= stack.now()
    assert consent(business, someone) == consent(neighbor, neighbor.row(theirs)["customer_id"]) == ("opted_in", None)

    why = "Twilio 21610: Attempt to send to unsubscribed recipient"
    ended, log, (attempt,) = business.row(row), business.log_of(row), business.attempts_of(row)
    assert (ended["status"], ended["error_code"], ended["last_error"]) == ("failed", 21610, why)
    assert (log["status"], log["error_message"]) == ("failed", why)
    assert (attempt["outcome"], attempt["error_code"], attempt["consent_status"]) == ("rejected", 21610, "opted_in")

    assert [ending(business, other) for other in waits] == [OPTED_OUT] * 3
    posts = stack.twilio.posts
    stack.move_clock(2 * LATER)
    assert run(queue, sender) == ["Sent", "Sent"]
    assert (business.row(stays)["status"], neighbor.row(theirs)["status"]) == ("completed", "completed")
    assert stack.twilio.posts == posts + 2


@pytest.mark.parametrize("how", ["21610", "telephone"])
def test_a_text_that_was_claimed_before_the_opt_out_came_is_refused_as_it_begins(
    business: Business, queue: SupabaseQueue, operators: SupabaseOperators, how: str
) -> None:
    """It is no longer pending, so nobody cancels it under its worker's hands."""
    business.due_text()
    business.due_text()
    first, second = claim_due(queue, 2)
    if how == "21610":
        attempt = uuid4()
        begin(queue, first, attempt)
        unsubscribed(queue, first, attempt)
    else:
        said = record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=None)
        assert said.cancelled == 0
    assert business.row(second.id)["status"] == "processing"
    answer = begin(queue, second)
    assert (answer.answer, answer.why) == ("ended", "Customer opted out")
    assert ending(business, second.id) == OPTED_OUT
    assert business.attempts_of(second.id) == []


def test_21610_concerns_the_number_that_was_texted_not_the_one_the_customer_has_since(
    business: Business, queue: SupabaseQueue
) -> None:
    """The customer said stop, and whoever has the old number; who has the new one said nothing."""
    row = business.due_text()
    customer, old = business.row(row)["customer_id"], business.customer()
    new = business.customer(phone=OTHER_PHONE)
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    business.connection.execute("update customers set phone = %s where id = %s", [OTHER_PHONE, customer])
    unsubscribed(queue, claim, attempt)
    assert [consent(business, who)[0] for who in (customer, old, new)] == ["opted_out", "opted_out", "opted_in"]


@pytest.mark.parametrize("word", ["opted_in", "opted_out"])
def test_21610_takes_back_nothing_that_was_said_before_it_was_recorded(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, word: Any
) -> None:
    """Its answer was lost, and an opt-in came before it was given again; or somebody had said stop by telephone."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    if word == "opted_in":
        unsubscribed(queue, claim, attempt)
    record_consent(operators, PHONE, consent=word, source="telephone", business_id=business.id)
    first = customer_of(business, business.row(row)["customer_id"])
    stack.move_clock(timedelta(minutes=1))
    unsubscribed(queue, claim, attempt)
    assert customer_of(business, first["id"]) == first
    assert len(business.attempts_of(row)) == 1


# What Twilio says of a number, and of us


def test_a_number_that_takes_no_texts_is_marked_at_the_business(
    stack: Stack, business: Business, neighbor: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """By each code that says so, at everybody who has it. Nobody's consent is touched, and no other business."""
    someone, theirs, rows = business.customer(), list[UUID](), dict[UUID, tuple[UUID, int, str]]()
    for code, status in NUMBER_CODES:
        phone = f"+121255{code}"
        stack.twilio.fail(JsonError(code, http_status=400), to=phone)
        rows[business.due_text(phone=phone)] = (business.customer(phone=phone), code, status)
        theirs.append(neighbor.customer(phone=phone))
    assert run(queue, sender) == ["Failed"] * len(rows)
    for row, (family, code, status) in rows.items():
        ended = business.row(row)
        assert (ended["status"], ended["error_code"]) == ("failed", code)
        for customer in (ended["customer_id"], family):
            assert customer_of(business, customer)["phone_status"] == status
        assert consent(business, ended["customer_id"]) == ("opted_in", None)
    assert {customer_of(business, one)["phone_status"] for one in (someone, *theirs)} == {None}


@pytest.mark.parametrize(
    ("code", "http_status"),
    [(21612, 400), (21408, 400), (21606, 400), (20003, 401), (20429, 429), (99999, 400), (21610, 400)],
)
def test_what_twilio_says_of_our_account_or_text_touches_no_number_and_its_words_are_kept_nowhere(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, code: int, http_status: int
) -> None:
    """Sender, region, credentials, rate, and what nobody knows. Its words may quote number and body."""
    row = business.due_text()
    customer = customer_of(business, business.row(row)["customer_id"])
    other = waiting(business, customer["id"])
    stack.twilio.fail(JsonError(code, http_status=http_status, message=f"To {PHONE}: {BODY}"))
    (item,) = results_of(run_over(queue, sender), limit=1)
    assert business.row(row)["error_code"] == code
    if code != 21610:
        assert customer_of(business, customer["id"]) == customer
        assert business.row(other)["status"] == "pending"
    kept = business.connection.execute(
        """select to_jsonb(q)::text as said from sms_retry_queue q
           union all select to_jsonb(a)::text from sms_send_attempts a
           union all select error_message from send_logs where error_message is not null"""
    ).fetchall()
    for said in [str(item.detail), *(each["said"] for each in kept)]:
        assert PHONE[2:] not in said
        assert "Maple Street" not in said


# The columns of the customers are the application's


@contextmanager
def app_rule(connection: psycopg.Connection[dict[str, Any]], rule: str) -> Iterator[None]:
    """The application's own rule on customers: a check, or what a trigger does on each update."""
    if rule.startswith("check"):
        connection.execute(f"alter table customers add constraint app_rule {rule} not valid".encode())
    else:
        connection.execute(
            f"""create function app_rule() returns trigger language plpgsql as $$
                begin {rule}; return new; end $$;
                create trigger app_rule before update on customers for each row execute function app_rule()""".encode()
        )
    try:
        yield
    finally:
        connection.execute("alter table customers drop constraint if exists app_rule")
        connection.execute("drop function if exists app_rule cascade")


SOURCES: Final = "check (sms_consent_source in ('web', 'paper'))"
PHONE_STATUSES: Final = "check (phone_status in ('valid', 'unverified'))"
TRIGGER: Final = "raise exception 'Customer % may not be changed', new.phone"


@pytest.mark.parametrize(("rule", "code"), [(SOURCES, 21610), (TRIGGER, 21610), (PHONE_STATUSES, 21211)])
def test_a_mark_that_the_application_refuses_keeps_neither_the_text_from_ending_nor_the_opt_out_from_holding(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, rule: str, code: int
) -> None:
    """Row, send log and attempt have the outcome. The database's log names the business, and quotes nobody."""
    row = business.due_text()
    customer = customer_of(business, business.row(row)["customer_id"])
    waits = waiting(business, customer["id"])
    stack.twilio.fail(JsonError(code, http_status=400), times=None)
    with app_rule(business.connection, rule):
        assert run(queue, sender) == ["Failed"]
    ended, (attempt,) = business.row(row), business.attempts_of(row)
    assert (ended["status"], ended["error_code"]) == ("failed", code)
    assert ended["begun_at"] is ended["attempt_id"] is ended["in_doubt_since"] is None
    assert (attempt["outcome"], attempt["error_code"]) == ("rejected", code)
    assert business.log_of(row)["error_message"] == ended["last_error"]
    assert customer_of(business, customer["id"]) == customer
    if code == 21610:
        assert ending(business, waits) == OPTED_OUT
        posts = stack.twilio.posts
        later = waiting(business, customer["id"], due=timedelta(0))
        assert run(queue, sender) == ["Cancelled"]
        assert "the number did, at this business" in business.row(later)["last_error"]
        assert stack.twilio.posts == posts


@pytest.mark.parametrize("rule", [SOURCES, TRIGGER])
def test_the_warning_about_a_refused_mark_names_the_business_and_quotes_nobody(
    stack: Stack, business: Business, rule: str
) -> None:
    """It is in the database's log: the application's own words may hold a number."""
    business.customer()
    said: list[str] = []
    with stack.connect() as connection, app_rule(business.connection, rule):
        connection.add_notice_handler(
            lambda note: said.append(f"{note.message_primary} {note.message_detail} {note.context}")
        )
        connection.execute("select record_sms_consent(%s, 'opted_out', 'letter')", [PHONE])
    (warning,) = said
    assert f"Customers of business {business.id} could not be marked as opted out yet" in warning
    assert PHONE[2:] not in warning


# A person's word


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_spoken_opt_out_ends_the_consent_at_one_business_or_at_all_and_cancels_what_waits(
    stack: Stack, business: Business, neighbor: Business, queue: SupabaseQueue, operators: SupabaseOperators,
    sender: TwilioSender, *, everywhere: bool,
) -> None:  # fmt: skip
    """Of everybody there who has the number; the answer counts them and their texts. The first record stays."""
    customer, family = business.customer(), business.customer(consent="unknown")
    rows = [waiting(business, customer), waiting(business, family), waiting(business, family)]
    theirs = waiting(neighbor, neighbor.customer())
    at = None if everywhere else business.id
    said = record_consent(operators, PHONE, consent="opted_out", source="telephone, Ms Lee", business_id=at)
    assert (said.customers, said.cancelled) == ((3, 4) if everywhere else (2, 3))
    first = customer_of(business, customer)
    assert consent(business, customer) == consent(business, family) == ("opted_out", "telephone, Ms Lee")
    assert first["sms_consent_at"] is not None
    rows.append(waiting(business, customer))
    stack.move_clock(timedelta(minutes=1))
    again = record_consent(operators, PHONE, consent="opted_out", source="letter", business_id=business.id)
    assert (again.customers, again.cancelled) == (2, 1)
    assert customer_of(business, customer) == first
    assert [ending(business, row) for row in rows] == [OPTED_OUT] * 4
    stack.move_clock(2 * LATER)
    assert run(queue, sender) == ([] if everywhere else ["Sent"])
    assert neighbor.row(theirs)["status"] == ("cancelled" if everywhere else "completed")


def test_an_opt_in_is_given_to_one_business_and_texts_go_out_under_it(
    business: Business, neighbor: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """The neighbor has none by it, and what an earlier opt-out cancelled stays cancelled."""
    customer, theirs = business.customer(), neighbor.customer(consent="opted_out")
    before = waiting(business, customer)
    record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=business.id)
    said = record_consent(operators, PHONE, consent="opted_in", source="paper form", business_id=business.id)
    assert (said.customers, said.cancelled) == (1, 0)
    assert consent(business, customer) == ("opted_in", "paper form")
    assert consent(neighbor, theirs) == ("opted_out", None)
    row = waiting(business, customer, due=timedelta(0))
    assert run(queue, sender) == ["Sent"]
    (attempt,) = business.attempts_of(row)
    assert (attempt["consent_status"], attempt["consent_source"]) == ("opted_in", "paper form")
    assert attempt["consent_at"] == customer_of(business, customer)["sms_consent_at"]
    assert business.row(before)["status"] == "cancelled"


NO_WORD: Final[list[tuple[Any, Any, Any]]] = [
    ("212-555-0123", "opted_out", "letter"),
    ("12125550123", "opted_out", "letter"),
    ("+1 212 555 0123", "opted_out", "letter"),
    (PHONE + "\n", "opted_out", "letter"),
    ("", "opted_out", "letter"),
    (None, "opted_out", "letter"),
    (PHONE, "opted_out", ""),
    (PHONE, "opted_out", None),
    (PHONE, "unknown", "letter"),
    (PHONE, None, "letter"),
]


def test_a_word_that_leaves_something_open_is_refused(business: Business, operators: SupabaseOperators) -> None:
    """With what is needed, quoting nothing; and nobody's consent is changed."""
    customer = business.customer()
    for phone, word, source in NO_WORD:
        with pytest.raises(psycopg.Error, match=r"^phone must be E\.164, consent opted_in, opted_out or") as raised:
            business.connection.execute(
                "select record_sms_consent(phone => %s, consent => %s, source => %s, business_id => %s)",
                [phone, word, source, business.id],
            )
        assert "555" not in str(raised.value)
    with pytest.raises(ValidationError, match="opted_in needs business_id: a yes is given to one business"):
        record_consent(operators, PHONE, consent="opted_in", source="paper form", business_id=None)
    with pytest.raises(InputError, match=r"^No business has this id"):
        record_consent(operators, PHONE, consent="opted_out", source="letter", business_id=uuid4())
    with pytest.raises(InputError, match=r"^No customer has this number") as unknown:
        record_consent(operators, "+12125550000", consent="opted_in", source="letter", business_id=business.id)
    assert "555" not in str(unknown.value)
    assert consent(business, customer) == ("opted_in", None)


@pytest.mark.parametrize("whose", ["an unknown number", "the neighbor's customer"])
def test_an_opt_out_counts_for_a_number_that_no_customer_has_yet(
    business: Business, neighbor: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender,
    whose: str,
) -> None:  # fmt: skip
    """It says that nobody has it, so that a typing error is seen. Who gets the number later is not texted."""
    neighbor.customer(phone=OTHER_PHONE)
    phone, at = ("+12125550000", None) if whose == "an unknown number" else (OTHER_PHONE, business.id)
    said = record_consent(operators, phone, consent="opted_out", source="letter", business_id=at)
    assert (said.customers, said.cancelled, said.unmarked) == (0, 0, 0)
    ours, theirs = business.due_text(phone=phone), neighbor.due_text(phone=phone)
    run(queue, sender)
    assert business.row(ours)["status"] == "cancelled"
    assert neighbor.row(theirs)["status"] == ("cancelled" if at is None else "completed")


def test_a_text_in_doubt_is_not_cancelled_by_an_opt_out_and_never_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """Evidence of it is still looked for; when there is none, its next begin refuses it."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    said = record_consent(operators, PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.cancelled) == (1, 0)
    assert business.row(row)["in_doubt_since"] is not None
    fates = []
    for minutes in (1, 5, 15, 0):
        stack.move_clock(timedelta(minutes=minutes, seconds=1))
        fates += run(queue, sender)
    assert fates == ["InDoubt", "InDoubt", "RetryScheduled", "Cancelled"]
    assert ending(business, row) == OPTED_OUT
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["not_sent"]
    assert not stack.twilio.ledger.entries()


def test_two_opt_outs_of_the_same_people_at_once_both_end(
    business: Business, neighbor: Business, operators: SupabaseOperators
) -> None:
    """They wait for one another and do not deadlock; each text is cancelled once."""
    rows = [waiting(each, each.customer()) for each in (business, neighbor) for _ in range(4)]
    with ThreadPoolExecutor(6) as pool:
        said = list(
            pool.map(
                lambda at: record_consent(operators, PHONE, consent="opted_out", source="letter", business_id=at),
                [None, business.id, neighbor.id] * 2,
            )
        )
    assert sum(each.cancelled for each in said) == len(rows)
    assert {business.row(row)["status"] for row in rows} == {"cancelled"}
