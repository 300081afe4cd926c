"""The change-over from the application's own processor, which claims, sends and begins nothing; and what the
application deletes under a worker's hands.
"""

import json

from smsretry.local.twilio.faults import ListError
from smsretry.retry.before import LIFE
from tests.integration.hearing import hear
from tests.support.builders import BODY, PHONE, sent_by_hand
from tests.support.shop import Shop

CLAIM = "select * from claim_due_sms_retries(limit_count => 50)"


def test_what_is_deleted_between_claim_and_begin_ends_the_row_with_that_reason(
    shop: Shop,
) -> None:
    """It is not sent, and nobody is said to have opted out who was only deleted."""
    for table, reason in (
        ("customers", "Customer not found"),
        ("send_logs", "Send log not found"),
    ):
        row = shop.due_text()
        claim = shop.claim()
        shop.sql(f"delete from {table}")
        assert shop.process(claim).fate == "GivenBack"
        assert shop.run() == ["Failed"]
        assert shop.fields(row, "status last_error") == ("failed", reason)
    assert not shop.messages


def test_what_it_held_when_it_died_may_have_been_sent(shop: Shop) -> None:
    """It is in doubt, and the look finds what the application had sent. Without a number nothing can have gone out."""
    row, numberless = (
        shop.due_text(),
        [shop.due_text(phone=phone) for phone in (None, " ")],
    )
    [sent, *_] = (claim for claim in shop.sql(CLAIM) if claim["id"] == row)
    sent_by_hand(shop.provider, sent["phone"], sent["body"])
    shop.later(minutes=11)
    assert set(shop.recover()) == {row, *numberless}
    assert [
        shop.row(each)["in_doubt_since"] is not None for each in (row, *numberless)
    ] == [True, False, False]
    shop.later(minutes=1)
    assert sorted(shop.run()) == ["Failed", "Failed", "Sent"]
    assert len(shop.messages) == 1


def test_what_it_held_when_it_died_is_of_use_for_as_long_as_every_text(
    shop: Shop,
) -> None:
    """From its claim on. Then it ends, whether the list cannot be had or shows a message that only may be it."""
    held = shop.due_text(phone="+12125550124")
    row = shop.due_text()
    shop.sql(CLAIM)
    sent_by_hand(shop.provider, "+12125550124", "Something that somebody sent by hand")
    shop.twilio.fail(ListError(), to=PHONE, times=None)
    shop.later(minutes=11)
    shop.recover()
    [attempt] = shop.attempts_of(row)
    assert shop.row(row)["expires_at"] == attempt["begun_at"] + LIFE
    shop.later(minutes=1)
    assert sorted(shop.run()) == ["Held", "InDoubt"]
    shop.later(hours=48)
    assert shop.run() == ["Failed", "Failed"]
    assert "list of messages cannot be read" in shop.row(row)["last_error"]
    assert shop.status_of(held) == "failed"


def test_what_the_application_recovers_itself_has_an_end_from_its_first_look_on(
    shop: Shop,
) -> None:
    """Its call says nothing of a text's life."""
    row = shop.due_text()
    shop.sql(CLAIM)
    shop.later(minutes=11)
    shop.sql("select * from recover_stuck_sms_retries()")
    assert shop.row(row)["expires_at"] is None
    shop.twilio.fail(ListError(), times=None)
    assert shop.run() == ["InDoubt"]
    assert shop.row(row)["expires_at"] - shop.row(row)["updated_at"] == LIFE


def test_what_the_application_sent_to_a_number_in_another_spelling_is_found(
    shop: Shop,
) -> None:
    """It sends to whatever is stored; the provider lists the number as it is."""
    row = shop.due_text(phone="+4407700900123", timezone="Europe/London")
    shop.sql(CLAIM)
    sent_by_hand(shop.provider, "+4407700900123", BODY)
    shop.later(minutes=11)
    shop.run()
    shop.later(minutes=1)
    shop.run()
    assert (shop.status_of(row), len(shop.messages)) == ("completed", 1)


def test_it_is_not_given_a_next_try_of_a_text_that_was_sent(shop: Shop) -> None:
    """It begins nothing, so nothing else would keep it from a second message. The row ends as a begin ends it."""
    said, named, other = shop.due_text(), shop.due_text(), shop.due_text()
    shop.sql(
        "update send_logs set status = 'sent' where id = %s",
        shop.row(said)["send_log_id"],
    )
    sid = json.dumps({"twilio_sid": "SM1"})
    shop.sql(
        "update send_logs set provider_message_id = %s where id = %s",
        sid,
        shop.row(named)["send_log_id"],
    )
    assert [claim["id"] for claim in shop.sql(CLAIM)] == [other]
    assert shop.end_of(said) == shop.end_of(named) == ("cancelled", "already_sent")


def test_it_is_given_no_text_that_a_begin_would_refuse(shop: Shop) -> None:
    """Words that nobody has read hold it, and it goes on when a person has read them. What has ended has ended here."""
    stopped, held, other = (
        shop.due_text(phone=f"+1212555012{digit}") for digit in range(3)
    )
    hear(shop, "STOP", phone="+12125550120")
    shop.sql("update customers set sms_consent_status = 'opted_in'")  # a restore
    hear(shop, body="I no longer wish to receive these", phone="+12125550121")
    assert [claim["id"] for claim in shop.sql(CLAIM)] == [other]
    assert shop.end_of(stopped) == ("cancelled", "opted_out")
    assert shop.end_of(held) == ("pending", "words_unread")
    assert shop.sql(CLAIM) == []
    customer = shop.row(held)["customer_id"]
    shop.sql(
        """select record_sms_consent(null, 'unchanged', 'text', customer_id => %s, who => 'Ann',
                                     because => 'I read it')""",
        customer,
    )
    assert [claim["id"] for claim in shop.sql(CLAIM)] == [held]


def test_a_held_text_that_its_processor_claims_can_be_queued_again(shop: Shop) -> None:
    """What the hold left in the row must not refuse the insert of its next try, or the processor gives the text up."""
    row = shop.due_text()
    shop.sql("update businesses set sms_hours = '18:00-09:00'")
    assert shop.run() == ["Held"]
    shop.later(minutes=16)
    [held_record] = shop.sql(CLAIM)
    shop.queue_row(held_record["send_log_id"], held_record["customer_id"], attempts=1)
    assert shop.status_of(row) == "failed"


def test_it_gets_no_text_of_a_business_that_a_person_stopped(shop: Shop) -> None:
    """A neighbor's goes on. Once the stop is lifted, it gets them again."""
    row, neighbor = shop.due_text(), shop.neighbor()
    theirs = neighbor.due_text()
    stop = "select set_sms_stop('business_stopped', %s, 'A lawsuit', 'ann', %s)"
    shop.sql(stop, str(shop.id), False)
    assert [claim["id"] for claim in shop.sql(CLAIM)] == [theirs]
    shop.sql(stop, str(shop.id), True)
    assert [claim["id"] for claim in shop.sql(CLAIM)] == [row]
