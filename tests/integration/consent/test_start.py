"""What a START gives back, and to whom: what a STOP or Twilio's refusal ended, and nothing else."""

from datetime import datetime

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from tests.integration.hearing import consents, consents_of, hear, hear_in_full, refuse
from tests.support.builders import PHONE
from tests.support.shop import Shop

OPT_IN = "update customers set sms_consent_status = 'opted_in', sms_consent_source = %s, sms_consent_at = %s"


def stop_and_start(shop: Shop) -> tuple[object, ...]:
    """A minute later; what the START came to."""
    hear(shop, "STOP")
    shop.later(minutes=1)
    return hear(shop, "START")


def text_again(shop: Shop, customer: object = None) -> list[str]:
    """A text to that customer, or to a new one with the number who consents: what it comes to."""
    if customer is None:
        shop.due_text()
    else:
        shop.queue_row(shop.send_log(customer), customer)  # type: ignore[arg-type]
    return shop.run()


def test_a_start_makes_up_no_consent_at_any_business(shop: Shop) -> None:
    """Who had never said yes is not texted after it, and texts that the STOP ended stay ended."""
    family, other = shop.customer(consent="unknown"), shop.neighbor()
    rows = [shop.due_text(), other.due_text(consent="unknown"), shop.queue_row(shop.send_log(family), family)]
    assert stop_and_start(shop) == ("opted_in", 1, 0)
    assert consents_of(shop) == [("opted_in", "inbound_start"), ("unknown", "inbound_start")]
    assert consents_of(other) == [("unknown", "inbound_start")]
    assert {shop.row(row)["status"] for row in rows} == {"cancelled"}
    assert text_again(shop, family) == ["Cancelled"]
    assert text_again(shop, shop.row(rows[0])["customer_id"]) == ["Sent"]


def test_a_start_gives_back_what_a_stop_ended_that_the_application_wrote(shop: Shop) -> None:
    """Its own webhook may be faster. Of who came in as stopped it is not known that there was consent."""
    shop.customer()
    shop.customer(consent="unknown")
    stopped = """sms_consent_status = 'opted_out', sms_consent_source = 'inbound_stop',
                 sms_consent_at = smsretry.clock()"""
    shop.sql(f"update customers set {stopped}")
    shop.sql(
        """insert into customers (business_id, phone, sms_consent_status, sms_consent_source, sms_consent_at)
           values (%s, %s, 'opted_out', 'inbound_stop', smsretry.clock())""",
        *[shop.id, PHONE],
    )
    shop.later(minutes=1)
    assert hear(shop, "START") == ("opted_in", 1, 0)
    assert consents(shop) == [("opted_in", "inbound_start"), *[("unknown", "inbound_start")] * 2]


def test_a_start_reaches_who_was_imported_again_and_no_one_who_came_otherwise(shop: Shop) -> None:
    """A row that came after the STOP says that there is consent: its number was opted out, and is opted in again. Who
    came without consent, and who has another number since, are left alone.
    """
    moved = shop.customer()
    hear(shop, "STOP")
    shop.sql("update customers set phone = '+12125550124' where id = %s", moved)
    shop.customer(consent="unknown")
    assert text_again(shop) == ["Cancelled"]
    shop.later(minutes=1)
    assert hear(shop, "START", phone="+12125550124") == ("opted_in", 0, 0)
    assert ("unknown", "inbound_start") in consents(shop), "whose STOP was another number's"
    assert hear(shop, "START")[0] == "opted_in"
    assert ("unknown", None) in consents(shop)
    assert text_again(shop) == ["Sent"]


@pytest.mark.parametrize("source", ["telephone", "letter of 24 November", "web"])
def test_a_start_does_not_lift_an_opt_out_that_came_after_a_stop(
    shop: Shop, operators: SupabaseOperators, source: str
) -> None:
    """The row was opted out already, and has this source now. Nor does it once the row is gone."""
    customer = shop.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    if source == "web":
        shop.sql("update customers set sms_consent_source = 'web'")
    else:
        assert operators.record_consent(PHONE, consent="opted_out", source=source, business_id=None).customers == 1
    shop.later(minutes=1)
    assert hear(shop, body="yes") == ("opted_in", 0, 0)
    assert consents(shop) == [("opted_out", source)]
    shop.sql("delete from customers where id = %s", customer)
    shop.due_text()
    assert hear(shop, "START") == ("opted_in", 0, 0)
    assert shop.run() == ["Cancelled"]


@pytest.mark.parametrize("then", ["STOP", "21610"])
def test_a_stop_after_a_telephone_call_takes_nothing_away_from_it(
    shop: Shop, operators: SupabaseOperators, then: str
) -> None:
    """Its row may be gone by the time of the START, and another one has the number."""
    customer = shop.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=shop.id)
    shop.customer()
    shop.later(minutes=1)
    if then == "STOP":
        hear(shop, "STOP")
    else:
        refuse(shop)
    shop.sql("delete from customers where id = %s", customer)
    shop.later(minutes=1)
    assert hear(shop, "START") == ("opted_in", 0, 0)
    assert text_again(shop) == ["Cancelled"]


def test_an_opt_in_from_between_two_stops_lifts_neither(shop: Shop) -> None:
    """An import of it would be later than the first alone."""
    shop.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    between: datetime = shop.now()
    shop.later(minutes=1)
    hear(shop, "STOP")
    row = shop.due_text(consent="unknown")
    shop.sql(OPT_IN + " where id = %s", None, between, shop.row(row)["customer_id"])
    assert shop.run() == ["Cancelled"]


def test_a_start_beside_an_opt_out_that_is_being_written_does_not_lift_it(shop: Shop) -> None:
    """It had looked before, and would write over it."""
    customer = shop.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    with shop.stack.connect() as listening, shop.connection.transaction():
        shop.sql("update customers set sms_consent_source = 'telephone' where id = %s", customer)
        other = Shop(listening, shop.now, stack=shop.stack, queue=shop.queue, sender=shop.sender)
        heard = hear_in_full(other, "START", sid="SM" + "a" * 32)
        assert (heard["customers"], heard["unmarked"]) == (0, 1)
    assert hear(shop, "START", sid="SM" + "a" * 32) == ("already_recorded", 0, 0)
    assert consents(shop) == [("opted_out", "telephone")]


def test_a_start_that_the_application_writes_lifts_no_more_than_one_that_is_heard(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """Its own webhook writes opted_in over a telephone call; the number stays opted out until it says yes otherwise."""
    customer = shop.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=shop.id)
    for source, fate in (("inbound_start", "Cancelled"), ("web", "Sent")):
        shop.later(minutes=1)
        shop.sql(OPT_IN, source, shop.now())
        assert text_again(shop, customer) == [fate]
