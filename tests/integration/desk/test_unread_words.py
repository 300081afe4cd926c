"""What may mean stop and nobody has read: marketing texts wait for whoever reads it."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ListUnreadWords, RecordConsent
from smsretry.desk.pages.runs import of_texts
from smsretry.desk.questions.unread import UnreadMessages
from smsretry.sending.summary import RunSummary
from tests.integration.hearing import answer, consents_of, hear
from tests.support.builders import PHONE
from tests.support.shop import Shop

Said = Literal["opted_out", "opted_in", "unchanged"]
REVOKED = (
    "I revoke my consent",
    "do not contact me ever again",
    "I no longer wish to receive these",
    "please, no further messages from you",
)
DENTIST, BARBER = "+12125550101", "+12125550102"
TRANSACTIONAL = (
    "update sms_retry_queue set message_class = 'transactional' where id = %s"
)
WAITS = ("pending", "words_unread")


def list_words(desk: Desk) -> UnreadMessages:
    """The list as a person asks for it."""
    unread = desk.answer(ListUnreadWords())
    assert isinstance(unread, UnreadMessages)
    return unread


def record(desk: Desk, said: Said, customer_id: UUID) -> None:
    """A person has read it, and records what it means."""
    desk.answer(
        RecordConsent(
            customer_id=str(customer_id),
            consent=said,
            source="text",
            who="Ann",
            because="I read it",
        )
    )


def test_no_marketing_text_goes_to_someone_whose_no_is_unread(shop: Shop) -> None:
    """One a day for a week; they end by expiry, and transactional ones go out."""
    shop.customer()
    for words in REVOKED:
        assert hear(shop, body=words)[0] == "unsure"
    for _ in range(7):
        shop.due_text()
        shop.sql(TRANSACTIONAL, shop.due_text())
        shop.run()
        shop.later(days=1)
    assert len(shop.messages) == 7
    codes = shop.sql(
        """select distinct status, why_code
           from sms_retry_queue
           where message_class = 'marketing' and created_at < smsretry.clock() - interval '4 days'"""
    )
    assert [tuple(row.values()) for row in codes] == [("cancelled", "expired")]


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("unchanged", ("completed", None)),
        ("opted_in", ("completed", None)),
        ("opted_out", ("cancelled", "opted_out")),
        ("START", ("completed", None)),
        ("STOP", ("cancelled", "opted_out")),
    ],
)
def test_whoever_says_what_the_words_mean_ends_the_wait_at_once(
    shop: Shop, desk: Desk, said: Said, end: tuple[str, str | None]
) -> None:
    """A person by the list's remedy, or the customer by a word. The next run sends, or nothing is left to send."""
    text = shop.due_text()
    hear(shop, body=REVOKED[0])
    assert shop.run() == ["Held"]
    assert shop.end_of(text) == WAITS
    [words] = list_words(desk).words
    assert words.business_id == shop.id
    if said in ("START", "STOP"):
        hear(shop, body=said)
    else:
        record(desk, said, words.customer_id)
    shop.run()
    assert shop.end_of(text) == end
    assert list_words(desk).words == ()


def test_a_text_that_came_after_the_answer_is_read_again(
    shop: Shop, desk: Desk
) -> None:
    """What was said of the first words says nothing of the next."""
    text = shop.due_text(due=timedelta(minutes=5))
    customer = shop.row(text)["customer_id"]
    hear(shop, body=REVOKED[0])
    record(desk, "unchanged", customer)
    hear(shop, body=REVOKED[1])
    shop.later(minutes=6)
    assert shop.run() == ["Held"]


def test_the_list_names_the_oldest_first_and_shows_no_number(
    shop: Shop, desk: Desk, operators: SupabaseOperators
) -> None:
    """Whose it is, since when, the message's SID, and a command that records the safe answer as it stands."""
    sids = ["SM" + letter * 32 for letter in "cba"]
    for nth, sid in enumerate(sids):
        phone = f"+1212555012{nth}"
        shop.customer(phone=phone)
        answer(shop, body=REVOKED[0], sid=sid, phone=phone)
        shop.later(hours=1)
    unread = list_words(desk)
    assert [words.twilio_sid for words in unread.words] == sids
    page = "\n".join(unread.lines())
    assert "+1212" not in page
    for words in unread.words:
        assert f"consent {words.customer_id} --said opted_out" in page
    words_unread = operators.status().unread
    assert words_unread
    assert words_unread.customers == 3


def test_what_is_unread_for_three_days_is_an_alarm(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """The monitor fails, the status says so, and each run has an event for an automation."""
    shop.customer()
    shop.run()
    hear(shop, body=REVOKED[0])

    def check() -> str:
        return str(shop.value("select check_sms_retries(max_minutes => 10000)"))

    shop.later(days=2, hours=23)
    assert check().startswith("ok")
    shop.later(hours=2)
    with pytest.raises(
        Exception, match="people who wrote what may mean stop, unread: 1"
    ):
        check()
    status = operators.status()
    assert [late.name for late in status.late] == ["run", "words"]
    [event] = of_texts(RunSummary.of(results=[]), [], status=status).events
    assert (event.name, event.payload) == ("sms.queue.words-unread", {"people": 1})


def test_each_text_of_a_preview_has_its_own_refusal(shop: Shop) -> None:
    """In whatever order they are due."""
    shop.due_text(phone="+12125550190", consent="opted_out")
    shop.due_text()
    shop.due_text(phone="+12125550191")
    hear(shop, body=REVOKED[0])
    lines = shop.sql(
        """select t ->> 'phone' as phone, t ->> 'refused_code' as code
           from preview_sms_retries(smsretry.clock()) t"""
    )
    assert {line["phone"]: line["code"] for line in lines} == {
        "+12125550190": "opted_out",
        PHONE: "words_unread",
        "+12125550191": None,
    }


def test_the_number_is_kept_only_until_somebody_has_read_it(
    shop: Shop, desk: Desk
) -> None:
    """Nobody else's is kept. The words still hold for whoever gets the number later, who finds them in the list."""
    customer = shop.customer()
    hear(shop, body=REVOKED[0])
    hear(shop, body=REVOKED[0], phone="+12125550124")  # known nowhere
    kept = "select phone from smsretry.consents where phone is not null"
    assert [row["phone"] for row in shop.sql(kept)] == [PHONE]
    record(desk, "unchanged", customer)
    assert shop.sql(kept) == []
    assert consents_of(shop) == [("opted_in", None)]


def test_a_suspect_that_was_held_for_words_goes_out_once_they_are_answered(
    shop: Shop, desk: Desk
) -> None:
    """Its workers died twice, so that it is claimed alone; it waits no longer than any other text."""
    text = shop.due_text()
    shop.sql("update sms_retry_queue set recover_count = 2")
    hear(shop, body=REVOKED[0])
    assert shop.run() == ["Held"]
    record(desk, "unchanged", shop.row(text)["customer_id"])
    assert shop.run() == ["Sent"]
