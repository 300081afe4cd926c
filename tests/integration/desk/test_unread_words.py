"""What may mean stop and nobody has read: marketing texts wait for whoever reads it."""

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
from tests.integration.story import Story
from tests.support.builders import PHONE
from tests.support.shop import Shop

Said = Literal["opted_out", "opted_in", "unchanged"]
REVOKED = (
    "I revoke my consent",
    "do not contact me ever again",
    "I no longer wish to receive these",
    "please, no further messages from you",
)


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


STORIES = {
    **{
        f"whoever says what the words mean ends the wait at once: {step}": f"""
            text
            they write I revoke my consent
            run: Held
            it.status why_code: pending, words_unread
            select business_id = {{business}} from unread_sms_words(): True
            {step}
            run
            it.status why_code: {end}
            select count(*) from unread_sms_words(): 0"""
        for step, end in {
            "a person records unchanged by text": "completed, None",
            "a person records opted_in by text": "completed, None",
            "a person records opted_out by text": "cancelled, opted_out",
            "they write START": "completed, None",
            "they write STOP": "cancelled, opted_out",
        }.items()
    },
    "marketing texts end by expiry, and transactional ones go out": """
        text
        text asked phone=+12125550123
        sql update sms_retry_queue set message_class = 'transactional' where id = {asked}
        they write I revoke my consent: unsure
        they write do not contact me ever again: unsure
        they write I no longer wish to receive these: unsure
        they write please, no further messages from you: unsure
        run: Held, Sent
        3 days
        run: Cancelled
        it.status why_code: cancelled, expired""",
    "a text that came after the answer is read again": """
        text due=5
        they write I revoke my consent
        a person records unchanged by text
        they write do not contact me ever again
        6 minutes
        run: Held""",
    "a suspect that was held for words goes out once they are answered, as soon as any other text": """
        text
        sql update sms_retry_queue set recover_count = 2
        they write I revoke my consent
        run: Held
        a person records unchanged by text
        run: Sent""",
    "each text of a preview has its own refusal, in whatever order they are due": """
        text out phone=+12125550190 consent=opted_out
        text
        text fine phone=+12125550191
        they write I revoke my consent
        select json_object_agg(t ->> 'id', t ->> 'refused_code')::jsonb = jsonb_build_object({out}, 'opted_out', \
            {it}, 'words_unread', {fine}, null) from preview_sms_retries(smsretry.clock()) t: True""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_may_mean_stop(shop: Shop, story: str) -> None:
    """One a day or more, and each waits."""
    Story(shop).tell(STORIES[story])


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
