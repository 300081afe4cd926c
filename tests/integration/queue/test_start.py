"""What a START gives back, and to whom: what a STOP or Twilio's refusal ended, and nothing else."""

from datetime import timedelta

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import another, consents, consents_of, hear, hear_in_full, refuse
from tests.support.builders import PHONE, run


def test_a_start_makes_up_no_consent_at_any_business(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Who had never said yes was opted in by STOP and START, at each business that had the number, and was texted."""
    family, other = business.customer(consent="unknown"), another(business)
    texts = [
        business.due_text(),
        other.due_text(consent="unknown"),
        business.queue_row(business.send_log(family), family),
    ]
    hear(business, "STOP")
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 1, 0)
    assert consents_of(business) == [("opted_in", "inbound_start"), ("unknown", "inbound_start")]
    assert consents_of(other) == [("unknown", "inbound_start")]
    assert {business.row(text)["status"] for text in texts} == {"cancelled"}
    for id_, shop in [(business.row(texts[0])["customer_id"], business), (family, business)]:
        shop.queue_row(shop.send_log(id_), id_)
    assert sorted(run(queue, sender)) == ["Cancelled", "Sent"]


def test_a_start_leaves_those_alone_who_are_not_opted_out(stack: Stack, business: Business) -> None:
    """It had opted in everybody with the number, also who came after the STOP."""
    business.customer()
    hear(business, "STOP")
    business.customer(consent="unknown")
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 1, 0)
    assert consents(business) == [("opted_in", "inbound_start"), ("unknown", None)]


def test_a_start_reaches_a_customer_who_was_imported_again_after_the_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The row says that there is consent, and the opt-out of the number is what STOP did."""
    business.customer()
    hear(business, "STOP")
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    stack.move_clock(timedelta(minutes=1))
    hear(business, "START")
    business.due_text()
    assert run(queue, sender) == ["Sent"]


def test_a_start_gives_back_what_a_stop_ended_that_the_application_wrote(stack: Stack, business: Business) -> None:
    """Its own webhook may have been faster, or it wrote STOPs before there was a function for them."""
    business.customer()
    business.customer(consent="unknown")
    business.connection.execute(
        """update customers
           set sms_consent_status = 'opted_out', sms_consent_source = 'inbound_stop', sms_consent_at = %s""",
        [stack.now()],
    )
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 1, 0)
    assert consents(business) == [("opted_in", "inbound_start"), ("unknown", "inbound_start")]


def test_of_a_customer_who_came_in_as_stopped_it_is_not_known_that_there_was_consent(
    stack: Stack, business: Business
) -> None:
    """Imported from elsewhere, with the STOP: a START makes it unknown again."""
    business.connection.execute(
        """insert into customers (business_id, phone, sms_consent_status, sms_consent_source, sms_consent_at)
           values (%s, %s, 'opted_out', 'inbound_stop', %s)""",
        [business.id, PHONE, stack.now()],
    )
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 0, 0)
    assert consents(business) == [("unknown", "inbound_start")]


def test_another_number_s_start_gives_nothing_back(stack: Stack, business: Business) -> None:
    """The customer has that number since; who has it never said STOP, nor yes."""
    customer = business.customer()
    hear(business, "STOP")
    business.connection.execute("update customers set phone = '+12125550124' where id = %s", [customer])
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START", phone="+12125550124") == ("opted_in", 0, 0)
    assert consents(business) == [("unknown", "inbound_start")]


@pytest.mark.parametrize("source", ["telephone", "letter of 24 November", "web"])
def test_a_start_does_not_lift_an_opt_out_that_came_after_a_stop(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    source: str,
) -> None:
    """It was not recorded, because the row was opted out already; then YES lifted it."""
    customer = business.customer()
    hear(business, "STOP")
    stack.move_clock(timedelta(minutes=1))
    said_at = stack.now()
    if source == "web":
        business.connection.execute("update customers set sms_consent_source = 'web'")
    else:
        assert operators.record_consent(PHONE, consent="opted_out", source=source, business_id=None).customers == 1
    assert consents(business) == [("opted_out", source)]
    [row] = business.connection.execute("select sms_consent_at from customers").fetchall()
    assert (row["sms_consent_at"] >= said_at) is (source != "web")
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, body="yes") == ("opted_in", 0, 0)
    assert consents(business) == [("opted_out", source)]
    business.connection.execute("delete from customers where id = %s", [customer])
    business.due_text()
    assert hear(business, "START") == ("opted_in", 0, 0)
    assert run(queue, sender) == ["Cancelled"]


@pytest.mark.parametrize("then", ["STOP", "21610"])
def test_a_stop_after_a_telephone_call_takes_nothing_away_from_it(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    then: str,
) -> None:
    """Its row may be gone by the time of the START, and another one has the number."""
    customer = business.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    business.customer()
    stack.move_clock(timedelta(minutes=1))
    if then == "STOP":
        hear(business, "STOP")
    else:
        refuse(business)
    business.connection.execute("delete from customers where id = %s", [customer])
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START") == ("opted_in", 0, 0)
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_an_opt_in_from_between_two_stops_lifts_neither(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The second had changed nothing, because the row was opted out; an import of the consent lifted the first."""
    business.customer()
    hear(business, "STOP")
    stack.move_clock(timedelta(minutes=1))
    between = stack.now()
    stack.move_clock(timedelta(minutes=1))
    hear(business, "STOP")
    row = business.due_text(consent="unknown")
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s where id = %s",
        [between, business.row(row)["customer_id"]],
    )
    assert run(queue, sender) == ["Cancelled"]


def test_a_start_beside_an_opt_out_that_is_being_written_does_not_lift_it(stack: Stack, business: Business) -> None:
    """It had looked before, and then written over it."""
    customer = business.customer()
    hear(business, "STOP")
    stack.move_clock(timedelta(minutes=1))
    with stack.connect() as listening, business.connection.transaction():
        business.connection.execute("update customers set sms_consent_source = 'telephone' where id = %s", [customer])
        heard = hear_in_full(Business(listening, stack.now), "START", sid="SM" + "a" * 32)
        assert (heard["customers"], heard["unmarked"]) == (0, 1)
    assert hear(business, "START", sid="SM" + "a" * 32) == ("already_recorded", 0, 0)
    assert consents(business) == [("opted_out", "telephone")]


def test_an_old_start_that_is_sent_again_lifts_nothing_that_came_to_its_number_since(
    stack: Stack, business: Business
) -> None:
    """A customer who had texted STOP from another number, before."""
    business.customer()
    moved = business.customer(phone="+12125550124")
    hear(business, "STOP", phone="+12125550124")
    stack.move_clock(timedelta(minutes=1))
    hear(business, "START", sid="SM" + "f" * 32)
    business.connection.execute("update customers set phone = %s where id = %s", [PHONE, moved])
    assert hear(business, "START", sid="SM" + "f" * 32) == ("already_recorded", 0, 0)
    assert consents(business) == [("opted_in", None), ("opted_out", "inbound_stop")]


def test_a_start_that_the_application_writes_lifts_no_more_than_one_that_is_heard(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Its own webhook writes opted_in over a telephone call; the number stays opted out until it says yes otherwise."""
    row = business.due_text()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    customer = business.row(row)["customer_id"]
    for source, fate in (("inbound_start", "Cancelled"), ("web", "Sent")):
        stack.move_clock(timedelta(minutes=1))
        business.connection.execute(
            "update customers set sms_consent_status = 'opted_in', sms_consent_source = %s, sms_consent_at = %s",
            [source, stack.now()],
        )
        business.queue_row(business.send_log(customer), customer)
        assert run(queue, sender) == [fate]
