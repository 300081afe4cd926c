"""Consent and the daily cap are of a number at a business, and not of a customer's row."""

from datetime import timedelta

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import PHONE, results_of, run, run_over

MIAMI = "+13055550123"


def opt_out(business: Business, stack: Stack) -> None:
    """Somebody with the number opts out, in the application."""
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_at = %s where business_id = %s",
        [stack.now(), business.id],
    )


def test_an_opt_out_holds_for_every_row_with_the_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One row opted out, a second one with the same number had not: the text went out."""
    business.customer()
    opt_out(business, stack)
    row = business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"].startswith("Customer opted out")
    assert not stack.twilio.ledger.entries()


def test_an_opt_out_outlives_the_customer_s_row(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Deleted, and imported again after the opt-out."""
    business.customer()
    opt_out(business, stack)
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_an_opt_out_at_one_business_is_not_one_at_another(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It is of the number at that business."""
    business.customer()
    opt_out(business, stack)
    other = Business(business.connection, stack.now).open()
    other.due_text()
    assert run(queue, sender) == ["Sent"]


def test_a_later_opt_in_lifts_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """And nothing else does."""
    business.customer()
    opt_out(business, stack)
    stack.move_clock(timedelta(minutes=1))
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    business.due_text()
    assert run(queue, sender) == ["Sent"]


@pytest.mark.parametrize("before", [timedelta(days=1), None])
def test_an_import_that_says_nothing_new_does_not_lift_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, before: timedelta | None
) -> None:
    """Its consent is older than the opt-out, or of no date."""
    business.customer()
    opt_out(business, stack)
    row = business.due_text()
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = %s
           where id = (select customer_id from sms_retry_queue where id = %s)""",
        [None if before is None else stack.now() - before, row],
    )
    assert run(queue, sender) == ["Cancelled"]


def test_deleting_and_importing_a_customer_does_not_reset_the_daily_cap(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Florida allows three texts a day."""
    for _ in range(2):
        for _ in range(3):
            business.due_text(phone=MIAMI)
        fates = [result.fate for result in results_of(run_over(queue, sender))]
        business.connection.execute("delete from customers")
    assert fates == ["Deferred"] * 3
    assert len(stack.twilio.ledger.entries()) == 3


# A customer who comes to have the number


@pytest.mark.parametrize("saved", ["the number alone", "the whole row"])
def test_a_customer_who_comes_to_have_the_number_does_not_lift_its_opt_out(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    saved: str,
) -> None:
    """The consent was given later, but under another number: two customers were merged, and the text went out."""
    business.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    stack.move_clock(timedelta(minutes=1))
    row = business.due_text(phone=MIAMI)
    operators.record_consent(MIAMI, consent="opted_in", source="form", business_id=business.id)
    customer = business.row(row)["customer_id"]
    if saved == "the number alone":
        business.connection.execute("update customers set phone = %s where id = %s", [PHONE, customer])
    else:
        business.connection.execute(
            """update customers set phone = %s, sms_consent_status = 'opted_in', sms_consent_source = 'form',
                      sms_consent_at = date_trunc('milliseconds', sms_consent_at)
               where id = %s""",
            [PHONE, customer],
        )
    assert run(queue, sender) == ["Cancelled"]
    assert "the number did, at this business" in business.row(row)["last_error"]


def test_a_customer_who_moves_to_another_business_lifts_no_opt_out_there_and_takes_its_own_along(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Two branches were made one."""
    other = Business(business.connection, stack.now).open()
    other.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=other.id)
    other.customer(phone=MIAMI)
    stack.move_clock(timedelta(minutes=1))
    business.customer(phone=PHONE)
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    business.customer(phone=MIAMI)
    operators.record_consent(MIAMI, consent="opted_out", source="form", business_id=business.id)
    business.connection.execute("update customers set business_id = %s where business_id = %s", [other.id, business.id])
    for phone in (PHONE, MIAMI):
        other.due_text(phone=phone)
    assert run(queue, sender) == ["Cancelled", "Cancelled"]


def test_saving_a_customer_who_had_opted_out_as_it_was_undoes_no_later_opt_in(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """An application that writes every column had opted the number out again."""
    customer = business.customer()
    opt_out(business, stack)
    stack.move_clock(timedelta(minutes=1))
    row = business.due_text(consent="unknown")
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s where id <> %s",
        [stack.now(), customer],
    )
    business.connection.execute(
        """update customers set phone = phone, sms_consent_status = sms_consent_status, sms_consent_at = sms_consent_at,
                  sms_consent_source = 'imported'
           where id = %s""",
        [customer],
    )
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"
