"""A staging copy texts nobody but who is listed, whichever way a text is sent; and a copy of production nobody at all.

Judged by what Twilio accepted. Each way is first tried without the safeguard, and must then text everybody.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import HttpUrl

from smsretry import process_sms_retry_item, send_sms
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import MarkDatabase, Preview, Requeue, WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.doctor.database import database_findings
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import DropUnaccepted, JsonError
from smsretry.retry.models import Finding, Text
from smsretry.retry.outcome import Accepted, Rejected
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.settings import Settings
from smsretry.vocabulary import Mark
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import BODY, PHONE, resolution, results_of, run, run_over
from tests.support.claims import claim_due
from tests.support.orders import ordered, resolve

FRIEND: Final = "+12125550177"
"""Somebody of the team."""
GONE: Final = JsonError(30006, http_status=400)

Senders = Callable[..., tuple[SupabaseQueue, TwilioSender]]


@pytest.fixture
def runner(settings: Settings) -> Iterator[Senders]:
    """A runner with these settings changed: its queue and its sender."""
    with ExitStack() as opened:

        def make(**changes: Any) -> tuple[SupabaseQueue, TwilioSender]:
            changed = settings.model_copy(update=changes)
            return opened.enter_context(SupabaseQueue(changed)), opened.enter_context(TwilioSender(changed))

        yield make


def listed(*numbers: str) -> dict[str, Any]:
    """Settings that text only these numbers."""
    return {"send_to": "listed", "send_to_numbers": numbers}


def mark(operators: SupabaseOperators, kind: Mark | None) -> None:
    """Say what the database is, from where the stack is."""
    operators.carry_out(MarkDatabase(kind=kind or "none", who="Ann", because="It is new"))


WAYS: Final = ("first send", "retry", "scheduled send", "sent again after a loss", "requeued", "resolved as not sent")
"""Each way in which a text comes to be sent."""
TEAM: Final = {way: f"+121255501{place}0" for place, way in enumerate(WAYS)}
"""A listed number for each."""
OTHERS: Final = {way: f"+121255501{place}1" for place, way in enumerate(WAYS)}
"""And one of a customer."""
NUMBERS: Final = tuple(TEAM.values()) + tuple(OTHERS.values())


def brought_up_to_its_send(stack: Stack, business: Business, settings: Settings) -> list[UUID]:
    """For each way two texts that leave with the next run, sent so far by a runner that texts everybody; and the send
    logs of first sends, which a caller sends.
    """
    twilio, both = stack.twilio, (TEAM, OTHERS)
    with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender, SupabaseOperators(settings) as operators:
        for numbers in both:
            business.due_text(phone=numbers["sent again after a loss"])
        requeued = [business.due_text(phone=numbers["requeued"]) for numbers in both]
        doubtful = [business.due_text(phone=numbers["resolved as not sent"]) for numbers in both]
        for numbers in both:
            twilio.fail(GONE, to=numbers["requeued"])
            twilio.fail(DropUnaccepted(), to=numbers["resolved as not sent"])
        assert sorted(run(queue, sender)) == ["Failed", "Failed", "InDoubt", "InDoubt", "Sent", "Sent"]
        for entry in twilio.ledger.entries():
            twilio.report(entry.sid, "undelivered", 30008)
        stack.move_clock(timedelta(minutes=6))
        with SupabaseQueue(settings) as records:
            sync_deliveries(Services(records, sender, DEFAULT, 4), limit=10)
        stack.move_clock(timedelta(minutes=31))
        again = Requeue(retry_ids=requeued, dry_run=False, who="Ann", because="Mended")
        assert ordered(operators, again).changed == len(requeued)
        assert all(resolve(operators, resolution(row, None)) for row in doubtful)
        for numbers in both:
            business.due_text(phone=numbers["retry"])
            business.scheduled(phone=numbers["scheduled send"], due=timedelta(seconds=-1))
        queue_scheduled_sends(queue)
    return [business.send_log(business.customer(phone=numbers["first send"])) for numbers in both]


@pytest.mark.parametrize("whom", ["everybody", "nobody", "the team"])
def test_whichever_way_a_text_is_sent_it_reaches_only_who_is_listed(
    whom: str, stack: Stack, business: Business, settings: Settings, runner: Senders
) -> None:
    """To everybody is the safeguard taken away: there each way must text both, or this would prove nothing."""
    logs = brought_up_to_its_send(stack, business, settings)
    changes, reached = {
        "everybody": ({}, NUMBERS),
        "nobody": ({"send_to": "nobody"}, ()),
        "the team": (listed(*TEAM.values()), tuple(TEAM.values())),
    }[whom]
    queue, sender = runner(**changes)
    before = len(stack.twilio.ledger.entries())
    for log in logs:
        send_sms(log, queue=queue, sender=sender)
    run(queue, sender)
    assert sorted(entry.to for entry in stack.twilio.ledger.entries()[before:]) == sorted(reached)
    texts = business.connection.execute(
        """select c.phone, q.status, q.why_code, q.last_error, l.status as log, l.error_message
           from sms_retry_queue q join customers c on c.id = q.customer_id join send_logs l on l.id = q.send_log_id"""
    ).fetchall()
    assert sorted(text["phone"] for text in texts) == sorted(NUMBERS)
    for text in texts:
        if text["phone"] in reached:
            assert (text["status"], text["log"]) == ("completed", "sent")
            continue
        assert (text["status"], text["why_code"]) == ("cancelled", "not_listed")
        refused = sender.audience.refusal.removeprefix("Not sent: ")
        assert text["last_error"] == f"Not sent: it would have gone out now, but {refused}"
        assert text["error_message"] == text["last_error"]
        assert text["log"] not in ("sent", "delivered")


def test_a_text_is_cancelled_only_when_it_would_have_gone_out(
    stack: Stack, business: Business, runner: Senders
) -> None:
    """Until then staging shows what production would do: it waits for its hour, and an opt-out is one."""
    night = business.due_text(timezone="Pacific/Honolulu", phone="+18085550123")
    stopped = business.due_text(phone=FRIEND, consent="opted_out")
    queue, sender = runner(send_to="nobody")
    assert sorted(run(queue, sender)) == ["Cancelled", "Deferred"]
    assert business.row(stopped)["why_code"] == "opted_out"
    stack.set_clock(business.row(night)["scheduled_for"] + timedelta(seconds=1))
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(night)["why_code"] == "not_listed"
    assert not stack.twilio.ledger.entries()


def test_a_text_to_nobody_needs_no_credentials_and_tries_no_stopped_sender(
    stack: Stack, business: Business, runner: Senders, queue: SupabaseQueue
) -> None:
    """A copy of production has its stops and its senders, and no runner that could mend them."""
    row = business.due_text()
    queue.set_stop("everybody", "", "The account is suspended")
    business.connection.execute(
        """with s as (
               insert into smsretry.senders (id, account, sent_by) values (gen_random_uuid(), %s, %s) returning id)
           insert into smsretry.business_senders select %s, 'any', id from s""",
        ["AC" + "9" * 32, "MG" + "9" * 32, business.id],
    )
    assert run(*runner(send_to="nobody")) == ["Cancelled"]
    assert business.row(row)["why_code"] == "not_listed"


def test_the_provider_itself_refuses_whom_a_caller_forgot_to_ask_about(stack: Stack, runner: Senders) -> None:
    """The last line: code that calls it directly makes no request either."""
    _, sender = runner(**listed(FRIEND))
    text = {"attempt_id": uuid4(), "body": BODY, "valid_for": timedelta(minutes=5)}
    refused = sender.send(Text(to=PHONE, business_id=uuid4(), **text))
    assert isinstance(refused, Rejected)
    assert PHONE[-4:] not in repr(refused)
    assert not stack.twilio.ledger.entries()
    assert isinstance(sender.send(Text(to=FRIEND, **text)), Accepted)


def test_nobody_is_nobody_whatever_else_a_caller_says(business: Business, queue: SupabaseQueue) -> None:
    """A caller that says both of a text: that nobody is texted, and that it is listed."""
    business.due_text()
    [claim] = claim_due(queue, 1)
    begin = """select answer, why_code from begin_sms_attempt(
                   %s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', '', send_to => 'nobody',
                   listed => true)"""
    [begun] = business.connection.execute(begin, [claim.id, claim.claim_no]).fetchall()
    assert begun == {"answer": "ended", "why_code": "not_listed"}


def test_a_number_that_changes_after_the_decision_is_asked_about_anew(
    stack: Stack, business: Business, runner: Senders
) -> None:
    """What is listed is what is texted: the begin reads the number again."""
    row = business.due_text(phone=FRIEND)
    queue, sender = runner(**listed(FRIEND))
    [claim] = claim_due(queue, 1)
    business.connection.execute("update customers set phone = %s", [PHONE])
    assert process_sms_retry_item(claim, queue=queue, sender=sender).why_code == "data_changed"
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["why_code"] == "not_listed"
    assert not stack.twilio.ledger.entries()


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
        ("staging", "a copy's", "Held"),
        ("staging", "one that lists", "Sent"),
        ("staging", "one that texts nobody", "Cancelled"),
    ],
)
def test_worker_and_mark_must_agree_before_anybody_is_texted(
    marked: Mark | None,
    worker: Worker,
    fate: str,
    stack: Stack,
    business: Business,
    operators: SupabaseOperators,
    runner: Senders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where they do not, the text waits and says so: one of the two is wrong, and production loses nothing by it."""
    row = business.due_text()
    mark(operators, marked)
    queue, sender = runner(
        **{"one that lists": listed(PHONE), "one that texts nobody": {"send_to": "nobody"}}.get(worker, {})
    )
    if worker == "a copy's":  # reached at another address; the stack has only one
        monkeypatch.setattr(queue, "address", "staging.example.com")
    assert run(queue, sender) == [fate]
    assert len(stack.twilio.ledger.entries()) == (fate == "Sent")
    held = business.row(row)
    if fate == "Held":
        assert (held["status"], held["why_code"], held["attempt_count"]) == ("pending", "mark_mismatch", 0)
        assert held["held_since"] is not None
        assert held["expires_at"] > stack.now() + timedelta(hours=47)
        assert "marked as" in held["why"]
        assert "SMSRETRY_SEND_TO" in held["why"]
        mark(operators, None if worker != "one that texts nobody" else "staging")
        stack.move_clock(timedelta(minutes=16))
        assert run(queue, sender) == ["Cancelled" if worker == "one that texts nobody" else "Sent"]


def test_one_place_is_one_address_however_it_is_written(settings: Settings) -> None:
    """A copy at another path is not taken for production, nor production's own worker for a copy's."""
    addresses = {
        "https://Gateway.example.com/Production/": "gateway.example.com/production",
        "https://gateway.example.com:8443/staging": "gateway.example.com:8443/staging",
        "https://Ref.Supabase.co.": "ref.supabase.co",
        "https://ref.supabase.co:443/": "ref.supabase.co",
        "http://ref.supabase.co./": "ref.supabase.co",
    }
    for url, address in addresses.items():
        assert settings.model_copy(update={"supabase_url": HttpUrl(url)}).address == address


def test_the_state_of_the_queue_says_whom_texts_go_to_and_what_the_database_is(
    stack: Stack, business: Business, operators: SupabaseOperators, runner: Senders
) -> None:
    """By the last run's settings, because who asks may have others."""
    business.due_text()
    assert QueueStatus.of(operators.status()).staging is None
    mark(operators, "staging")
    stack.move_clock(timedelta(hours=1))
    run(*runner(**listed(FRIEND)))
    status = QueueStatus.of(operators.status())
    assert status.staging == "STAGING: only who is listed is texted"
    assert status.name == "STAGING: only who is listed is texted · empty"
    assert "the database is marked as staging (1 h ago)" in list(status.lines())
    assert status.stopped_because is None
    run(*runner())
    stopped = QueueStatus.of(operators.status())
    assert "smsretry mark" in (stopped.stopped_because or "")


def test_preview_and_explain_say_that_a_text_will_not_go_out(
    business: Business, operators: SupabaseOperators, settings: Settings
) -> None:
    """Before it has been tried."""
    row = business.due_text()
    audience = settings.model_copy(update=listed(FRIEND)).audience
    desk = Desk(operators, profile=DEFAULT, meaning=code_meaning, audience=audience)
    ahead = desk.preview(Preview(hours=1))
    assert (ahead.go_out, ahead.texts_only) == (0, "texts only 1 number")
    assert ahead.businesses[0].why_codes == {"not_listed": 1}
    [explained] = desk.explain(WhichText(retry_id=row))
    assert "are not listed" in " ".join(explained.lines())
    assert FRIEND[-4:] not in " ".join([*ahead.lines(), *explained.lines(), repr(audience)])


def test_a_run_says_in_its_numbers_whom_it_texts(business: Business, runner: Senders) -> None:
    """They are kept with the run, and are the state of its flow run."""
    business.due_text()
    one = run_over(*runner(send_to="nobody"))
    [result] = results_of(one)
    assert result.fate == "Cancelled"
    [kept] = business.connection.execute("select * from smsretry.runs").fetchall()
    assert kept["told"].startswith("This installation texts nobody. recovered 0, claimed 1: cancelled 1")
    assert (kept["send_to"], kept["needs_somebody"]) == ("nobody", False)


def test_doctor_says_whom_texts_go_to_and_what_does_not_fit(
    stack: Stack, operators: SupabaseOperators, settings: Settings
) -> None:
    """Where mark and settings disagree, nothing would go out."""

    def told(**changes: Any) -> dict[str, Finding]:
        found = database_findings(settings.model_copy(update=changes), {}, stack.now)
        return {finding.subject: finding for finding in found}

    mark(operators, "staging")
    everybody = told()
    assert everybody["whom texts go to: texts everybody"].advice is None
    assert everybody["rehearsal of a text"].advice is None
    assert not everybody["mark of the database"].ok
    assert "SMSRETRY_SEND_TO" in str(everybody["mark of the database"].advice)
    some = told(**listed(FRIEND))
    assert "cancelled, unsent" in str(some["whom texts go to: texts only 1 number"].advice)
    assert (some["mark of the database"].ok, some["mark of the database"].advice) == (True, None)


def test_a_mark_is_made_by_command_and_names_the_place(
    command: Command, business: Business, settings: Settings
) -> None:
    """Production is one place, so that no copy has to be told that it is one."""
    assert settings.address in command("mark", "production", "--because", "Live").output
    [row] = business.connection.execute("select kind, address, because from smsretry.mark").fetchall()
    assert row == {"kind": "production", "address": settings.address, "because": "Live"}
    assert command("mark", "staging", "--because", "A copy").exit_code == 0
    [row] = business.connection.execute("select kind, address from smsretry.mark").fetchall()
    assert row == {"kind": "staging", "address": None}
    assert command("mark", "none", "--because", "A mistake").exit_code == 0
    assert not business.connection.execute("select from smsretry.mark").fetchall()
    assert command("mark", "staging", "--because", "Ask +1 212 555 0123").exit_code != 0
