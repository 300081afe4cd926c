"""What a text was decided from is asked again as its send begins; and what the doctor is told of customers."""

from smsretry.adapters.supabase.operators import SupabaseOperators
from tests.support.shop import Shop


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
                                                        fingerprint => %s)""",
                *[
                    claim.id,
                    claim.claim_no,
                    shop.now().replace(hour=23),
                    claim.fingerprint,
                ],
            )
            assert (change, begun["answer"]) == (change, "data_changed")
    assert shop.begin(claim).answer == "go"
