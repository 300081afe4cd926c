"""What is kept of a word, for how long, and at what price. Who may be texted then: test_consent_in_any_order.py."""

import psycopg
import pytest

from tests.integration.hearing import consents, hear, is_out, sends_from
from tests.integration.story import Story
from tests.support.builders import PHONE
from tests.support.shop import Shop


def test_a_bulk_write_of_the_application_costs_no_transaction_ids_of_its_rows(
    shop: Shop,
) -> None:
    """An exception block in a trigger would cost each of the 2,000 one. Autovacuum may use some meanwhile."""
    shop.sql(
        """insert into customers (business_id, phone, sms_consent_status)
           select %s, '+1212555' || lpad(n::text, 4, '0'), 'opted_in' from generate_series(1, 2000) n""",
        shop.id,
    )
    next_id, used = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint", []
    for change in ("'opted_out'", "'opted_in', sms_consent_at = smsretry.clock()"):
        before = shop.value(next_id)
        shop.sql(f"update customers set sms_consent_status = {change}")
        used.append(shop.value(next_id) - before)
    assert max(used) < 100
    assert shop.value("select count(*) from smsretry.standing_words") == 0


def test_a_row_that_cannot_be_kept_refuses_the_write_and_nothing_says_opted_out(
    shop: Shop,
) -> None:
    """Nobody takes an opt-out for recorded that is not: the statement fails, and says why."""
    shop.customer()
    with (
        shop.changed(
            "alter table smsretry.consents rename to consents_before",
            "alter table smsretry.consents_before rename to consents",
        ),
        pytest.raises(psycopg.Error),
    ):
        shop.sql("update customers set sms_consent_status = 'opted_out'")
    assert consents(shop) == [("opted_in", None)]


@pytest.mark.parametrize("said", ["STOP", "STOP and START"])
def test_a_number_that_says_stop_three_thousand_times_makes_no_begin_dear(
    shop: Shop, said: str
) -> None:
    """Anybody with a phone can do that: a begin had read 288,096 pages."""
    shop.sql(
        """insert into smsretry.consents (subject_key, business_id, said, source, at, dated)
           select smsretry.number_key(%s, %s), %s, case when n %% 2 = 1 or %s then 'opted_out' else 'opted_in' end,
                  case when n %% 2 = 1 or %s then 'inbound_stop' else 'inbound_start' end, smsretry.clock(),
                  case when n %% 2 = 1 or %s then smsretry.clock() end
           from generate_series(1, 6000) n""",
        *(shop.id, PHONE, shop.id, *[said == "STOP"] * 3),
    )
    shop.sql("set random_page_cost = 0.1")  # as our functions plan
    plan = shop.value(
        """explain (analyze, buffers, format json)
           select from smsretry.standing_words where subject_key = smsretry.number_key(%s, %s) limit 1""",
        *(shop.id, PHONE),
    )
    read = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    assert is_out(shop) is (said == "STOP")
    assert read < 12_000


STORIES = {
    "what changes nothing is not kept, or an import of all customers would fill the table every night": """
        customer
        they write START
        sql update customers set sms_consent_at = smsretry.clock(), sms_consent_source = 'web'
        select count(*) from smsretry.consents where business_id is not null and customer_id is null: 0
        sql delete from customers
        customer consent=opted_out
        sql delete from customers
        customer consent=opted_out
        select count(*) from smsretry.consents where business_id is not null and customer_id is null: 1
        customer miami consent=opted_out phone=+13055550123
        sql update customers set sms_consent_at = smsretry.clock() - interval '1 day'
        select count(*) from smsretry.consents where business_id is not null and customer_id is null: 2""",
    "pruning never brings an opt-out back: what lifted it goes after it": """
        customer
        they write STOP
        1 minute
        they write START
        30 days
        prune
        their opt-out stands: False
        prune
        their opt-out stands: False
        select count(*) from smsretry.consents where business_id is not null and customer_id is null: 0""",
    "with one that stands stay the dates that could lift it, and no others": """
        customer
        sql update customers set sms_consent_at = smsretry.clock() + interval '5 hours'
        they write STOP
        3650 days
        prune
        their opt-out stands: True
        select count(*) from smsretry.consents where business_id is not null and said = 'seen': 1""",
    "pruning never forgets an answer while the words stand for others: a yes after a stop": """
        customer
        they write STOP
        1 minute
        a person records opted_in by form
        100 days
        prune
        text
        run: Sent""",
    "the application's opt-in after a stop": """
        customer
        they write STOP
        1 minute
        sql update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()
        100 days
        prune
        text
        run: Sent""",
    "a person's word about words": """
        customer
        they write leave me alone
        1 minute
        a person records unchanged by form
        100 days
        prune
        text
        run: Sent""",
    "a start that the application hears itself lifts a stop": """
        customer
        sql update customers set sms_consent_status = 'opted_out', sms_consent_source = 'inbound_stop'
        sql delete from customers
        1 minute
        customer consent=unknown
        sql update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock(), \
            sms_consent_source = 'inbound_start'
        their opt-out stands: False""",
    "and no letter": """
        customer
        sql update customers set sms_consent_status = 'opted_out', sms_consent_source = 'letter'
        sql delete from customers
        1 minute
        customer consent=unknown
        sql update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock(), \
            sms_consent_source = 'inbound_start'
        their opt-out stands: True""",
    "another source alone opts nobody out again who has opted in since": """
        customer old consent=opted_out
        1 minute
        customer new
        sql update customers set sms_consent_at = smsretry.clock() where id = {new}
        sql update customers set sms_consent_source = 'letter' where id = {old}
        their opt-out stands: False""",
    "deleting and importing a customer does not reset the daily cap": """
        text phone=+13055550123
        text second phone=+13055550123
        text third phone=+13055550123
        run: Sent, Sent, Sent
        sql delete from customers
        text fourth phone=+13055550123
        run: Deferred
        messages: 3""",
    "an opt-out that was written while triggers were off outlives its row, also beside an older one": """
        customer
        they write STOP
        they write START
        1 minute
        sql set session_replication_role = replica
        sql update customers set sms_consent_status = 'opted_out', sms_consent_at = smsretry.clock()
        sql set session_replication_role = origin
        their opt-out stands: False
        sql delete from customers
        text
        run: Cancelled""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_is_kept(shop: Shop, story: str) -> None:
    """What stands is never forgotten."""
    Story(shop).tell(STORIES[story])


def test_pruning_keeps_a_stop_that_a_start_to_another_sender_did_not_take_back(
    shop: Shop,
) -> None:
    """It stands, however many words came after it."""
    service, number = "MG" + "1" * 32, "+12125550190"
    sends_from(shop, "AC" + "1" * 32, service, message_class="marketing")
    sends_from(shop, "AC" + "1" * 32, number, message_class="transactional")
    shop.customer()
    hear(shop, "STOP", service=service)
    hear(shop, "STOP", to=number)
    shop.later(minutes=1)
    hear(shop, "START", service=service)
    shop.later(days=100)
    shop.prune()
    assert is_out(shop)
