"""Which hours a text has: by its class and by its business's own hours."""

from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest

from smsretry import queue_sms_retry, send_sms
from smsretry.vocabulary import MessageClass
from tests.integration.story import Story
from tests.support.records import columns
from tests.support.shop import Shop

FLORIDA = "+13055550123"
SPREAD = timedelta(minutes=10)


def new_york(clock: str) -> datetime:
    """An instant of January 2027, by New York's clock: `12 20:30` is a Tuesday evening."""
    day, time = clock.split()
    return datetime.fromisoformat(f"2027-01-{day}T{time}-05:00")


def set_hours(shop: Shop, hours: str) -> None:
    """Somebody writes the business's own hours into its row."""
    shop.sql("update businesses set sms_hours = %s where id = %s", hours, shop.id)


def queued(shop: Shop, message_class: MessageClass, **customer: Any) -> UUID:
    """A due text of that class; returns its row's id."""
    log = shop.send_log(shop.customer(**customer))
    answer = queue_sms_retry(
        log, None, 0, shop.now(), queue=shop.queue, message_class=message_class
    )
    assert answer.retry_id is not None
    return answer.retry_id


def test_in_florida_at_half_past_eight_what_was_asked_for_goes_and_marketing_waits_for_the_morning(
    shop: Shop,
) -> None:
    """Florida closes at eight in the evening; the federal window, which binds both, at nine. So with a first send."""
    shop.at(new_york("12 20:30"))
    rows = {
        (kind, "queued"): queued(shop, kind, phone=FLORIDA)
        for kind in get_args(MessageClass)
    }
    for kind in get_args(MessageClass):
        log = shop.send_log(shop.customer(phone=FLORIDA))
        first_result = send_sms(
            log, queue=shop.queue, provider=shop.provider, message_class=kind
        )
        rows[kind, "first send"] = first_result.retry_id
    shop.run()
    assert len(shop.messages) == 2
    for (kind, _), row in rows.items():
        record = shop.row(row)
        if kind == "transactional":
            assert record["status"] == "completed"
            [attempt] = shop.attempts_of(row)
            assert (
                attempt["quiet_hours_rule"]
                == "08:00–21:00 in America/New_York, area code 305"
            )
        else:
            assert columns(record, "status", "reason", "attempt_count") == (
                "pending",
                "quiet_hours",
                0,
            )
            assert (
                new_york("13 08:00")
                <= record["scheduled_for"]
                < new_york("13 08:00") + SPREAD
            )
    shop.at(new_york("12 20:59"))  # Twilio's own queue might hold it past nine
    late = queued(shop, "transactional", phone=FLORIDA)
    assert shop.run() == ["Deferred"]
    assert shop.row(late)["scheduled_for"] >= new_york("13 08:00")


STORIES = {
    "a business's own hours narrow the window on the customer's clock, for what was asked for, too": """
        text
        sql update sms_retry_queue set message_class = 'transactional'
        text western timezone=America/Los_Angeles
        neighbor's text theirs
        sql update businesses set sms_hours = 'Fri 10:00-18:00' where id = {business}
        run: Deferred, Deferred, Sent
        theirs.status: completed
        select scheduled_for between '2027-01-15 10:00-05' and '2027-01-15 10:10-05' from sms_retry_queue \
            where id = {it}: True
        select scheduled_for between '2027-01-15 13:00-05' and '2027-01-15 13:10-05' from sms_retry_queue \
            where id = {western}: True
        it.why: ...own)...
        western.why: ...own)...
        4211 minutes
        run: Sent
        3 hours
        run: Sent
        western.status: completed""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_own_hours(shop: Shop, story: str) -> None:
    """Waiting for them costs no life, however long it takes."""
    Story(shop).tell(STORIES[story])


def test_hours_that_are_none_are_refused_where_they_are_written(shop: Shop) -> None:
    """Where a person sees it; nothing of the business changes."""
    set_hours(shop, office := "Mon-Fri 09:00-18:00, Sat 10:00-16:00")
    for hours in (
        "9-5", "25:00-26:00", ", 09:00-18:00", "", " ", "Mon-Fri", "Monday 09:00-18:00", "mon 09:00-18:00",
        "09:00–18:00", "09:60-18:00", "09:00-18:00; Sat 10:00-16:00", "09:00-18:00,", "09:00-18:00\nMon 10:00-11:00",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.CheckViolation, match="businesses_sms_hours"):
            set_hours(shop, hours)
    assert shop.value("select sms_hours from businesses") == office
