"""What is kept of a word, for how long, and at what price. Who may be texted then: test_consent_in_any_order.py."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.integration.hearing import consents, hear, is_out, sends_from
from tests.support.builders import PHONE
from tests.support.shop import Shop

MIAMI = "+13055550123"
KEPT = "select count(*) from smsretry.consents where business_id is not null and customer_id is null"


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


def test_what_changes_nothing_is_not_kept(shop: Shop) -> None:
    """A START that takes back nothing, and an opt-in that lifts none: an import of all customers would fill the table
    every night. So would the opt-outs that it repeats.
    """
    shop.customer()
    hear(shop, "START")
    shop.sql(
        "update customers set sms_consent_at = smsretry.clock(), sms_consent_source = 'web'"
    )
    assert shop.value(KEPT) == 0
    for _ in range(2):
        shop.sql("delete from customers")
        shop.customer(consent="opted_out")
        shop.customer(
            phone=MIAMI,
            consent="opted_out",
            sms_consent_at=shop.now() - timedelta(days=1),
        )
    assert shop.value(KEPT) == 3  # one more, because its day was another


def test_pruning_never_brings_an_opt_out_back_and_keeps_what_stands_for_good(
    shop: Shop,
) -> None:
    """What lifted it goes after it; and with one that stands stay the dates that could lift it. An application that
    dates all customers ahead every night fills the table with no others.
    """
    shop.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    hear(shop, "START")
    shop.later(days=30)
    for left in (1, 0):
        shop.prune()
        assert not is_out(shop)
        assert shop.value(KEPT) <= 2 * left
    shop.customer(phone=MIAMI)
    shop.sql(
        "update customers set sms_consent_at = %s", shop.now() + timedelta(hours=5)
    )
    hear(shop, "STOP")
    shop.later(days=3650)
    shop.prune()
    assert is_out(shop)
    assert shop.value(f"{KEPT} and said = 'seen'") == 1


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


@pytest.mark.parametrize(
    ("words", "answer"),
    [("STOP", "opted_in"), ("STOP", None), ("leave me alone", "unchanged")],
)
def test_pruning_never_forgets_an_answer_while_the_words_stand_for_others(
    shop: Shop, words: str, answer: Any
) -> None:
    """A business that gets to know the number later is concerned by them; this one has its answer. None: the
    application writes an opt-in.
    """
    shop.customer()
    hear(shop, body=words)
    shop.later(minutes=1)
    if answer is None:
        shop.sql(
            "update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()"
        )
    else:
        shop.record_consent(answer, "form")
    shop.later(days=100)
    shop.prune()
    shop.due_text()
    assert shop.run() == ["Sent"]


@pytest.mark.parametrize(
    ("source", "lifted"), [("inbound_stop", True), ("letter", False)]
)
def test_a_start_that_the_application_hears_itself_lifts_what_a_start_may(
    shop: Shop, source: str, *, lifted: bool
) -> None:
    """Of a customer who opted out, was deleted, and is there again."""
    shop.customer()
    shop.sql(
        "update customers set sms_consent_status = 'opted_out', sms_consent_source = %s",
        source,
    )
    shop.sql("delete from customers")
    shop.later(minutes=1)
    shop.customer(consent="unknown")
    shop.sql(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock(),
                               sms_consent_source = 'inbound_start'"""
    )
    assert is_out(shop) is not lifted


def test_another_source_alone_opts_nobody_out_again_who_has_opted_in_since(
    shop: Shop,
) -> None:
    """A row that still says stop is tidied; somebody with the number has signed up anew."""
    old = shop.customer(consent="opted_out")
    shop.later(minutes=1)
    shop.customer(sms_consent_at=shop.now())
    shop.sql("update customers set sms_consent_source = 'letter' where id = %s", old)
    assert not is_out(shop)


def test_deleting_and_importing_a_customer_does_not_reset_the_daily_cap(
    shop: Shop,
) -> None:
    """Florida allows three texts a day."""
    for _ in range(2):
        for _ in range(3):
            shop.due_text(phone=MIAMI)
        fates = shop.run()
        shop.sql("delete from customers")
    assert fates == ["Deferred"] * 3
    assert len(shop.messages) == 3


def test_an_opt_out_that_was_written_while_triggers_were_off_outlives_its_row(
    shop: Shop,
) -> None:
    """A restore, or an import with session_replication_role: it is kept when the row goes, also beside an older one."""
    shop.customer()
    hear(shop, "STOP")
    hear(shop, "START")
    shop.later(minutes=1)
    shop.sql("set session_replication_role = replica")
    shop.sql(
        "update customers set sms_consent_status = 'opted_out', sms_consent_at = smsretry.clock()"
    )
    shop.sql("set session_replication_role = origin")
    assert not is_out(shop)
    shop.sql("delete from customers")
    shop.due_text()
    assert shop.run() == ["Cancelled"]
