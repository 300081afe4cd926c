"""Consent is read as a send begins and kept with it; Twilio's 21610, or a person's word, ends it.

What else Twilio says of a number is kept with the customer. What it says of our account is not.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast
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
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, JsonError
from smsretry.retry.models import Claim
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, begin, finish, give_up, refused, results_of, run, run_over
from tests.support.claims import claim_due

OTHER_PHONE = "+12125550188"
LATER = timedelta(hours=1)
UNSUBSCRIBED = JsonError(21610, http_status=400, message=f"Attempt to send to unsubscribed recipient: {PHONE}")
NUMBER_CODES = [(int(row["code"]), row["phone_status"]) for row in table("twilio_errors") if row["phone_status"]]


def unsubscribed(queue: SupabaseQueue, claim: Claim, attempt: UUID) -> None:
    """Twilio refused it for good, because the recipient is unsubscribed."""
    finish(queue, claim, attempt, refused(21610), give_up("Twilio 21610", 21610, opted_out=True))


def waiting(business: Business, customer: UUID, *, due: timedelta = LATER) -> UUID:
    """One more text to this customer; returns its row's id."""
    return business.queue_row(business.send_log(customer), customer, due=due)


def consent(business: Business, customer: UUID) -> tuple[Any, Any]:
    """The customer's consent, and where it is known from."""
    found = _customer(business, customer)
    return found["sms_consent_status"], found["sms_consent_source"]


def phone_status(business: Business, customer: UUID) -> Any:
    """What is known of the customer's number."""
    return _customer(business, customer)["phone_status"]


def _customer(business: Business, customer: UUID) -> dict[str, Any]:
    found = business.connection.execute("select * from customers where id = %s", [customer]).fetchone()
    assert found is not None
    return found


def ending(business: Business, row: UUID) -> tuple[str, str | None]:
    """How a row ended, and why."""
    found = business.row(row)
    return found["status"], found["last_error"]


@pytest.fixture
def neighbor(stack: Stack, business: Business) -> Business:
    """Another business, of another user."""
    return Business(business.connection, stack.now).open()


# Read as the send begins, and kept


def test_an_attempt_keeps_the_consent_it_was_begun_under_and_where_that_is_known_from(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """As it was when the send began: not when the row was claimed, and not as it became afterwards."""
    customer = business.customer(consent="unknown")
    row = waiting(business, customer, due=timedelta(0))
    (claim,) = claim_due(queue, 1)
    given = stack.now() - timedelta(days=30)
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = %s, sms_consent_source = 'web form 7'
           where id = %s""",
        [given, customer],
    )
    assert begin(queue, claim).answer == "go"
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    (attempt,) = business.attempts_of(row)
    kept = attempt["consent_status"], attempt["consent_at"], attempt["consent_source"]
    assert kept == ("opted_in", given, "web form 7")


def test_an_opt_out_that_is_being_written_is_waited_for(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
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
    assert ending(business, row) == ("cancelled", "Customer opted out")
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
        said = operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=None)
        assert (said.customers, said.cancelled, said.unmarked) == (0, 0, 1)
    assert business.row(row)["begun_at"] is not None
    assert [attempt["consent_status"] for attempt in business.attempts_of(row)] == ["opted_in"]
    customer = business.row(row)["customer_id"]
    business.queue_row(business.send_log(customer), customer)
    assert run(queue, sender) == ["Cancelled"]
    assert operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=None).unmarked == 0
    assert consent(business, customer) == ("opted_out", "letter")


# Twilio's 21610


def test_twilios_21610_opts_out_everybody_at_the_business_who_has_the_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """With the time and the source; whoever has another number stays."""
    family = business.customer(consent="unknown")
    someone = business.customer(phone=OTHER_PHONE)
    row = business.due_text()
    stack.twilio.fail(UNSUBSCRIBED)
    before = stack.now()
    assert run(queue, sender) == ["Failed"]
    customer = business.row(row)["customer_id"]
    assert consent(business, customer) == consent(business, family) == ("opted_out", "twilio_21610")
    assert before <= _customer(business, customer)["sms_consent_at"] <= stack.now()
    assert consent(business, someone) == ("opted_in", None)


def test_twilios_21610_fails_its_row_and_says_so(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Row, send log and attempt carry Twilio's code; the attempt keeps the consent it was begun under."""
    row = business.due_text()
    stack.twilio.fail(UNSUBSCRIBED)
    run(queue, sender)
    why = "Twilio 21610: Attempt to send to unsubscribed recipient"
    ended, log, (attempt,) = business.row(row), business.log_of(row), business.attempts_of(row)
    assert (ended["status"], ended["error_code"], ended["last_error"]) == ("failed", 21610, why)
    assert (log["status"], log["error_message"]) == ("failed", why)
    assert (attempt["outcome"], attempt["error_code"], attempt["consent_status"]) == ("rejected", 21610, "opted_in")


def test_after_21610_nothing_waits_for_that_number_any_more(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Row and send log say why, and nothing more is asked of Twilio."""
    family = business.customer()
    row = business.due_text()
    rows = [waiting(business, business.row(row)["customer_id"]), waiting(business, family), waiting(business, family)]
    stays = waiting(business, business.customer(phone=OTHER_PHONE))
    stack.twilio.fail(UNSUBSCRIBED)
    run(queue, sender)
    posts = stack.twilio.posts
    for other in rows:
        assert ending(business, other) == ("cancelled", "Customer opted out")
        assert (business.log_of(other)["status"], business.log_of(other)["error_message"]) == (
            "failed", "Customer opted out"
        )  # fmt: skip
    assert business.row(stays)["status"] == "pending"
    stack.move_clock(timedelta(hours=2))
    assert run(queue, sender) == ["Sent"]
    assert stack.twilio.posts == posts + 1
    assert [text.to for text in stack.twilio.ledger.entries()] == [OTHER_PHONE]


def test_21610_concerns_no_other_business(
    stack: Stack, business: Business, neighbor: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The same number at the neighbor's keeps its consent, and its text goes out."""
    theirs = waiting(neighbor, neighbor.customer())
    business.due_text()
    stack.twilio.fail(UNSUBSCRIBED)
    run(queue, sender)
    assert consent(neighbor, neighbor.row(theirs)["customer_id"]) == ("opted_in", None)
    stack.move_clock(timedelta(hours=2))
    assert run(queue, sender) == ["Sent"]
    assert neighbor.row(theirs)["status"] == "completed"


def test_21610_leaves_a_text_in_doubt_to_its_evidence(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It may have been read: cancelled would be a lie, and here Twilio's list has it."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    business.due_text()
    stack.twilio.fail(UNSUBSCRIBED)
    assert run(queue, sender) == ["Failed"]
    doubtful = business.row(row)
    assert consent(business, doubtful["customer_id"]) == ("opted_out", "twilio_21610")
    assert (doubtful["status"], doubtful["in_doubt_since"] is None) == ("pending", False)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Sent"]
    assert business.log_of(row)["status"] == "sent"
    assert len(stack.twilio.ledger.entries()) == 1


def test_a_text_that_was_claimed_before_21610_came_is_refused_as_it_begins(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """It is no longer pending, so nobody cancels it under its worker's hands."""
    rows = [business.due_text(), business.due_text()]
    first, second = claim_due(queue, 2)
    attempt = uuid4()
    begin(queue, first, attempt)
    unsubscribed(queue, first, attempt)
    assert business.row(second.id)["status"] == "processing"
    answer = begin(queue, second)
    assert (answer.answer, answer.why) == ("ended", "Customer opted out")
    assert {business.row(row)["status"] for row in rows} == {"failed", "cancelled"}
    assert business.attempts_of(second.id) == []


def test_21610_concerns_the_number_that_was_texted_not_the_one_the_customer_has_since(
    stack: Stack, business: Business, queue: SupabaseQueue
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


def test_21610_whose_record_is_asked_for_twice_is_recorded_once(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """The answer was lost on its way: an opt-in that came in between is not taken back."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    unsubscribed(queue, claim, attempt)
    operators.record_consent(PHONE, consent="opted_in", source="START", business_id=business.id)
    unsubscribed(queue, claim, attempt)
    assert consent(business, business.row(row)["customer_id"]) == ("opted_in", "START")
    assert len(business.attempts_of(row)) == 1


def test_21610_from_a_worker_that_lost_its_claim_ends_nobodys_consent(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """It changes nothing, as ever."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    unsubscribed(queue, claim, attempt)
    assert consent(business, business.row(row)["customer_id"]) == ("opted_in", None)
    assert business.row(row)["in_doubt_since"] is not None


def test_21610_after_a_spoken_opt_out_keeps_the_spoken_ones_record(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """Who said it first, and when, is the record."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    first = _customer(business, business.row(row)["customer_id"])
    stack.move_clock(timedelta(minutes=1))
    unsubscribed(queue, claim, attempt)
    assert _customer(business, first["id"]) == first


# What Twilio says of a number, and of us


def test_a_number_that_takes_no_texts_is_marked(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """By each code that says so, at everybody of the business who has it. Nobody's consent is touched."""
    someone, rows = business.customer(), {}
    for code, status in NUMBER_CODES:
        phone = f"+121255{code}"
        stack.twilio.fail(JsonError(code, http_status=400), to=phone)
        rows[business.due_text(phone=phone)] = (business.customer(phone=phone), code, status)
    assert run(queue, sender) == ["Failed"] * len(rows)
    for row, (family, code, status) in rows.items():
        ended = business.row(row)
        assert (ended["status"], ended["error_code"]) == ("failed", code)
        assert phone_status(business, ended["customer_id"]) == phone_status(business, family) == status
        assert consent(business, ended["customer_id"]) == ("opted_in", None)
    assert phone_status(business, someone) is None


def test_a_number_that_takes_no_texts_is_not_marked_at_another_business(
    stack: Stack, business: Business, neighbor: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its customers are its own."""
    theirs = neighbor.customer()
    business.due_text()
    stack.twilio.fail(JsonError(21614, http_status=400))
    run(queue, sender)
    assert phone_status(neighbor, theirs) is None


@pytest.mark.parametrize(
    ("code", "http_status"),
    [(21612, 400), (21408, 400), (21606, 400), (20003, 401), (20429, 429), (99999, 400)],
)
def test_what_twilio_says_of_our_account_or_text_touches_no_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, code: int, http_status: int
) -> None:
    """Sender, region, credentials, body, rate, and what nobody knows: the number is as good as it was."""
    row = business.due_text()
    customer = _customer(business, business.row(row)["customer_id"])
    other = waiting(business, customer["id"])
    stack.twilio.fail(JsonError(code, http_status=http_status, message=f"The 'To' phone number: {PHONE}"))
    run(queue, sender)
    assert business.row(row)["error_code"] == code
    assert _customer(business, customer["id"]) == customer
    assert business.row(other)["status"] == "pending"


# The columns of the customers are the application's


@contextmanager
def app_rule(connection: psycopg.Connection[dict[str, Any]], rule: str) -> Iterator[None]:
    """The application's own rule on customers: a check, or what a trigger does on each update."""
    if rule.startswith("check"):
        connection.execute(f"alter table customers add constraint app_rule {rule} not valid".encode())
    else:
        connection.execute(
            f"""create function app_rule() returns trigger language plpgsql as $$
                begin {rule}; return new; end $$""".encode()
        )
        connection.execute(
            "create trigger app_rule before update on customers for each row execute function app_rule()"
        )
    try:
        yield
    finally:
        connection.execute("alter table customers drop constraint if exists app_rule")
        connection.execute("drop function if exists app_rule cascade")


SOURCES = "check (sms_consent_source in ('web', 'paper'))"
PHONE_STATUSES = "check (phone_status in ('valid', 'unverified'))"
TRIGGER = "raise exception 'Customer % may not be changed', new.phone"
REFUSALS = [(SOURCES, 21610), (TRIGGER, 21610), (PHONE_STATUSES, 21211), (TRIGGER, 21614)]


@pytest.mark.parametrize(("rule", "code"), REFUSALS)
def test_a_mark_that_the_application_refuses_does_not_keep_the_text_from_ending(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, rule: str, code: int
) -> None:
    """The outcome counts: row, send log and attempt have it, and nothing is stuck or in doubt."""
    row = business.due_text()
    customer = _customer(business, business.row(row)["customer_id"])
    stack.twilio.fail(JsonError(code, http_status=400))
    with app_rule(business.connection, rule):
        assert run(queue, sender) == ["Failed"]
    ended, (attempt,) = business.row(row), business.attempts_of(row)
    assert (ended["status"], ended["error_code"]) == ("failed", code)
    assert ended["begun_at"] is ended["attempt_id"] is ended["in_doubt_since"] is None
    assert (attempt["outcome"], attempt["error_code"]) == ("rejected", code)
    assert business.log_of(row)["error_message"] == ended["last_error"]
    assert _customer(business, customer["id"]) == customer


def test_an_opt_out_that_the_application_refuses_to_write_holds_all_the_same(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """What waits is cancelled, and what comes is refused as it begins: Twilio is not asked again."""
    row = business.due_text()
    customer = business.row(row)["customer_id"]
    waits = waiting(business, customer)
    stack.twilio.fail(UNSUBSCRIBED, times=None)
    with app_rule(business.connection, SOURCES):
        run(queue, sender)
    assert ending(business, waits) == ("cancelled", "Customer opted out")
    assert consent(business, customer) == ("opted_in", None)
    posts = stack.twilio.posts
    later = waiting(business, customer, due=timedelta(0))
    assert run(queue, sender) == ["Cancelled"]
    assert "the number did, at this business" in business.row(later)["last_error"]
    assert stack.twilio.posts == posts


@pytest.mark.parametrize("rule", [SOURCES, TRIGGER])
def test_the_warning_about_a_refused_mark_names_the_business_and_quotes_nobody(
    stack: Stack, business: Business, queue: SupabaseQueue, rule: str
) -> None:
    """It is in the database's log: the application's own words may hold a number."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    said: list[str] = []
    with stack.connect() as connection, app_rule(business.connection, rule):
        connection.add_notice_handler(
            lambda note: said.append(f"{note.message_primary} {note.message_detail} {note.context}")
        )
        connection.execute(
            """select * from finish_sms_attempt(%s, %s, %s, 'rejected', 'failed', 'Twilio 21610', 21610,
                                                phone => %s, opted_out => true)""",
            [row, claim.claim_no, attempt, PHONE],
        )
    (warning,) = said
    assert f"Customers of business {business.id} could not be marked as opted out yet" in warning
    assert PHONE[2:] not in warning


# A person's word


def test_a_spoken_opt_out_ends_the_consent_at_that_business_and_cancels_what_waits(
    stack: Stack,
    business: Business,
    neighbor: Business,
    queue: SupabaseQueue,
    operators: SupabaseOperators,
    sender: TwilioSender,
) -> None:
    """Of everybody there who has the number; the answer counts them and their texts."""
    customer, family = business.customer(), business.customer(consent="unknown")
    rows = [waiting(business, customer), waiting(business, family), waiting(business, family)]
    theirs = waiting(neighbor, neighbor.customer())
    said = operators.record_consent(PHONE, consent="opted_out", source="telephone, Ms Lee", business_id=business.id)
    assert (said.customers, said.cancelled) == (2, 3)
    assert consent(business, customer) == consent(business, family) == ("opted_out", "telephone, Ms Lee")
    assert _customer(business, customer)["sms_consent_at"] is not None
    assert [ending(business, row) for row in rows] == [("cancelled", "Customer opted out")] * 3
    assert {business.log_of(row)["error_message"] for row in rows} == {"Customer opted out"}
    assert consent(neighbor, neighbor.row(theirs)["customer_id"]) == ("opted_in", None)
    stack.move_clock(2 * LATER)
    assert run(queue, sender) == ["Sent"]
    assert neighbor.row(theirs)["status"] == "completed"


def test_an_opt_out_that_names_no_business_is_from_all_of_them(
    business: Business, neighbor: Business, operators: SupabaseOperators
) -> None:
    """Whoever says stop need not know who asks."""
    rows = [waiting(each, each.customer()) for each in (business, neighbor)]
    said = operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=None)
    assert (said.customers, said.cancelled) == (2, 2)
    assert [ending(business, row)[0] for row in rows] == ["cancelled", "cancelled"]
    assert consent(neighbor, neighbor.row(rows[1])["customer_id"]) == ("opted_out", "letter")


def test_a_repeated_opt_out_keeps_the_first_ones_record(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """And still cancels what was queued since."""
    customer = business.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    first = _customer(business, customer)
    row = waiting(business, customer)
    stack.move_clock(timedelta(days=1))
    said = operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=None)
    assert (said.customers, said.cancelled) == (1, 1)
    assert _customer(business, customer) == first
    assert ending(business, row) == ("cancelled", "Customer opted out")


def test_an_opt_in_is_given_to_one_business_and_texts_go_out_under_it(
    stack: Stack,
    business: Business,
    neighbor: Business,
    queue: SupabaseQueue,
    operators: SupabaseOperators,
    sender: TwilioSender,
) -> None:
    """The neighbor has none by it, and what an earlier opt-out cancelled stays cancelled."""
    customer, theirs = business.customer(), neighbor.customer(consent="opted_out")
    before = waiting(business, customer)
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    said = operators.record_consent(PHONE, consent="opted_in", source="paper form", business_id=business.id)
    assert (said.customers, said.cancelled) == (1, 0)
    assert consent(business, customer) == ("opted_in", "paper form")
    assert consent(neighbor, theirs) == ("opted_out", None)
    row = waiting(business, customer, due=timedelta(0))
    assert run(queue, sender) == ["Sent"]
    (attempt,) = business.attempts_of(row)
    assert (attempt["consent_status"], attempt["consent_source"]) == ("opted_in", "paper form")
    assert attempt["consent_at"] == _customer(business, customer)["sms_consent_at"]
    assert business.row(before)["status"] == "cancelled"


def test_an_opt_in_without_a_business_is_refused(business: Business, operators: SupabaseOperators) -> None:
    """Nobody consents to be texted by everybody."""
    customer = business.customer(consent="unknown")
    with pytest.raises(ValidationError, match="opted_in needs business_id: a yes is given to one business"):
        operators.record_consent(PHONE, consent="opted_in", source="paper form", business_id=None)
    assert consent(business, customer) == ("unknown", None)


NO_WORD: list[tuple[Any, Any, Any]] = [
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


def test_what_is_no_number_or_no_word_or_has_no_source_is_refused(business: Business) -> None:
    """With what is needed, quoting nothing; and nobody's consent is changed."""
    customer = business.customer()
    for phone, word, source in NO_WORD:
        with pytest.raises(psycopg.Error, match=r"^phone must be E\.164, consent opted_in, opted_out or") as raised:
            business.connection.execute(
                "select record_sms_consent(phone => %s, consent => %s, source => %s, business_id => %s)",
                [phone, word, source, business.id],
            )
        assert "555" not in str(raised.value)
    assert consent(business, customer) == ("opted_in", None)


@pytest.mark.parametrize("whose", ["an unknown number", "the neighbor's customer"])
def test_an_opt_out_counts_for_a_number_that_no_customer_has_yet(
    business: Business, neighbor: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender,
    whose: str,
) -> None:  # fmt: skip
    """It says that nobody has it, so that a typing error is seen. Who gets the number later is not texted."""
    neighbor.customer(phone=OTHER_PHONE)
    phone, at = ("+12125550000", None) if whose == "an unknown number" else (OTHER_PHONE, business.id)
    said = operators.record_consent(phone, consent="opted_out", source="letter", business_id=at)
    assert (said.customers, said.cancelled, said.unmarked) == (0, 0, 0)
    ours, theirs = business.due_text(phone=phone), neighbor.due_text(phone=phone)
    run(queue, sender)
    assert business.row(ours)["status"] == "cancelled"
    assert neighbor.row(theirs)["status"] == ("cancelled" if at is None else "completed")


def test_the_word_to_a_business_that_is_not_there_is_refused(business: Business, operators: SupabaseOperators) -> None:
    """And so is consent of a number that no customer has."""
    business.customer()
    with pytest.raises(InputError, match=r"^No business has this id"):
        operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=uuid4())
    with pytest.raises(InputError, match=r"^No customer has this number") as raised:
        operators.record_consent("+12125550000", consent="opted_in", source="letter", business_id=business.id)
    assert "555" not in str(raised.value)


def test_a_text_in_doubt_is_not_cancelled_by_an_opt_out_and_never_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """Evidence of it is still looked for; when there is none, its next begin refuses it."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    said = operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None)
    assert (said.customers, said.cancelled) == (1, 0)
    assert business.row(row)["in_doubt_since"] is not None
    fates = []
    for minutes in (1, 5, 15, 0):
        stack.move_clock(timedelta(minutes=minutes, seconds=1))
        fates += run(queue, sender)
    assert fates == ["InDoubt", "InDoubt", "RetryScheduled", "Cancelled"]
    assert ending(business, row) == ("cancelled", "Customer opted out")
    assert [attempt["outcome"] for attempt in business.attempts_of(row)] == ["not_sent"]
    assert not stack.twilio.ledger.entries()


def test_a_text_that_was_claimed_before_a_spoken_opt_out_is_refused_as_it_begins(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """The opt-out does not count it, and it does not go out."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    assert operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None).cancelled == 0
    assert business.row(row)["status"] == "processing"
    assert begin(queue, claim).answer == "ended"
    assert ending(business, row) == ("cancelled", "Customer opted out")


def test_two_opt_outs_of_the_same_people_at_once_both_end(
    business: Business, neighbor: Business, operators: SupabaseOperators
) -> None:
    """They wait for one another and do not deadlock; each text is cancelled once."""
    rows = [waiting(each, each.customer()) for each in (business, neighbor) for _ in range(4)]
    with ThreadPoolExecutor(6) as pool:
        said = list(
            pool.map(
                lambda at: operators.record_consent(PHONE, consent="opted_out", source="letter", business_id=at),
                [None, business.id, neighbor.id] * 2,
            )
        )
    assert sum(each.cancelled for each in said) == len(rows)
    assert {business.row(row)["status"] for row in rows} == {"cancelled"}


@pytest.mark.parametrize("code", [21610, 21614, 20003])
def test_no_number_and_no_body_is_kept_with_what_twilio_said(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, code: int
) -> None:
    """Twilio's own words quote both. Neither is in a row, a send log's error or an attempt."""
    row = business.due_text()
    waiting(business, cast(UUID, business.row(row)["customer_id"]))
    stack.twilio.fail(JsonError(code, http_status=400, message=f"To {PHONE}: {BODY}"))
    (item,) = results_of(run_over(queue, sender), limit=1)
    kept = business.connection.execute(
        """select to_jsonb(q)::text as said from sms_retry_queue q
           union all select to_jsonb(a)::text from sms_send_attempts a
           union all select error_message from send_logs where error_message is not null"""
    ).fetchall()
    for said in [str(item.detail), *(each["said"] for each in kept)]:
        assert PHONE[2:] not in said
        assert "Maple Street" not in said
