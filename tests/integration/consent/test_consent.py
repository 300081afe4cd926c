"""Consent is read as a send begins and kept with it; Twilio's 21610, or a person's word, ends it.

What else Twilio says of a number is kept with the customer. What it says of our account is not.
"""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.data import table
from smsretry.errors import InputError, QueueUnreachable
from smsretry.local.twilio.faults import JsonError
from smsretry.retry.models import Claim
from tests.conftest import EMPTY
from tests.integration.hearing import consents_of, customer_of
from tests.integration.story import Story
from tests.support.builders import BODY, PHONE, finish, give_up, refused
from tests.support.orders import record_consent
from tests.support.records import columns
from tests.support.shop import Shop

OTHER_PHONE = "+12125550188"
LATER = timedelta(hours=1)
UNSUBSCRIBED = JsonError(
    21610,
    http_status=400,
    message=f"Attempt to send to unsubscribed recipient: {PHONE}",
)
OPTED_OUT = ("cancelled", "Customer opted out")


def unsubscribed(shop: Shop, claim: Claim, attempt: UUID) -> None:
    """Twilio refused it for good, because the recipient is unsubscribed."""
    finish(
        shop.queue,
        claim,
        attempt,
        refused(21610),
        give_up("Twilio 21610", 21610, opted_out=True),
    )


def waiting(shop: Shop, customer: UUID, *, due: timedelta = LATER) -> UUID:
    """One more text to this customer; returns its row's id."""
    return shop.queue_row(shop.send_log(customer), customer, due=due)


def consent(shop: Shop, customer: UUID) -> tuple[Any, Any]:
    """The customer's consent, and where it is known from."""
    record = customer_of(shop, customer)
    return record["sms_consent_status"], record["sms_consent_source"]


def ending(shop: Shop, row: UUID) -> tuple[str, str | None]:
    """How a row ended, and why; its send log says the same."""
    record = shop.row(row)
    if record["status"] == "cancelled":
        assert shop.log_of(row)["error_message"] == record["last_error"]
    return record["status"], record["last_error"]


# Read as the send begins, and kept


STORIES = {
    "an attempt keeps the consent that it was begun under, not what it was at its claim or afterwards": """
        text consent=unknown
        claim: it
        sql update customers set sms_consent_status = 'opted_in', sms_consent_source = 'web', \
            sms_consent_at = '2026-12-01 12:00+00'
        begin: go
        a person records opted_out by telephone: 1, 0, 0
        it.sends.consent_status consent_source consent_at: opted_in, web, 2026-12-01 12:00:00+00:00""",
    "of two opt-outs the one that no start takes back is the record": """
        customer
        they write STOP: opted_out
        a person records opted_out by letter
        consents: (opted_out, letter)""",
    "twilio's 21610 ends its text and the number's consent at that business, and what waits there": """
        customer family consent=unknown
        customer someone phone=+12125550188
        text
        another text second to it
        another text third to family
        another text fourth to family
        another text stays to someone
        neighbor's text theirs
        sql update sms_retry_queue set scheduled_for = smsretry.clock() + interval '1 hour' where id <> {it}
        Twilio refuses 21610
        run: Failed
        consents: (opted_in, None), (opted_in, None), (opted_out, twilio_21610), (opted_out, twilio_21610)
        select bool_and(sms_consent_at between '2027-01-12 17:00' and smsretry.clock()) from customers \
            where sms_consent_source is not null: True
        it.why_code error_code last_error: opted_out, 21610, Twilio 21610: Attempt to send to unsubscribed recipient
        it.log.status error_message: failed, Twilio 21610: Attempt to send to unsubscribed recipient
        it.sends.outcome error_code consent_status: rejected, 21610, opted_in
        second.status last_error: cancelled, Customer opted out
        second.log.error_message: Customer opted out
        third.status last_error: cancelled, Customer opted out
        fourth.status last_error: cancelled, Customer opted out
        2 hours
        run: Sent, Sent
        stays.status: completed
        theirs.status: completed""",
    "a spoken opt-out ends the consent at one business and cancels what waits; the first record stays": """
        customer her
        customer family consent=unknown
        another text first to her
        another text second to family
        another text third to family
        neighbor's text theirs
        a person records opted_out by telephone: 2, 3, 0
        select count(*) from smsretry.events where who = 'telephone': 2
        consents: (opted_in, None), (opted_out, telephone), (opted_out, telephone)
        another text fourth to her
        1 minute
        a person records opted_out by letter: 2, 1, 0
        consents: (opted_in, None), (opted_out, telephone), (opted_out, telephone)
        select distinct why_code from sms_retry_queue where status = 'cancelled': opted_out
        run: Sent
        theirs.status: completed""",
    "or at all businesses": """
        customer her
        customer family consent=unknown
        another text first to her
        another text second to family
        another text third to family
        neighbor's text theirs
        a person records opted_out everywhere by telephone: 3, 4, 0
        select count(*) from smsretry.events where who = 'telephone': 3
        another text fourth to her
        1 minute
        a person records opted_out by letter: 2, 1, 0
        consents: (opted_out, telephone), (opted_out, telephone), (opted_out, telephone)
        run:
        theirs.status: cancelled""",
    "an opt-out counts for a number that no customer has yet, and says that nobody has it": """
        customer consent=opted_out
        a person records opted_in by form
        sql delete from customers
        a person records opted_out by letter: 0, 0, 0
        text ours
        neighbor's text theirs
        run: Cancelled, Sent
        ours.status: cancelled
        theirs.status: completed""",
    "likewise, everywhere": """
        customer consent=opted_out
        a person records opted_in by form
        sql delete from customers
        a person records opted_out everywhere by letter: 0, 0, 0
        text ours
        neighbor's text theirs
        run: Cancelled, Cancelled""",
    "a text in doubt is not cancelled by an opt-out, and never sent again: its next begin refuses it": """
        a text in doubt that Twilio has not
        a person records opted_out everywhere by telephone: 1, 0, 0
        61 seconds
        run: InDoubt
        5 minutes
        run: InDoubt
        16 minutes
        run
        1 minute
        run
        it.status last_error: cancelled, Customer opted out
        it.sends.outcome: not_sent
        messages: 0""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_consent(shop: Shop, story: str) -> None:
    """Read as the send begins; kept with it; ended by a refusal or by a person."""
    Story(shop).tell(STORIES[story])


def test_an_opt_out_that_is_being_written_is_waited_for(shop: Shop) -> None:
    """None slips between the question and the answer: here the opt-out was first by a moment."""
    row = shop.due_text()
    claim = shop.claim()
    with ThreadPoolExecutor(1) as pool:
        with shop.connection.transaction():
            shop.sql("update customers set sms_consent_status = 'opted_out'")
            begun = pool.submit(shop.begin, claim)
            with pytest.raises(StillWaiting):
                begun.result(timeout=0.3)
        assert (begun.result().answer, begun.result().why) == (
            "ended",
            "Customer opted out",
        )
    assert ending(shop, row) == OPTED_OUT
    assert shop.attempts_of(row) == []


def test_an_opt_out_waits_for_no_send_that_is_being_begun_and_holds_for_the_next(
    shop: Shop,
) -> None:
    """Here the send was first: it is on record as begun. The customer's row is marked by the next run."""
    row = shop.due_text()
    claim = shop.claim()
    with shop.connection.transaction():
        shop.sql(
            "select * from begin_sms_attempt(%s, %s, %s, %s, 'test')",
            row,
            claim.claim_no,
            uuid4(),
            shop.now() + LATER,
        )
        answer = shop.record_consent("opted_out", "letter", everywhere=True)
        assert (answer.customers, answer.cancelled, answer.unmarked) == (0, 0, 1)
    assert shop.sends(row, "consent_status") == ["opted_in"]
    customer = shop.row(row)["customer_id"]
    waiting(shop, customer, due=timedelta(0))
    assert shop.run() == ["Cancelled"]
    assert consent(shop, customer) == ("opted_out", "letter")


# Twilio's 21610


def test_21610_concerns_the_number_that_was_texted_not_the_one_the_customer_has_since(
    shop: Shop,
) -> None:
    """Whoever has the old number said stop. Of the new one nothing was said."""
    customer, old = shop.row(shop.due_text())["customer_id"], shop.customer()
    new, claim, attempt = shop.customer(phone=OTHER_PHONE), shop.claim(), uuid4()
    shop.begin(claim, attempt)
    shop.sql("update customers set phone = %s where id = %s", OTHER_PHONE, customer)
    unsubscribed(shop, claim, attempt)
    assert [consent(shop, who)[0] for who in (customer, old, new)] == [
        "opted_in",
        "opted_out",
        "opted_in",
    ]


@pytest.mark.parametrize("word", ["opted_in", "opted_out"])
def test_21610_takes_back_nothing_that_was_said_before_it_was_recorded(
    shop: Shop, word: Any
) -> None:
    """Its answer was lost, and an opt-in came before it was given again; or somebody had said stop by telephone."""
    row = shop.due_text()
    claim, attempt = shop.claim(), uuid4()
    shop.begin(claim, attempt)
    if word == "opted_in":
        unsubscribed(shop, claim, attempt)
    shop.record_consent(word)
    first_record = customer_of(shop, shop.row(row)["customer_id"])
    shop.later(minutes=1)
    unsubscribed(shop, claim, attempt)
    assert customer_of(shop, first_record["id"]) == first_record
    assert len(shop.attempts_of(row)) == 1


def test_no_call_that_fails_loses_an_opt_out(shop: Shop) -> None:
    """Where it cannot be kept, its send is not finished: the text is looked for, and its next refusal says it again."""
    shop.twilio.fail(UNSUBSCRIBED, times=None)
    row = shop.due_text()
    shop.stack.rpc_faults.bad_gateway("note_sms_number", times=3)
    with pytest.raises(QueueUnreachable):
        shop.process(shop.claim())
    for _ in range(5):
        shop.later(minutes=16)
        shop.run()
    assert (shop.status_of(row), len(shop.attempts_of(row))) == ("failed", 2)
    assert consents_of(shop) == [("opted_out", "twilio_21610")]
    assert not shop.messages


# What Twilio says of a number, and of us


def test_a_text_that_arrived_ends_no_consent(shop: Shop) -> None:
    """Whatever is said of its number afterwards."""
    shop.due_text()
    shop.run()
    shop.sql(
        "update sms_send_attempts set delivery_status = 'delivered', delivery_at = smsretry.clock()"
    )
    assert not shop.value(
        "select note_sms_number(id, true, 'invalid', 21610) from sms_send_attempts"
    )
    assert consents_of(shop) == [("opted_in", None)]


def test_a_number_that_takes_no_texts_is_marked_at_the_business(shop: Shop) -> None:
    """By each code that says so, at everybody who has it. Nobody's consent is touched, and no other business."""
    neighbor, rows = shop.neighbor(), {}
    for line in table("twilio_errors"):
        if status := line["phone_status"]:
            phone = f"+121255{line['code']}"
            shop.twilio.fail(JsonError(int(line["code"]), http_status=400), to=phone)
            neighbor.customer(phone=phone)
            rows[shop.due_text(phone=phone)] = (
                shop.customer(phone=phone),
                int(line["code"]),
                status,
            )
    assert shop.run() == ["Failed"] * len(rows)
    for row, (family, code, status) in rows.items():
        ended = shop.row(row)
        assert columns(ended, "why_code", "error_code") == ("refused", code)
        assert {
            customer_of(shop, one)["phone_status"]
            for one in (ended["customer_id"], family)
        } == {status}
    assert {*consents_of(shop), *consents_of(neighbor)} == {("opted_in", None)}
    theirs = shop.sql(
        "select phone_status from customers where business_id = %s", neighbor.id
    )
    assert {record["phone_status"] for record in theirs} == {None}


def test_what_twilio_says_of_our_account_or_text_touches_no_number_and_its_words_are_kept_nowhere(
    shop: Shop,
) -> None:
    """Sender, region, credentials, rate, and what nobody knows. Its words may quote number and body."""
    for code, status in (
        (21612, 400),
        (21408, 400),
        (21606, 400),
        (20003, 401),
        (20429, 429),
        (99999, 400),
        (21610, 400),
    ):
        row = shop.due_text()
        customer = customer_of(shop, shop.row(row)["customer_id"])
        other = waiting(shop, customer["id"])
        shop.twilio.fail(
            JsonError(code, http_status=status, message=f"To {PHONE}: {BODY}")
        )
        [item] = shop.results().values()
        assert shop.row(row)["error_code"] == code
        if code != 21610:
            assert customer_of(shop, customer["id"]) == customer
            assert shop.status_of(other) == "pending"
        records = shop.sql(
            """select to_jsonb(q)::text as said from sms_retry_queue q
               union all select to_jsonb(a)::text from sms_send_attempts a
               union all select error_message from send_logs where error_message is not null"""
        )
        for said in (str(item.why), *(record["said"] for record in records)):
            assert PHONE[2:] not in said
            assert "Maple Street" not in said
        shop.sql(EMPTY)
        shop.open()


# A person's word


NO_WORD: Final[list[tuple[Any, Any, Any]]] = [
    ("212-555-0123", "opted_out", "letter"), ("12125550123", "opted_out", "letter"),
    ("+1 212 555 0123", "opted_out", "letter"), (PHONE + "\n", "opted_out", "letter"), ("", "opted_out", "letter"),
    (None, "opted_out", "letter"), (PHONE, "opted_out", ""), (PHONE, "opted_out", None),
    (PHONE, "unknown", "letter"), (PHONE, None, "letter"),
]  # fmt: skip


def test_a_word_that_leaves_something_open_is_refused(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """With what is needed, quoting nothing; and nobody's consent is changed."""
    customer = shop.customer()
    for phone, word, source in NO_WORD:
        with pytest.raises(
            psycopg.Error,
            match=r"^phone must be E\.164, consent opted_in, opted_out or",
        ) as raised:
            shop.sql(
                "select record_sms_consent(%s, %s, %s, business_id => %s)",
                phone,
                word,
                source,
                shop.id,
            )
        assert "555" not in str(raised.value)
    with pytest.raises(
        InputError,
        match=r"^A yes is given to one business: name its customer by customer_id",
    ):
        shop.record_consent("opted_in", "paper form", everywhere=True)
    with pytest.raises(InputError, match=r"^No business has this id"):
        record_consent(
            operators, PHONE, consent="opted_out", source="letter", business_id=uuid4()
        )
    with pytest.raises(InputError, match=r"^No customer has this number") as unknown:
        shop.record_consent("opted_in", "letter", phone="+12125550000")
    assert "555" not in str(unknown.value)
    for business, who, state in (
        (shop.id, None, "SR422"),
        (shop.neighbor().id, "Ann", "SR404"),
    ):
        with pytest.raises(psycopg.Error) as error:
            shop.sql(
                "select record_sms_consent(null, 'opted_out', 'letter', %s, %s, %s, %s)",
                business,
                customer,
                who,
                who,
            )
        assert error.value.sqlstate == state
    assert consent(shop, customer) == ("opted_in", None)


def test_two_opt_outs_of_the_same_people_at_once_both_end(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """They wait for one another and do not deadlock; each text is cancelled once."""
    neighbor = shop.neighbor()
    rows = [
        waiting(each, each.customer()) for each in (shop, neighbor) for _ in range(4)
    ]
    with ThreadPoolExecutor(6) as pool:
        said = pool.map(
            lambda at: record_consent(
                operators, PHONE, consent="opted_out", source="letter", business_id=at
            ),
            [None, shop.id, neighbor.id] * 2,
        )
    assert sum(answer.cancelled for answer in said) == len(rows)
    assert {shop.status_of(row) for row in rows} == {"cancelled"}
