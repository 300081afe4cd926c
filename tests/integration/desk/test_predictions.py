"""What a preview and a story predict of a text, against what the next runs do with it, on the real stack."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import ExplainText, Preview
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.support.builders import AT_ONCE
from tests.support.claims import next_due
from tests.support.shop import Shop

HOURS = 26
"""How far ahead is looked: past the next opening."""
FEW_HOURS = 3
WAITS = (
    "held",
    "said what may mean stop",
    "in a stopped state",
    "due in two days",
    "closed for days",
    "of a business that a person stopped",
)
"""They wait however far ahead is looked, and many runs would be made meanwhile."""


def run(shop: Shop) -> None:
    """A run of scheduled sends, and one of the queue."""
    queue_scheduled_sends(shop.queue)
    shop.run(AT_ONCE)


@dataclass(frozen=True)
class State:
    """A text, and what became of it until it is asked about."""

    made: str = ""
    """What somebody did to it, in SQL."""
    text: dict[str, Any] = field(default_factory=dict)
    night: bool = False
    planned: bool = False
    """It is a scheduled send."""
    stopped: bool = False
    """Twilio is down, and sending has stopped."""
    then: str = ""
    """A run was made, and this was done after it."""
    late: int = 0
    """Minutes that have passed since."""

    def make(self, shop: Shop) -> UUID:
        """As somebody else would."""
        shop.later(hours=10 * self.night)
        if self.stopped:
            shop.queue.set_stop("everybody", "", "Twilio is down")
            shop.twilio.fail(JsonError(20500, http_status=500), times=None)
        row = (
            shop.scheduled(due=timedelta(minutes=5))
            if self.planned
            else shop.due_text(**self.text)
        )
        shop.sql(self.made)
        if self.then:
            run(shop)
            shop.sql(self.then)
        shop.later(minutes=self.late)
        return row


_OPTED_OUT = "update customers set sms_consent_status = 'opted_out'"
_NO_ZONE = "update businesses set timezone = null"
_NOW = "smsretry.clock()"
_STORM = "select set_sms_stop('state', 'LA', 'A hurricane')"
_ONE_A_DAY = f"""update businesses set sms_daily_cap = 1;
    insert into send_logs (business_id, customer_id, channel, subject, status, provider_message_id, updated_at)
    select business_id, id, 'sms', 'Hello', 'sent', jsonb_build_object('twilio_sid', 'SM' || repeat('a', 32)),
           {_NOW} - interval '1 hour'
    from customers"""
_THERE = {"phone": "+15045550123", "timezone": "America/Chicago"}
STATES: Final[dict[str, State]] = {
    "due": State(),
    "due in an hour": State(text={"due": timedelta(hours=1)}),
    "due in two days": State(text={"due": timedelta(hours=48)}),
    "at night": State(night=True),
    "tried once": State(
        f"""update sms_retry_queue set attempt_count = 1, scheduled_for = {_NOW} + interval '1 minute',
                                       why_code = 'refused_for_now', why = 'Twilio 30001', error_code = 30001"""
    ),
    "opted out": State(_OPTED_OUT),
    "consent unknown": State("update customers set sms_consent_status = 'unknown'"),
    "said what may mean stop": State(
        "select record_inbound_sms(phone, 'SM' || repeat('e', 32), body => 'leave me alone') from customers"
    ),
    "suppressed": State(
        """insert into customers (business_id, phone, sms_consent_status)
           select business_id, phone, 'opted_out' from customers;
           delete from customers where sms_consent_status = 'opted_out'"""
    ),
    "opted out at night": State(_OPTED_OUT, night=True),
    "sent already": State("update send_logs set status = 'delivered'"),
    "not a text": State("update send_logs set channel = 'email'"),
    "too long": State("update send_logs set subject = repeat('a', 1601)"),
    "without a number": State(text={"phone": None}),
    "given up": State(text={"attempts": 3}),
    "expired": State(
        f"update sms_retry_queue set expires_at = {_NOW} - interval '1 minute'"
    ),
    "expires before it opens": State(
        f"update sms_retry_queue set expires_at = {_NOW} + interval '2 hours'",
        night=True,
    ),
    "in a stopped state": State(_STORM, _THERE),
    "held": State(_STORM, _THERE, then="select 1"),
    "held and mended": State(
        _STORM, _THERE, then="select set_sms_stop('state', 'LA', null)"
    ),
    "stopped": State(stopped=True),
    "stopped, opted out": State(_OPTED_OUT, stopped=True),
    "business without hours": State(f"{_NO_ZONE}, sms_hours = null"),
    "without any zone": State(
        _NO_ZONE, {"timezone": "Middle/Earth", "phone": "+18005550123"}
    ),
    "closed for days": State("update businesses set sms_hours = 'Mon 10:00-11:00'"),
    "in Sydney at night": State(
        text={"phone": "+61412345678", "timezone": "Australia/Sydney"}
    ),
    "toll-free": State(text={"phone": "+18005550123"}),
    "due after the closing": State(text={"due": timedelta(hours=9, minutes=30)}),
    "of a business that is stopped": State(
        """select set_sms_stop('business', id::text, 'The provider fails them')
           from businesses""",
        stopped=True,
    ),
    "of a business that a person stopped": State(
        """select set_sms_stop('business_stopped', id::text, 'A lawsuit', 'ann')
           from businesses"""
    ),
    "above its customer's cap": State(_ONE_A_DAY),
    "above its customer's cap at night": State(_ONE_A_DAY, night=True),
    "scheduled above its customer's cap": State(_ONE_A_DAY, planned=True),
    "scheduled": State(planned=True),
    "scheduled, opted out": State(_OPTED_OUT, planned=True),
    "scheduled past not_after": State(
        f"update scheduled_sends set not_after = {_NOW} + interval '10 minutes'",
        planned=True,
        late=20,
    ),
    "scheduled to nobody": State("delete from customers", planned=True),
}


def came_to(shop: Shop, row: UUID, until: datetime) -> tuple[str, str]:
    """Let the runs go on, and say what they made of the text, and why."""
    before = len(shop.messages)
    run(shop)
    for _ in range(200):
        left = (until - shop.now()).total_seconds()
        records = shop.sql(
            "select 1 from sms_retry_queue where status in ('pending', 'processing') and in_doubt_since is null"
            " union all select 1 from scheduled_sends where status = 'scheduled'"
        )
        if left <= 0 or not records:
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
    """With the hour and the reason."""
    row = STATES[name].make(shop)
    now, hours = shop.now(), FEW_HOURS if name in WAITS else HOURS
    ahead = desk.preview(Preview(hours=hours))
    [story] = desk.explain(ExplainText(id=row))
    fate, reason = came_to(shop, row, now + timedelta(hours=hours))
    assert (list(ahead.counts) or ["wait longer"]) == [fate], reason
    assert story.prediction
    assert reason in story.headline + story.next or fate in ("go out", "wait longer")
    if fate != "wait longer":
        assert story.prediction.course == fate
    if fate == "go out":
        went_out = (shop.messages[-1].accepted_at - now) / timedelta(hours=1)
        error = shop.messages[-1].accepted_at - story.prediction.at
        assert abs(error.total_seconds()) < 300
        predicted = next(hour for hour, texts in enumerate(ahead.hours) if texts)
        assert predicted - 0.1 <= went_out <= predicted + 1.1
    if fate in ("end", "held"):
        assert [one for one in ahead.why if reason in one] == [*ahead.why]


def test_a_text_that_waits_for_one_of_the_same_person_is_told_to_go_a_day_later(
    shop: Shop, desk: Desk
) -> None:
    """A cap counts what goes out before, as the runs do. Other people's texts go."""
    shop.sql("update businesses set sms_daily_cap = 1")
    first = shop.due_text()
    customer = shop.row(first)["customer_id"]
    second = shop.due_text()
    shop.sql(
        "update sms_retry_queue set customer_id = %s where id = %s", customer, second
    )
    shop.sql(
        "update send_logs set customer_id = %s where id = %s",
        *(customer, shop.row(second)["send_log_id"]),
    )
    shop.due_text(phone="+12125550199")
    now = shop.now()
    ahead = desk.preview(Preview(hours=26))
    stories = [desk.explain(ExplainText(id=row))[0] for row in (first, second)]
    run(shop)
    assert (ahead.hours[0], sum(ahead.hours)) == (len(shop.messages), 3) == (2, 3)
    waits = [story.prediction.at - now for story in stories if story.prediction]
    assert waits[0] < timedelta(hours=1) < timedelta(hours=23) < waits[1]


def test_a_forecast_says_that_nobody_runs_until_somebody_does(
    shop: Shop, desk: Desk
) -> None:
    """Of what is due, planned for now, and comes due; on every page."""
    run(shop)
    later, due = shop.due_text(due=timedelta(hours=1)), shop.due_text()
    planned = shop.scheduled(due=timedelta(minutes=1))
    shop.later(minutes=25)
    silence = "no run has finished, for 25 min"
    told = "\n".join(desk.preview(Preview(hours=3)).lines())
    assert f"But {silence}: nothing goes out until one does." in told
    [story] = desk.explain(ExplainText(id=later))
    assert story.next.endswith(f"But {silence}: nothing happens until one does")
    for text in (due, planned):
        [story] = desk.explain(ExplainText(id=text))
        assert "no run has finished (" in story.headline
        assert "`smsretry serve` runs" in str(story.remedies[0])
    run(shop)
    assert silence not in "\n".join(desk.preview(Preview(hours=3)).lines())


def test_a_preview_says_that_the_database_s_mark_keeps_everything(shop: Shop) -> None:
    """A run that texts everybody beside a copy that is marked as one."""
    shop.run()
    shop.due_text()
    shop.sql("select mark_sms_database('staging', 'ann', 'A copy')")
    [stopped] = {
        row["preview"]["stopped"]
        for row in shop.sql(
            "select preview_sms_retries(smsretry.clock() + interval '1 hour') as preview"
        )
    }
    assert str(stopped).startswith("Sending is stopped: ")


def test_texts_that_are_due_at_one_moment_are_on_some_page_each(shop: Shop) -> None:
    """Of both kinds, two a page: none is shown twice, and none is left out."""
    due = shop.now()
    rows = {shop.due_text(phone=f"+1212555017{n}") for n in range(3)} | {
        shop.scheduled(phone=f"+1212555018{n}") for n in range(3)
    }
    shop.sql("update sms_retry_queue set scheduled_for = %s", due)
    shop.sql("update scheduled_sends set scheduled_for = %s", due)
    pages, at = list[str](), tuple[object, object]((None, None))
    for _ in range(4):
        page = shop.sql(
            "select preview_sms_retries(%s, %s, %s, 2) as preview", due, *at
        )
        pages += [row["preview"]["id"] for row in page]
        at = (due, pages[-1])
    assert sorted(pages) == sorted(map(str, rows))
