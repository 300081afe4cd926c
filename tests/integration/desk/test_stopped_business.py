"""A business that a person has stopped."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import ExplainText, StopTexts
from tests.integration.hearing import hear
from tests.support.builders import PHONE
from tests.support.shop import Shop


def test_a_business_that_a_person_stops_waits_until_a_person_lifts_it(
    shop: Shop, desk: Desk
) -> None:
    """A neighbor's texts go on, and what customers say is heard. The story names who stopped it, and why."""
    shop.due_text()
    shop.run()
    waiting = shop.due_text(), shop.due_text(phone="+12125550177")
    shop.neighbor().due_text()
    stop = {"business_id": shop.id, "who": "ann"}
    desk.answer(StopTexts(because="It has not paid", **stop))
    assert Counter(shop.run()) == {"Held": 2, "Sent": 1}
    [story] = desk.explain(ExplainText(id=waiting[1]))
    assert (story.text.state, story.text.why_code) == ("held", "business_stopped")
    assert "by ann" in " ".join(story.happened)
    assert "It has not paid" in story.headline
    assert "It has not paid" in "\n".join(desk.status().lines())
    assert hear(shop, body="STOP")[0] == "opted_out"
    shop.later(minutes=15)
    assert shop.run() == ["Held"], "it is tried by no text"
    desk.answer(StopTexts(because="It has paid", lift=True, **stop))
    assert shop.run() == ["Sent"]
    assert shop.end_of(waiting[0]) == ("cancelled", "opted_out")
    assert [message.to for message in shop.messages].count(PHONE) == 2
    [story] = desk.explain(ExplainText(id=waiting[1]))
    assert "It has paid" in " ".join(story.happened)


def test_a_business_is_stopped_by_a_person_who_says_why(shop: Shop) -> None:
    """In SQL, too; and only one that there is."""
    order = "select set_sms_stop('business_stopped', %s, %s, %s)"
    for wrong in ((UUID(int=5), "Why", "ann"), (shop.id, "Why", None)):
        with pytest.raises(psycopg.Error) as refusal:
            shop.sql(order, str(wrong[0]), *wrong[1:])
        assert refusal.value.sqlstate == "SR422"
    assert shop.sql("select from smsretry.stops") == []
    shop.sql(order, str(shop.id), "Why", "ann")
    shop.sql("delete from businesses where id = %s", shop.id)
    lift = "select set_sms_stop('business_stopped', %s, 'Gone', 'ann', true)"
    shop.sql(lift, str(shop.id))
    assert shop.sql("select from smsretry.stops") == []


def test_texts_to_a_state_go_with_the_next_run_once_its_stop_is_lifted(
    shop: Shop, desk: Desk
) -> None:
    """A text that waits for something else waits on. A rule of the application's about its rows keeps no stop."""
    waiting = shop.due_text(), shop.due_text(phone="+12125550177")
    later = shop.due_text(due=timedelta(hours=1))
    storm = {"state": "NY", "who": "ann", "because": "A storm"}
    desk.answer(StopTexts(**storm))
    assert shop.run() == ["Held", "Held"]
    shop.sql(
        """alter table sms_retry_queue add constraint theirs
           check (scheduled_for > created_at + interval '5 minutes') not valid"""
    )
    desk.answer(StopTexts(lift=True, **storm))
    assert shop.sql("select from smsretry.stops") == []
    assert shop.run() == []
    shop.sql("alter table sms_retry_queue drop constraint theirs")
    desk.answer(StopTexts(lift=True, **storm))
    assert shop.run() == ["Sent", "Sent"]
    assert {shop.status_of(row) for row in waiting} == {"completed"}
    assert shop.status_of(later) == "pending"


def test_a_stopped_business_s_transactional_texts_wait_too(
    shop: Shop, desk: Desk
) -> None:
    """The status shows the stop, also while nothing waits for it."""
    desk.answer(StopTexts(business_id=shop.id, who="ann", because="It has not paid"))
    [stop] = desk.status().stops
    assert "It has not paid" in stop.model_dump_json()
    assert "It has not paid" in "\n".join(desk.status().lines())
    row = shop.due_text()
    shop.sql("update sms_retry_queue set message_class = 'transactional'")
    assert shop.run() == ["Held"]
    assert shop.end_of(row) == ("pending", "business_stopped")
