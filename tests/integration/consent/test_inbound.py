"""Somebody texts STOP, START, HELP or words of their own: what it does to consent, wherever the number is known."""

from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ExplainText
from smsretry.errors import InputError
from tests.integration.hearing import answer, consents, hear, is_out
from tests.integration.story import Story
from tests.support.builders import PHONE
from tests.support.orders import record_consent
from tests.support.shop import Shop

SID = "SM" + "f" * 32


def unread(operators: SupabaseOperators) -> int:
    """How many wrote something that somebody has to read."""
    words = operators.status().unread
    return words.customers if words else 0


STORIES = {
    "a stop ends consent at every business that shares the sender, cancels what waits, and is kept once": """
        sql insert into businesses (user_id, name) values (gen_random_uuid(), 'Third')
        sql insert into customers (business_id, phone, sms_consent_status) \
            select id, '+12125550123', 'opted_out' from businesses where name = 'Third'
        text
        neighbor's text theirs due=60
        text others phone=+12125550124
        1 minute
        they write STOP: opted_out
        consents: (opted_in, None), (opted_out, inbound_stop), (opted_out, inbound_stop), (opted_out, None)
        it.status: cancelled
        theirs.status: cancelled
        others.status: pending
        select count(*) from smsretry.consents where source = 'inbound_stop' and customer_id is null: 4
        select count(distinct coalesce(business_id::text, '')) from smsretry.consents \
            where source = 'inbound_stop' and customer_id is null: 4""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_a_stop(shop: Shop, story: str) -> None:
    """Twilio blocks the number for all of them."""
    Story(shop).tell(STORIES[story])


WORDS: Final[list[tuple[str | None, str | None, str]]] = [
    (None, " Stop\n", "opted_out"),
    ("", "UNSUBSCRIBE", "opted_out"),
    (None, "unstop", "opted_in"),
    (None, "STOP PLEASE", "opted_out"),
    (None, "st\u200bop 🙏", "opted_out"),
    (None, "help", "nothing"),
    ("HELP", "help", "nothing"),
    ("HELP", "stop", "opted_out"),
    ("help", "help me stop these texts", "unsure"),
    ("HELP", "start", "nothing"),
    ("HELP", "yes", "nothing"),
    (None, "yes please", "nothing"),
    (None, "See you at nine", "nothing"),
    ("SOMETHING NEW", "?", "nothing"),
    ("SOMETHING NEW", "opt out", "opted_out"),
    ("SOMETHING NEW", "start", "nothing"),
    ("STOP", "Começar", "opted_out"),
    ("START", "stop", "opted_in"),
    (None, None, "nothing"),
]


def test_twilio_says_what_it_is_and_without_that_the_body_does(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """Its keywords are what the account has set up, and HELP hides no STOP. What is plain needs nobody."""
    for opt_out_type, body, said in WORDS:
        shop.sql("delete from customers; delete from smsretry.consents")
        text = shop.due_text(due=timedelta(hours=1))
        assert hear(shop, opt_out_type, body)[0] == said, (opt_out_type, body)
        out = said == "opted_out"
        assert shop.status_of(text) == ("cancelled" if out else "pending")
        assert consents(shop)[0][0] == ("opted_out" if out else "opted_in")
        assert unread(operators) == (said == "unsure")


def test_a_number_that_was_read_wrongly_from_the_form_is_that_number(
    shop: Shop,
) -> None:
    """A plus sign is a space in a form; and a STOP by RCS counts for SMS, too. A short code is nobody, and no error:
    a webhook that answers with an error would be called again.
    """
    assert hear(shop, "STOP", phone="72975") == ("opted_out", 0, 0)
    for phone in (" 12125550123", "12125550123", "rcs:+12125550123"):
        shop.customer()
        assert hear(shop, "STOP", phone=phone) == ("opted_out", 1, 0)
        shop.sql("delete from customers; delete from smsretry.consents")


def test_an_old_stop_is_known_for_90_days_and_an_old_start_for_good(shop: Shop) -> None:
    """However short texts are kept: the signature of a webhook never expires, and no START undoes a later STOP."""
    start = "SM" + "e" * 32
    shop.customer()
    hear(shop, "STOP")
    hear(shop, "START", sid=start)
    for days, keep_days, kept in (
        (89, 7, True),
        (91, 7, False),
        (91, 90, False),
        (91, 100, True),
    ):
        hear(shop, "STOP", sid=SID)
        hear(shop, "START")
        shop.later(days=days)
        shop.prune(keep_days)
        assert hear(shop, "STOP", sid=SID)[0] == (
            "already_recorded" if kept else "opted_out"
        ), days
        shop.sql(
            "delete from smsretry.consents where twilio_sid is distinct from %s", start
        )
    hear(shop, "STOP")
    shop.later(days=3650)
    shop.prune()
    assert hear(shop, "START", sid=start)[0] == "already_recorded"
    assert consents(shop) == [("opted_out", "inbound_stop")]


def test_a_start_that_had_to_wait_gives_nothing_back_if_a_stop_came_meanwhile(
    shop: Shop,
) -> None:
    """Its word was kept before it waited for the customer's lock, so the STOP follows it."""
    shop.customer()
    hear(shop, "STOP")
    with shop.stack.connect() as starting, starting.transaction():
        starting.execute(
            "select from record_inbound_sms(%s, %s, body => 'START')",
            [PHONE, "SM" + "5" * 32],
        )
        with shop.stack.connect() as other_connection:
            other_connection.execute(
                "select from record_inbound_sms(%s, %s, body => 'STOP')", [PHONE, SID]
            )
    shop.run()
    assert consents(shop) == [("opted_out", "inbound_stop")]


def test_a_yes_in_a_conversation_lifts_nothing_that_was_said_in_words_and_a_start_does(
    shop: Shop,
) -> None:
    """Twilio has not blocked them, so it unblocks nobody; they may have been asked something else."""
    shop.customer()
    for type_, body, lifts in (
        (None, "Yes", False), (None, "Yes!", False), (None, "yes please", False), (None, "ok start", False),
        (None, "Start", True), ("START", "yes", True),
    ):  # fmt: skip
        hear(shop, body="please stop texting me")
        assert consents(shop) == [("opted_out", "inbound_words")]
        shop.later(minutes=1)
        hear(shop, type_, body)
        assert is_out(shop) is not lifts, body


# What only may mean stop


def test_what_may_mean_stop_changes_nothing_and_is_shown_until_a_person_looked_at_it(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """By its SID: its words are at Twilio, and kept nowhere here. It is never forgotten: an opt-out would be lost."""
    text, other = shop.due_text(), "+12125550124"
    shop.customer(phone=other)
    assert (
        answer(shop, body="I no longer wish to receive these", sid=SID)["answer"]
        == "unsure"
    )
    assert consents(shop) == [("opted_in", None)] * 2
    for _ in range(2):
        status = operators.status()
        assert any("may mean stop" in need.what for need in status.needs())
        assert [
            text_record.stop_sid
            for text_record in operators.texts(ExplainText(id=text))
        ] == [SID]
        shop.later(days=50)
        shop.prune()
    hear(shop, body="stop it?", phone=other)
    for phone, left in ((PHONE, 1), (other, 0)):
        shop.record_consent("unchanged", "text", phone=phone)
        assert unread(operators) == left
    assert [record.stop_sid for record in operators.texts(ExplainText(id=text))] == [
        None
    ]
    everywhere = partial(
        record_consent,
        operators,
        PHONE,
        consent="unchanged",
        source="text",
        business_id=None,
    )
    everywhere()  # also for who gets the number later
    with pytest.raises(InputError, match="No text of this number waits"):
        everywhere()
    shop.later(days=100)
    shop.prune()
    assert shop.sql("select from smsretry.consents where phone is not null") == []
    assert consents(shop) == [("opted_in", None)] * 2


def test_angry_words_that_follow_a_stop_are_nobodys_to_read(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """Nor are those of somebody whom nobody knows."""
    shop.customer()
    hear(shop, body="remove me please, all of you", phone="+12125550124")
    hear(shop, "STOP")
    assert hear(shop, body="I said STOP texting me or I will sue you!")[0] == "unsure"
    assert not unread(operators)
