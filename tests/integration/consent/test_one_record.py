"""What somebody said holds for the number and for the customer: whoever has the one, whatever becomes of the other."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from tests.integration.hearing import hear, sends_from
from tests.integration.story import Story
from tests.support.builders import PHONE
from tests.support.shop import Shop

OTHER = "+12125550188"
WORDS = "leave me alone"
AS_IT_SHOULD: Final = {"STOP": "Cancelled", WORDS: "Held"}
"""What becomes of the next marketing text after these words."""


def and_then_the_number_was_emptied_and_another_given(shop: Shop, words: str) -> None:
    shop.customer()
    with shop.locked("customers"):
        hear_beside_a_lock(shop, words)
    shop.sql("update customers set phone = null")
    shop.sql("update customers set phone = %s", OTHER)


def while_an_import_changed_the_number(shop: Shop, words: str) -> None:
    shop.customer()
    with shop.stack.connect() as importing, importing.transaction():
        importing.execute("update customers set phone = %s", [OTHER])
        hear_beside_a_lock(shop, words)


def while_an_import_inserted_the_customer(shop: Shop, words: str) -> None:
    with shop.stack.connect() as importing, importing.transaction():
        importing.execute(
            """insert into customers (business_id, phone, timezone, sms_consent_status)
               values (%s, %s, 'America/New_York', 'opted_in')""",
            [shop.id, PHONE],
        )
        hear_beside_a_lock(shop, words)


def hear_beside_a_lock(shop: Shop, words: str) -> None:
    """Whoever is locked is marked later."""
    shop.sql(
        "select from record_inbound_sms(%s, %s, body => %s)",
        PHONE,
        f"SM{1:032x}",
        words,
    )


STORIES: Final[dict[str, str | Callable[[Shop, str], None]]] = {
    "before anybody knew the number": """
        they write WORDS
        customer""",
    "while the row was away": """
        customer
        sql delete from customers
        they write WORDS
        customer""",
    "while the number was written otherwise": """
        customer phone=212-555-0123
        they write WORDS
        sql update customers set phone = '+12125550123'""",
    "and then the number changed": """
        customer
        they write WORDS
        sql update customers set phone = '+12125550188'""",
    "and then triggers were off": """
        customer
        they write WORDS
        sql set session_replication_role = replica
        sql update customers set phone = '+12125550188', sms_consent_status = 'opted_in'
        sql set session_replication_role = origin""",
    "and then a second row has the number": """
        customer phone=+12125550188
        they write WORDS from +12125550188
        sql update customers set phone = null
        customer phone=+12125550188""",
    "and then the customer was imported anew": """
        customer
        they write WORDS
        sql delete from customers
        customer""",
    "and then the number was emptied and another given": (
        and_then_the_number_was_emptied_and_another_given
    ),
    "while an import changed the number": while_an_import_changed_the_number,
    "while an import inserted the customer": while_an_import_inserted_the_customer,
}


@pytest.mark.parametrize("words", AS_IT_SHOULD)
@pytest.mark.parametrize("story", STORIES)
def test_words_hold_wherever_a_stop_holds(
    shop: Shop,
    story: str,
    words: str,
) -> None:
    """A STOP ends the text, and words that may mean stop hold it. Who wrote them is in the list of what to read."""
    beginning = STORIES[story]
    if isinstance(beginning, str):
        Story(shop).tell(beginning.replace("WORDS", words))
    else:
        beginning(shop, words)
    texts = [
        shop.queue_row(shop.send_log(row["id"]), row["id"])
        for row in shop.sql(
            """update customers set sms_consent_status = 'opted_in' where phone is not null
               returning id"""  # a restore, or an old list
        )
    ]
    assert shop.run() == [AS_IT_SHOULD[words]] * len(texts)
    assert not shop.messages
    unread = shop.sql("select customer_id from unread_sms_words()")
    held = [shop.row(text)["customer_id"] for text in texts if words == WORDS]
    assert {row["customer_id"] for row in unread} >= set(held)
    assert bool(unread) == bool(held)


@pytest.mark.parametrize("opened", ["an import", None])
def test_an_opt_out_by_a_customer_s_id_is_hers_whatever_her_number_becomes(
    shop: Shop, opened: str | None
) -> None:
    """A person records it while a transaction changes numbers; twenty of twenty had been texted."""
    customers = [shop.customer(phone=f"+12125550{digit:03}") for digit in range(20)]
    texts = [shop.queue_row(shop.send_log(who), who) for who in customers]
    change = "update customers set phone = replace(phone, '+1212', '+1718')"
    with shop.stack.connect() as importing, importing.transaction():
        if opened:
            importing.execute(change)
        for customer in customers:
            shop.sql(
                """select record_sms_consent(null, 'opted_out', 'telephone', customer_id => %s, who => 'Ann',
                                             because => 'She called')""",
                customer,
            )
    if not opened:
        shop.sql(change)
    assert set(shop.run()) <= {"Cancelled"}
    assert {shop.status_of(text) for text in texts} == {"cancelled"}
    shop.run()
    assert {
        row["status"]
        for row in shop.sql("select sms_consent_status as status from customers")
    } == {"opted_out"}


TOLD = {
    "an opt-out that comes with another id is kept: the application copies its customers under new ids": """
        customer
        sql update customers set id = gen_random_uuid(), sms_consent_status = 'opted_out'
        sql delete from customers
        text
        run: Cancelled""",
    "a yes to a reminder answers no words, at no business that shares the sender": """
        text
        neighbor's text theirs
        they write leave me alone: unsure
        they write Yes: opted_in
        run: Held, Held
        select count(*) from unread_sms_words(): 2""",
    "a yes lifts a standing stop beside words, which somebody still has to read": """
        customer
        they write STOP
        1 minute
        they write Yes
        they write leave me alone
        they write Yes
        text
        run: Held
        they write START
        run
        it.status: completed""",
    "an opt-in that the application writes answers no words, and a person's word does at that business alone": """
        text
        neighbor's text theirs
        they write leave me alone
        1 minute
        sql update customers set sms_consent_at = smsretry.clock()
        run: Held, Held
        a person records opted_in by form
        run: Sent
        it.status: completed
        theirs.status: pending""",
}


@pytest.mark.parametrize("story", TOLD)
def test_of_what_was_said(shop: Shop, story: str) -> None:
    """It is the number that they speak for."""
    Story(shop).tell(TOLD[story])


def test_a_later_answer_counts_for_words_of_anywhere_as_for_any(shop: Shop) -> None:
    """They were written while an import inserted the customer. Neither a Yes nor an earlier opt-in answers them."""
    stopped, unread = OTHER, PHONE
    shop.customer(
        phone=stopped,
        consent="opted_out",
        sms_consent_at=shop.now() - timedelta(days=500),
    )
    shop.sql("delete from customers")
    with shop.stack.connect() as importing, importing.transaction():
        importing.execute(
            """insert into customers (business_id, phone, timezone, sms_consent_status)
               select %s, phone, 'America/New_York', 'unknown' from unnest(%s::text[]) phone""",
            [shop.id, [stopped, unread]],
        )
        hear(shop, body="STOP", phone=stopped)
        hear(shop, body=WORDS, phone=unread)
    hear(shop, body="Yes", phone=unread)
    shop.sql(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s",
        shop.now() - timedelta(days=100),
    )
    for row in shop.sql("select id from customers"):
        shop.queue_row(shop.send_log(row["id"]), row["id"])
    assert sorted(shop.run()) == ["Cancelled", "Held"]


@pytest.mark.parametrize("nothing", ["", "n/a"])
def test_those_without_a_number_are_not_one_person(shop: Shop, nothing: str) -> None:
    """One opts out; another gets a number later, and so does she."""
    left, other, new = (shop.customer(phone=nothing) for _ in range(3))
    shop.sql(
        "update customers set sms_consent_status = 'opted_out' where id = %s", left
    )
    hear(shop, body="STOP", phone=nothing)
    texts = []
    for nth, customer in enumerate((left, other, new)):
        shop.sql(
            "update customers set phone = %s, sms_consent_status = 'opted_in' where id = %s",
            f"+121255501{nth:02}",
            customer,
        )
        texts.append(shop.queue_row(shop.send_log(customer), customer))
    shop.run()
    assert shop.ends(*texts) == "cancelled completed completed"


# In which words the application says it


CONSENTS: Final[dict[str | None, tuple[str, str | None]]] = {
    "opted_in": ("completed", None),
    " Opted_In ": ("completed", None),
    "OPTED_IN": ("completed", None),
    "opted_out": ("cancelled", "opted_out"),
    "OPTED_OUT": ("cancelled", "opted_out"),
    "unknown": ("cancelled", "not_consented"),
    None: ("cancelled", "not_consented"),
    **dict.fromkeys(
        ("opted-in", "subscribed", "yes", "true", "granted", "consented", ""),
        ("pending", "consent_unclear"),
    ),
}


def test_consent_in_words_that_we_do_not_know_is_no_opt_out(shop: Shop) -> None:
    """It holds the text until somebody writes it as we know it; then the text is decided anew at once."""
    constraint = shop.value(
        """select conname from pg_constraint where conrelid = 'customers'::regclass and contype = 'c'
           and pg_get_constraintdef(oid) like '%%sms_consent_status%%'"""
    )
    rule = shop.value(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = %s",
        constraint,
    )
    with shop.changed(
        f"""alter table customers drop constraint {constraint};
            alter table customers alter sms_consent_status drop not null""",
        f"""truncate customers cascade;
            alter table customers add constraint {constraint} {rule};
            alter table customers alter sms_consent_status set not null""",
    ):
        texts = {
            consent: shop.due_text(phone=f"+1212555{nth:04}", consent=consent)
            for nth, consent in enumerate(CONSENTS)
        }
        shop.run()
        assert {
            consent: shop.end_of(text) for consent, text in texts.items()
        } == CONSENTS
        shop.sql(
            "update customers set sms_consent_status = 'opted_in' where sms_consent_status = 'subscribed'"
        )
        assert shop.run() == ["Sent"]
        assert shop.status_of(texts["subscribed"]) == "completed"


def test_a_stop_to_another_sender_answers_no_words_of_a_number_that_nobody_has(
    shop: Shop,
) -> None:
    """They wait for the business that gets to know the number, whose sender they came to."""
    account, service, number = "AC" + "1" * 32, "MG" + "1" * 32, "+12125550190"
    sends_from(shop, account, number)
    sends_from(shop.neighbor(), account, service)
    hear(shop, body=WORDS, to=number)
    hear(shop, "STOP", service=service)
    shop.sql("delete from smsretry.business_senders where business_id = %s", shop.id)
    shop.sql(
        "update smsretry.senders set named_at = smsretry.clock() where sent_by = %s",
        number,
    )
    shop.due_text()
    assert shop.run() == ["Held"]


def test_words_to_one_sender_wait_though_the_other_has_heard_a_stop(shop: Shop) -> None:
    """A START to the one that heard it says nothing of them."""
    account, service, number = "AC" + "1" * 32, "MG" + "1" * 32, "+12125550190"
    sends_from(shop, account, service, message_class="marketing")
    sends_from(shop, account, number, message_class="transactional")
    shop.customer()
    hear(shop, "STOP", service=service)
    hear(shop, body=WORDS, to=number)
    shop.later(minutes=1)
    hear(shop, "START", service=service)
    shop.sql("delete from smsretry.business_senders")  # so that the stack can send
    shop.due_text()
    assert shop.run() == ["Held"]
