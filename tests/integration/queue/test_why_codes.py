"""Why a text waits or has ended, in a word for programs: kept with the row, whatever the sentence says."""

from datetime import timedelta

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import Cancel
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.orders import ordered, record_consent
from tests.support.shop import Shop

DAY = timedelta(days=1)


def test_what_a_worker_decides_is_kept_and_shown_as_a_word(shop: Shop) -> None:
    """With the row and in the run's result alike, beside the provider's own code. What went out has none."""
    rows = {
        shop.due_text(phone="+12125550101"): ("completed", None),
        shop.due_text(phone="+12125550102", consent="unknown"): (
            "cancelled",
            "opted_out",
        ),
        shop.due_text(phone=None): ("failed", "no_phone"),
        shop.due_text(phone="+12125550103", timezone="Pacific/Auckland"): (
            "pending",
            "quiet_hours",
        ),
        shop.due_text(phone="+881612345678", timezone=None): (
            "pending",
            "no_time_zone",
        ),
    }
    codes = {}
    for n, (attempts, code, kept) in enumerate(
        (
            (0, 30003, ("pending", "refused_for_now")),
            (2, 30003, ("failed", "attempts_used_up")),
            (0, 21211, ("failed", "refused")),
            (0, 21610, ("failed", "opted_out")),
        )
    ):
        row = shop.due_text(phone=f"+1212555020{n}", attempts=attempts)
        shop.twilio.fail(JsonError(code, http_status=400), to=f"+1212555020{n}")
        rows[row], codes[row] = kept, code
    told = {row: result.why_code for row, result in shop.results().items()}
    assert {row: shop.end_of(row) for row in rows} == rows
    assert told == {row: code for row, (_, code) in rows.items()}
    assert {row: shop.row(row)["error_code"] for row in codes} == codes


def test_what_the_account_is_refused_for_is_kept_in_a_word(shop: Shop) -> None:
    """It concerns everybody who texts from there."""
    for code, kept in ((20429, "rate_limited"), (20003, "account_refused")):
        row = shop.due_text()
        shop.twilio.fail(JsonError(code, http_status=429 if code == 20429 else 400))
        shop.run()
        assert (shop.end_of(row), shop.row(row)["error_code"]) == (
            ("pending", kept),
            code,
        )
        shop.sql("update sms_retry_queue set status = 'cancelled', held_since = null")
        shop.later(hours=1)


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
    record_consent(
        operators,
        "+12125550102",
        consent="opted_out",
        source="telephone",
        business_id=shop.id,
    )
    shop.sql(
        "update scheduled_sends set status = 'cancelled' where id = %s", by_application
    )
    told = {
        send.scheduled_id: (send.result, send.why_code)
        for send in queue_scheduled_sends(shop.queue).sends
    }
    assert {one: told[one] for one in (late, empty)} == {
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
