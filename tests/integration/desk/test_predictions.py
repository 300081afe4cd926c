"""What the desk predicts of a text, against what the next runs do with it: each state of a text, on the real stack."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from smsretry.desk.actions.requests import Preview, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.builders import AT_ONCE
from tests.support.claims import next_due
from tests.support.shop import Shop

HOURS: Final = 26
"""How far ahead is looked: past the next opening."""
FEW_HOURS: Final = 3
WAITS: Final = ("held", "in a stopped state", "due in two days", "closed for days")
"""They wait however far ahead is looked, and many runs would be made meanwhile."""
BEYOND: Final = ("due in two days", "closed for days")
"""They go out, but later."""
MIAMI: Final = "+13055550123"
NEW_ORLEANS: Final = "+15045550123"


def run(shop: Shop) -> None:
    """A run of scheduled sends, and one of the queue."""
    queue_scheduled_sends(shop.queue)
    shop.run(AT_ONCE)


Make = Callable[[Shop], UUID]


def _with(change: str, *values: object, **text: object) -> Make:
    """A due text after somebody has changed something."""

    def make(shop: Shop) -> UUID:
        row = shop.due_text(**text)  # type: ignore[arg-type]
        shop.sql(f"update {change}", *values)
        return row

    return make


def _at_night(make: Make) -> Make:
    def at_night(shop: Shop) -> UUID:
        shop.later(hours=10)
        return make(shop)

    return at_night


def _suppressed(shop: Shop) -> UUID:
    gone = shop.customer(consent="opted_out")
    shop.sql("delete from customers where id = %s", gone)
    return shop.due_text()


def _capped(shop: Shop) -> UUID:
    for _ in range(3):
        shop.due_text(phone=MIAMI)
    run(shop)
    shop.later(hours=1)
    return shop.due_text(phone=MIAMI)


def _stopped_state(shop: Shop) -> UUID:
    shop.sql("select set_sms_state_stop('LA', 'A hurricane')")
    return shop.due_text(phone=NEW_ORLEANS, timezone="America/Chicago")


def _held_and_still_so(shop: Shop) -> UUID:
    row = _stopped_state(shop)
    run(shop)
    return row


def _held_and_mended(shop: Shop) -> UUID:
    row = _held_and_still_so(shop)
    shop.sql("select set_sms_state_stop('LA', null)")
    return row


def _stopped(make: Make) -> Make:
    def stopped(shop: Shop) -> UUID:
        shop.queue.set_stop("everybody", "", "Twilio is down")
        shop.stack.twilio.fail(JsonError(20500, http_status=500), times=None)
        return make(shop)

    return stopped


def _tried_once(shop: Shop) -> UUID:
    row = shop.due_text()
    shop.stack.twilio.fail(JsonError(30001, http_status=429))
    run(shop)
    shop.stack.twilio.heal()
    return row


def _scheduled(change: str = "", late: timedelta = timedelta(0)) -> Make:
    def make(shop: Shop) -> UUID:
        planned = shop.scheduled(due=timedelta(minutes=5))
        if change:
            shop.sql(change)
        shop.stack.move_clock(late)
        return planned

    return make


_OPTED_OUT: Final = _with("customers set sms_consent_status = 'opted_out'")
_SOON: Final = "smsretry.clock() + interval '2 hours'"
STATES: Final[dict[str, Make]] = {
    "due": lambda shop: shop.due_text(),
    "due in an hour": lambda shop: shop.due_text(due=timedelta(hours=1)),
    "due in two days": lambda shop: shop.due_text(due=timedelta(hours=48)),
    "at night": _at_night(lambda shop: shop.due_text()),
    "tried once": _tried_once,
    "opted out": _OPTED_OUT,
    "consent unknown": _with("customers set sms_consent_status = 'unknown'"),
    "suppressed": _suppressed,
    "opted out at night": _at_night(_OPTED_OUT),
    "sent already": _with("send_logs set status = 'delivered'"),
    "not a text": _with("send_logs set channel = 'email'"),
    "too long": _with("send_logs set subject = repeat('a', 1601)"),
    "without a number": lambda shop: shop.due_text(phone=None),
    "given up": lambda shop: shop.due_text(attempts=3),
    "expired": _with("sms_retry_queue set expires_at = smsretry.clock() - interval '1 minute'"),
    "expires before it opens": _at_night(_with(f"sms_retry_queue set expires_at = {_SOON}")),
    "capped": _capped,
    "in a stopped state": _stopped_state,
    "held": _held_and_still_so,
    "held and mended": _held_and_mended,
    "stopped": _stopped(lambda shop: shop.due_text()),
    "stopped, opted out": _stopped(_OPTED_OUT),
    "business without hours": _with("businesses set timezone = null, sms_hours = null"),
    "without any zone": _with("businesses set timezone = null", timezone="Middle/Earth", phone="+18005550123"),
    "closed for days": _with("businesses set sms_hours = 'Mon 10:00-11:00'"),
    "scheduled": _scheduled(),
    "scheduled, opted out": _scheduled("update customers set sms_consent_status = 'opted_out'"),
    "scheduled past not_after": _scheduled(
        "update scheduled_sends set not_after = smsretry.clock() + interval '10 minutes'", timedelta(minutes=20)
    ),
    "scheduled to nobody": _scheduled("delete from customers"),
}


def came_to(shop: Shop, row: UUID, until: datetime) -> tuple[str, str]:
    """Let the runs go on, and say what they made of the text, and why."""
    before = len(shop.messages)
    run(shop)
    for _ in range(200):
        left = (until - shop.now()).total_seconds()
        found = shop.sql(
            "select 1 from sms_retry_queue where status in ('pending', 'processing') and in_doubt_since is null"
            " union all select 1 from scheduled_sends where status = 'scheduled'"
        )
        if left <= 0 or not found:
            break
        due = next_due(shop.connection)
        shop.later(seconds=min(max(left if due is None else due, 30), 1800, left + 1))
        if shop.now() < until:
            run(shop)
    if len(shop.messages) > before:
        return "go out", ""
    [end] = shop.sql(
        """select status, coalesce(why, last_error) as why, held_since from sms_retry_queue
           where id = %s or send_log_id = %s
           union all
           select status, why, held_since from scheduled_sends where id = %s and send_log_id is null""",
        *[row] * 3,
    )
    if end["status"] in ("failed", "cancelled"):
        return "end", end["why"]
    return ("held" if end["held_since"] else "wait longer"), end["why"] or ""


@pytest.mark.parametrize("name", STATES)
def test_what_is_predicted_comes_to_be(shop: Shop, desk: Desk, name: str) -> None:
    """By explain and by preview, with the hour and the reason."""
    row = STATES[name](shop)
    now, hours = shop.now(), FEW_HOURS if name in WAITS else HOURS
    ahead = desk.preview(Preview(hours=hours))
    [explanation] = desk.explain(WhichText(retry_id=row))
    fate, why = came_to(shop, row, now + timedelta(hours=hours))
    told, whys = explanation.headline + explanation.next, [*ahead.businesses[0].why] if ahead.businesses else []
    assert ([kind for one in ahead.businesses for kind in one.counts] or ["wait longer"]) == [fate], why
    if fate == "go out":
        went_out = (shop.messages[-1].accepted_at - now) / timedelta(hours=1)
        predicted = next(hour for hour, of in enumerate(ahead.hours) if of.texts)
        assert predicted - 0.1 <= went_out <= predicted + 1.1
    if name not in BEYOND:
        assert ("goes out" in explanation.next) == (fate == "go out"), (explanation.next, why)
    if fate in ("end", "held"):
        assert (why in told, [one for one in whys if why in one]) == (True, whys), (told, why)
    if fate == "end":
        assert re.search("will be cancelled|will fail", explanation.next), explanation.next
