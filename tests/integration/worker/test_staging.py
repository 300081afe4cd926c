"""A staging copy texts nobody but who is listed, whichever way a text is sent; and a copy of production nobody at all.

Judged by what Twilio accepted. Each way is first tried without the safeguard, and must then text everybody.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import HttpUrl

from smsretry import send_sms
from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.desk.actions.requests import MarkDatabase, Preview, Requeue
from smsretry.local.twilio.faults import DropUnaccepted, JsonError
from smsretry.retry.models import Text
from smsretry.retry.outcome import Accepted, Rejected
from smsretry.retry.profile import DEFAULT, NOT_LISTED, Audience
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.settings import Settings
from smsretry.vocabulary import Mark
from tests.integration.conftest import Command
from tests.support.builders import BODY, PHONE, resolution
from tests.support.orders import ordered, resolve
from tests.support.records import Record, columns
from tests.support.senders import texts_from
from tests.support.shop import Shop

FRIEND = "+12125550177"
"""Somebody of the team."""

Runner = Callable[..., Shop]


@pytest.fixture
def runner(shop: Shop, settings: Settings) -> Iterator[Runner]:
    """The shop with a runner whose settings are changed."""
    with ExitStack() as opened:

        def make(**changes: Any) -> Shop:
            changed = settings.model_copy(update=changes)
            queue = opened.enter_context(SupabaseQueue(changed))
            return replace(
                shop,
                queue=queue,
                provider=opened.enter_context(TwilioProvider(changed)),
            )

        yield make


def listed(*numbers: str) -> Record:
    """Settings that text only these numbers."""
    return {"audience": Audience(numbers=frozenset(numbers))}


NOBODY = {"audience": Audience()}
"""Settings that text nobody."""


def mark(operators: SupabaseOperators, kind: Mark | None) -> None:
    """Say what the database is, from where the stack is."""
    operators.carry_out(
        MarkDatabase(kind=kind or "none", who="Ann", because="It is new")
    )


WAYS = (
    "first send",
    "retry",
    "scheduled send",
    "sent again after a loss",
    "requeued",
    "resolved as not sent",
)
"""Each way in which a text comes to be sent."""
TEAM = {way: f"+121255501{place}0" for place, way in enumerate(WAYS)}
"""A listed number for each."""
OTHERS = {way: f"+121255501{place}1" for place, way in enumerate(WAYS)}
"""And one of a customer."""
NUMBERS = tuple(TEAM.values()) + tuple(OTHERS.values())


def brought_up_to_its_send(shop: Shop, operators: SupabaseOperators) -> list[UUID]:
    """For each way two texts that leave with the next run, sent so far by a runner that texts everybody; and the send
    logs of first sends, which a caller sends.
    """
    twilio, both = shop.twilio, (TEAM, OTHERS)
    for numbers in both:
        shop.due_text(phone=numbers["sent again after a loss"])
    requeued = [shop.due_text(phone=numbers["requeued"]) for numbers in both]
    doubtful = [
        shop.due_text(phone=numbers["resolved as not sent"]) for numbers in both
    ]
    for numbers in both:
        twilio.fail(JsonError(30006), to=numbers["requeued"])
        twilio.fail(DropUnaccepted(), to=numbers["resolved as not sent"])
    assert sorted(shop.run()) == [
        "Failed",
        "Failed",
        "InDoubt",
        "InDoubt",
        "Sent",
        "Sent",
    ]
    for message in shop.messages:
        twilio.report(message.sid, "undelivered", 30008)
    shop.later(minutes=6)
    sync_deliveries(Services(shop.queue, shop.provider, DEFAULT, 4), limit=10)
    shop.later(minutes=31)
    again = Requeue(retry_ids=requeued, dry_run=False, who="Ann", because="Mended")
    assert ordered(operators, again).changed == len(requeued)
    assert all(resolve(operators, resolution(row, None)) for row in doubtful)
    for numbers in both:
        shop.due_text(phone=numbers["retry"])
        shop.scheduled(phone=numbers["scheduled send"], due=timedelta(seconds=-1))
    queue_scheduled_sends(shop.queue)
    return [
        shop.send_log(shop.customer(phone=numbers["first send"])) for numbers in both
    ]


@pytest.mark.parametrize(
    ("changes", "reached"),
    [({}, NUMBERS), (NOBODY, ()), (listed(*TEAM.values()), tuple(TEAM.values()))],
    ids=["everybody", "nobody", "the team"],
)
def test_whichever_way_a_text_is_sent_it_reaches_only_who_is_listed(
    shop: Shop,
    operators: SupabaseOperators,
    runner: Runner,
    changes: Record,
    reached: tuple[str, ...],
) -> None:
    """To everybody is the safeguard taken away: there each way must text both, or this would prove nothing."""
    logs, before = brought_up_to_its_send(shop, operators), len(shop.messages)
    staging = runner(**changes)
    for log in logs:
        send_sms(log, queue=staging.queue, provider=staging.provider)
    staging.run()
    assert sorted(message.to for message in shop.messages[before:]) == sorted(reached)
    texts = shop.sql(
        """select c.phone, q.status, q.why_code, q.last_error, l.status as log, l.error_message
           from sms_retry_queue q join customers c on c.id = q.customer_id join send_logs l on l.id = q.send_log_id"""
    )
    assert sorted(text["phone"] for text in texts) == sorted(NUMBERS)
    for text in texts:
        if text["phone"] in reached:
            assert columns(text, "status", "log") == ("completed", "sent")
            continue
        assert columns(text, "status", "why_code") == ("cancelled", "not_listed")
        refused = NOT_LISTED.removeprefix("Not sent: ")
        assert (
            text["last_error"] == f"Not sent: it would have gone out now, but {refused}"
        )
        assert text["error_message"] == text["last_error"]
        assert text["log"] not in ("sent", "delivered")


def test_a_text_is_cancelled_only_when_it_would_have_gone_out(
    shop: Shop, runner: Runner
) -> None:
    """Until then staging shows what production would do: it waits for its hour, and an opt-out is one."""
    night = shop.due_text(timezone="Pacific/Honolulu", phone="+18085550123")
    stopped = shop.due_text(phone=FRIEND, consent="opted_out")
    staging = runner(**NOBODY)
    assert sorted(staging.run()) == ["Cancelled", "Deferred"]
    assert shop.row(stopped)["why_code"] == "opted_out"
    shop.at(shop.row(night)["scheduled_for"] + timedelta(seconds=1))
    assert staging.run() == ["Cancelled"]
    assert shop.row(night)["why_code"] == "not_listed"
    [*_, record] = shop.sql(
        "select summary, send_to from smsretry.runs order by started_at"
    )
    assert record == {"summary": record["summary"], "send_to": "nobody"}
    assert record["summary"].startswith(
        "This installation texts nobody. Took 1 text in "
    )
    assert not shop.messages


def test_a_text_to_nobody_needs_no_credentials_and_tries_no_stopped_sender(
    shop: Shop, runner: Runner
) -> None:
    """A copy of production has its stops and its senders, and no runner that could mend them."""
    row = shop.due_text()
    shop.queue.set_stop("everybody", "", "The account is suspended")
    texts_from(shop.connection, shop.id, "AC" + "9" * 32, "MG" + "9" * 32)
    assert runner(**NOBODY).run() == ["Cancelled"]
    assert shop.row(row)["why_code"] == "not_listed"


def test_whom_a_caller_forgot_to_ask_about_or_lists_wrongly_is_not_texted(
    shop: Shop, runner: Runner
) -> None:
    """The last lines: the provider's adapter makes no request, and nobody is nobody whatever else begin is told."""
    sender = runner(**listed(FRIEND)).provider
    text: Record = {
        "attempt_id": uuid4(),
        "sender": sender.default,
        "body": BODY,
        "valid_for": timedelta(1),
    }
    refused = sender.send(Text(to=PHONE, **text))
    assert isinstance(refused, Rejected)
    assert PHONE[-4:] not in repr(refused)
    assert not shop.messages
    assert isinstance(sender.send(Text(to=FRIEND, **text)), Accepted)
    shop.due_text()
    begin = """select answer, why_code from begin_sms_attempt(
                   %s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '', send_to => 'nobody',
                   listed => true)"""
    claim = shop.claim()
    assert shop.sql(begin, claim.id, claim.claim_no) == [
        {"answer": "ended", "why_code": "not_listed"}
    ]


# The mark of the database

Worker = Literal["production's", "a copy's", "one that lists", "one that texts nobody"]


@pytest.mark.parametrize(
    ("marked", "worker", "fate"),
    [
        (None, "a copy's", "Sent"),
        ("production", "production's", "Sent"),
        ("production", "a copy's", "Held"),
        ("production", "one that lists", "Sent"),
        ("production", "one that texts nobody", "Held"),
        ("staging", "production's", "Held"),
        ("staging", "one that lists", "Sent"),
        ("staging", "one that texts nobody", "Cancelled"),
    ],
)
def test_worker_and_mark_must_agree_before_anybody_is_texted(
    shop: Shop, operators: SupabaseOperators, runner: Runner, monkeypatch: pytest.MonkeyPatch,
    marked: Mark | None, worker: Worker, fate: str,
) -> None:  # fmt: skip
    """Where they do not, the text waits and says so: one of the two is wrong, and production loses nothing by it. The
    monitor alarms, though nothing is late. A begin whose answer is lost is asked again, and answers the same.
    """
    row = shop.due_text()
    shop.stack.rpc_faults.drop_after_commit("begin_sms_attempt", times=1)
    mark(operators, marked)
    settings = {"one that lists": listed(PHONE), "one that texts nobody": NOBODY}
    its = runner(**settings.get(worker, {}))
    if worker == "a copy's":  # reached at another address; the stack has only one
        monkeypatch.setattr(its.queue, "address", "staging.example.com")
    assert its.run() == [fate]
    assert len(shop.messages) == (fate == "Sent")
    held_record = shop.row(row)
    if fate == "Held":
        assert columns(held_record, "status", "why_code", "attempt_count") == (
            "pending",
            "mark_mismatch",
            0,
        )
        assert held_record["held_since"] is not None
        assert held_record["expires_at"] > shop.now() + timedelta(hours=47)
        assert "SMSRETRY_SEND_TO" in held_record["why"]
        assert "smsretry mark" in str([*operators.status().needs()])
        with pytest.raises(
            psycopg.Error, match="sending is stopped: The database is marked as"
        ):
            shop.sql("select check_sms_retries()")
        mark(operators, None if worker != "one that texts nobody" else "staging")
        assert its.run() == [
            "Cancelled" if worker == "one that texts nobody" else "Sent"
        ]


def test_one_place_is_one_address_however_it_is_written(settings: Settings) -> None:
    """A copy at another path is not taken for production, nor production's own worker for a copy's."""
    addresses = {
        "https://Gateway.example.com/Production/": "gateway.example.com/production",
        "https://gateway.example.com:8443/staging": "gateway.example.com:8443/staging",
        "https://Ref.Supabase.co.": "ref.supabase.co",
        "https://ref.supabase.co:443/": "ref.supabase.co",
    }
    for url, address in addresses.items():
        assert (
            settings.model_copy(update={"supabase_url": HttpUrl(url)}).address
            == address
        )


def test_people_can_see_whom_texts_go_to(
    shop: Shop, operators: SupabaseOperators, runner: Runner
) -> None:
    """The queue by the last run's settings, because who asks may have others; preview before any run."""
    shop.due_text()
    audience = runner(**listed(FRIEND)).provider.audience
    desk = Desk(operators, profile=DEFAULT, meaning=code_meaning, audience=audience)
    ahead = desk.preview(Preview(hours=1))
    assert ahead.counts == {"end": 1}
    assert FRIEND[-4:] not in " ".join([*ahead.lines(), repr(audience)])
    assert "STAGING" not in operators.status().name
    mark(operators, "staging")
    runner(**listed(FRIEND)).run()
    status = operators.status()
    assert status.name == "STAGING: only who is listed is texted · nothing waits"
    assert not [*status.needs()]


def test_a_mark_is_made_by_command_and_names_the_place(
    command: Command, shop: Shop, settings: Settings
) -> None:
    """Production is one place, so that no copy has to be told that it is one."""
    marked = "select kind, address from smsretry.mark"
    assert settings.address in command("mark", "production", "--because", "Live").output
    assert shop.sql(marked) == [{"kind": "production", "address": settings.address}]
    assert command("mark", "staging", "--because", "A copy").exit_code == 0
    assert shop.sql(marked) == [{"kind": "staging", "address": None}]
    assert command("mark", "none", "--because", "A mistake").exit_code == 0
    assert shop.sql(marked) == []
    assert command("mark", "staging", "--because", "Ask +1 212 555 0123").exit_code != 0
