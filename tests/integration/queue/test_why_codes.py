"""Why a text waits or has ended, in a word for programs: kept with the row, whatever the sentence says."""

from datetime import timedelta

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Cancel
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.orders import ordered
from tests.support.shop import Shop

DAY = timedelta(days=1)


def test_what_people_and_the_application_end_says_who(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """A text, a scheduled send, the text of one; and a scheduled send that becomes no text."""
    cancelled, opted_out = (
        shop.due_text(phone="+12125550101"),
        shop.due_text(phone="+12125550102"),
    )
    by_person, by_application, queued = (
        shop.scheduled(phone=f"+1212555020{n}") for n in (1, 2, 3)
    )
    late, empty = shop.scheduled(due=-3 * DAY), shop.scheduled(body=None)
    ordered(
        operators,
        Cancel(
            retry_ids=[cancelled, by_person],
            dry_run=False,
            who="Ann",
            because="A mistake",
        ),
    )
    shop.record_consent("opted_out", phone="+12125550102")
    shop.sql(
        "update scheduled_sends set status = 'cancelled' where id = %s", by_application
    )
    codes = {
        send.scheduled_id: (send.result, send.why_code)
        for send in queue_scheduled_sends(shop.queue).sends
    }
    assert {one: codes[one] for one in (late, empty)} == {
        late: ("cancelled", "expired"),
        empty: ("failed", "no_body"),
    }
    shop.sql("update scheduled_sends set status = 'cancelled' where id = %s", queued)
    assert shop.end_of(cancelled) == ("cancelled", "operator")
    assert shop.end_of(opted_out) == ("cancelled", "opted_out")
    assert shop.text_of(queued)["why_code"] == "application"
    ends = {
        by_person: "operator",
        by_application: "application",
        late: "expired",
        empty: "no_body",
    }
    assert {one: shop.scheduled_send(one)["why_code"] for one in ends} == ends
