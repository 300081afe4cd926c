"""A business that a person has stopped."""

from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import StopTexts
from tests.integration.story import Story
from tests.support.shop import Shop

STORIES = {
    "a business that a person stops waits until one lifts it; a neighbor goes on, and customers are heard": """
        an accepted text
        text first
        text second phone=+12125550177
        neighbor's text theirs
        sql select set_sms_stop('business_stopped', {business}, 'It has not paid', 'ann')
        run: Held, Held, Sent
        second.status why_code: pending, business_stopped
        second is told: ...It has not paid...
        they write STOP: opted_out
        15 minutes
        run: Held       # it is tried by no text
        sql select set_sms_stop('business_stopped', {business}, 'It has paid', 'ann', true)
        run: Sent
        first.status why_code: cancelled, opted_out
        messages: 3
        second tells business / stop / its business: ...It has not paid...It has paid...""",
    "texts to a state go with the next run once its stop is lifted, and what waits for something else waits on": """
        text
        text second phone=+12125550177
        text later due=60
        sql select set_sms_stop('state', 'NY', 'A storm', 'ann')
        run: Held, Held
        sql alter table sms_retry_queue add constraint theirs \
            check (scheduled_for > created_at + interval '5 minutes') not valid
        sql select set_sms_stop('state', 'NY', null, 'ann', true)
        select count(*) from smsretry.stops: 0      # a rule of the application's about its rows keeps none
        run:
        sql alter table sms_retry_queue drop constraint theirs
        sql select set_sms_stop('state', 'NY', null, 'ann', true)
        run: Sent, Sent
        it.status: completed
        second.status: completed
        later.status: pending""",
}


@pytest.mark.parametrize("story", STORIES)
def test_what_a_person_has_stopped(shop: Shop, story: str) -> None:
    """The story names who stopped it, and why."""
    Story(shop).tell(STORIES[story])


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
