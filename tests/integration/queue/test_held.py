"""What somebody can mend never costs a text: it waits, says for what, and goes on by itself once that is mended."""

from smsretry.adapters.supabase.operators import SupabaseOperators
from tests.support.orders import stop_state
from tests.support.shop import Shop


def test_what_can_be_mended_holds_a_text_until_it_is(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """It costs no attempt. A number that is spelled otherwise goes out in the one right spelling."""
    kept, right = "+4407700900123", "+447700900123"
    states = shop.due_text(phone="+15045550123", timezone="America/Chicago")
    number = shop.due_text(phone=kept, timezone="Europe/London")
    zone = shop.due_text(timezone="Eastern US")
    stop_state(operators, "LA", "hurricane")
    assert shop.run() == ["Held"] * 3
    held = {row: shop.row(row) for row in (states, number, zone)}
    assert {record["status"] for record in held.values()} == {"pending"}
    assert {one["attempt_count"] for one in held.values()} == {0}
    assert all(one["held_since"] for one in held.values())
    assert "LA" in held[states]["why"]
    assert (held[number]["why_code"], held[zone]["why_code"]) == (
        "number_spelling",
        "hours_unreadable",
    )
    assert "write +44 and 10 digits, without the 0" in held[number]["why"]

    shop.sql("update customers set phone = %s where phone = %s", right, kept)
    assert shop.run() == ["Sent"], "it is corrected, and need not wait"
    stop_state(operators, "LA", None)
    shop.sql("update customers set timezone = null where timezone = 'Eastern US'")
    shop.later(minutes=15)
    assert shop.run() == ["Sent"] * 2
    assert right in [message.to for message in shop.messages]
    assert {shop.row(row)["held_since"] for row in held} == {None}


def test_of_a_large_table_some_customers_are_looked_at_without_their_last_digits(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """By `smsretry doctor`, at the same price for a million."""
    shop.sql(
        """insert into customers (business_id, phone, timezone)
           select %s, '(212) 555-' || lpad(n::text, 4, '0'), 'UTC-8' from generate_series(1, 5000) n""",
        shop.id,
    )
    for order in ("analyze businesses", "analyze customers"):
        shop.sql(order)
        customers = operators.customers()
        assert 500 < len(customers) <= 2000
        assert {(customer.phone, customer.timezone) for customer in customers} == {
            ("(212) 555-0000", "UTC-8")
        }


def test_a_held_text_ends_when_it_is_of_no_more_use_and_says_what_it_waited_for(
    shop: Shop,
) -> None:
    """48 hours after the first moment it might have gone out."""
    row = shop.due_text()
    shop.sql("update businesses set sms_hours = '18:00-09:00'")
    assert shop.run() == ["Held"]
    shop.later(hours=48)
    assert shop.run() == ["Cancelled"]
    assert shop.end_of(row) == ("cancelled", "expired")
    assert "sms_hours cannot be read" in shop.row(row)["last_error"]


def test_what_a_decision_was_made_from_may_not_change_before_the_send_begins(
    shop: Shop,
) -> None:
    """The next run decides anew: it may be night there, another business may have the customer, or it is no text."""
    neighbor = shop.neighbor()
    changes = (
        "update customers set phone = '+12125550199'",
        "update customers set timezone = 'Asia/Tokyo'",
        "update businesses set timezone = 'Asia/Tokyo'",
        "update businesses set sms_hours = '09:00-10:00'",
        "update send_logs set subject = 'We are closed tomorrow'",
        "update send_logs set channel = 'email'",
        "update sms_retry_queue set message_class = 'transactional'",
        "insert into smsretry.stops (kind, subject, since, why) values ('state', 'NY', now(), 'A storm')",
        f"update customers set business_id = '{neighbor.id}'",
        f"update send_logs set business_id = '{neighbor.id}'",
    )
    shop.due_text()
    claim = shop.claim()
    for change in changes:
        with shop.connection.transaction(force_rollback=True):
            shop.sql(change)
            [begun] = shop.sql(
                """select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), %s, 'test',
                                                        decided_by => %s)""",
                *[
                    claim.id,
                    claim.claim_no,
                    shop.now().replace(hour=23),
                    claim.decided_by,
                ],
            )
            assert (change, begun["answer"]) == (change, "changed")
    assert shop.begin(claim).answer == "go"
