"""Scheduled sends: each becomes exactly one text, at its time and with every check, or there is a reason why not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry import schedule_sms
from smsretry.adapters.migrations.migrate import migrate
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import Business
from tests.integration.catalog import Database
from tests.integration.conftest import Command
from tests.integration.unchangeable import HARMS, MENDED, NEVER_ENDS, STUCK, planted
from tests.support.builders import BODY, fates_of, run, run_over
from tests.support.claims import claim_due
from tests.support.shop import acting_as
from tests.support.waiting import until_locked_out

SOON = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def process(queue: SupabaseQueue, **how: Any) -> list[str]:
    """One run of process-scheduled-sends: what became of each."""
    return [send.result for send in queue_scheduled_sends(queue, **how).sends]


def update(business: Business, scheduled_id: UUID, **values: object) -> None:
    """As the application does, by the row's id."""
    columns = ", ".join(f"{name} = %({name})s" for name in values)
    query = f"update scheduled_sends set {columns} where id = %(id)s"
    business.connection.execute(query.encode(), {**values, "id": scheduled_id})


def said(business: Business, scheduled_id: UUID) -> tuple[str, str]:
    """Its status and why. Its times may be such as no calendar has."""
    found = business.connection.execute("select status, why from scheduled_sends where id = %s", [scheduled_id])
    [row] = found.fetchall()
    return row["status"], row["why"]


# In


def test_a_scheduled_send_becomes_one_text_and_goes_out_at_its_time(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Queued shortly before, sent once it is due, and once only."""
    at = stack.now() + 3 * SOON
    planned = schedule_sms(business.id, business.customer(), BODY, at, queue=queue, message_class="transactional")
    assert (planned.result, planned.due_at) == ("scheduled", at)
    assert process(queue) == []
    stack.move_clock(SOON)
    assert process(queue) == ["queued"]
    text = business.text_of(planned.scheduled_id)
    assert (text["scheduled_for"], text["message_class"], text["status"]) == (at, "transactional", "pending")
    assert run(queue, sender) == []
    stack.move_clock(2 * SOON)
    assert run(queue, sender) == ["Sent"]
    assert process(queue) == []
    assert run(queue, sender) == []
    assert [entry.body for entry in stack.twilio.ledger.entries()] == [BODY]
    row = business.scheduled_send(planned.scheduled_id)
    assert (row["status"], row["send_log_id"]) == ("queued", planned.scheduled_id)
    assert business.log_of(text["id"])["status"] == "sent"


def test_scheduling_may_be_repeated_with_an_id(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """An answer that was lost doubles nothing; the id is not another text's."""
    customer, name, at = business.customer(), uuid4(), stack.now() + HOUR
    results = [schedule_sms(business.id, customer, BODY, at, queue=queue, scheduled_id=name).result for _ in range(2)]
    assert results == ["scheduled", "already_scheduled"]
    with pytest.raises(InputError, match="is another text"):
        schedule_sms(business.id, customer, "Another", at, queue=queue, scheduled_id=name)


WRONG: Final[list[tuple[dict[str, Any], str]]] = [
    ({"body": " \n"}, "body is empty"),
    ({"body": "x" * 1601}, "body is longer than 1600 characters"),
    ({"customer_id": UUID(int=1)}, "There is no customer"),
    ({"business_id": UUID(int=1)}, "There is no customer"),
    ({"scheduled_for": datetime(2101, 1, 1, tzinfo=UTC)}, "scheduled_for must be a time in this century"),
    ({"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "not_after must come after scheduled_for"),
    ({"message_class": "urgent"}, "message_class must be marketing or transactional"),
]
NEVER: Final = [
    "scheduled_for = 'infinity'", "not_after = '-infinity'", "not_after = scheduled_for", "status = 'queued'",
    "message_class = 'urgent'", "body = repeat('x', 1601)", "status = 'pending'", "held_since = now()",
]  # fmt: skip


def test_what_cannot_be_is_refused_when_it_is_scheduled_and_by_constraint_whoever_writes_it(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """And not only when its time comes."""
    given = {
        "business_id": business.id, "customer_id": business.customer(), "body": BODY,
        "scheduled_for": stack.now() + HOUR,
    }  # fmt: skip
    for changes, told in WRONG:
        with pytest.raises(InputError, match=told):
            schedule_sms(**{**given, **changes}, queue=queue)
    assert business.connection.execute("select 1 from scheduled_sends").fetchone() is None
    scheduled = business.scheduled()
    for wrong in NEVER:
        with pytest.raises(psycopg.errors.CheckViolation):
            business.connection.execute(f"update scheduled_sends set {wrong} where id = %s".encode(), [scheduled])


# One text


def test_a_worker_that_dies_before_it_has_committed_leaves_the_row_to_the_next(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """All of it, or nothing."""
    scheduled = business.scheduled()
    dying = stack.connect()
    dying.autocommit = False
    assert dying.execute("select result from queue_scheduled_sms(ahead => interval '2 minutes')").fetchall() == [
        {"result": "queued"}
    ]
    assert process(queue) == []  # it has the row, and is passed over
    business.connection.execute("select pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
    dying.close()
    assert business.scheduled_send(scheduled)["status"] == "scheduled"
    assert business.connection.execute("select 1 from send_logs").fetchone() is None
    assert process(queue) == ["queued"]
    stack.move_clock(2 * SOON)
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


def test_workers_at_once_make_each_text_once(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Four of them, 120 scheduled sends, batches of seven."""
    with business.connection.transaction():
        wanted = {business.scheduled() for _ in range(120)}
    made: list[list[str]] = []
    workers = [threading.Thread(target=lambda: made.append(process(queue, batch=7))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(result for results in made for result in results) == ["queued"] * 120
    texts = business.connection.execute("select send_log_id from sms_retry_queue").fetchall()
    assert sorted(row["send_log_id"] for row in texts) == sorted(wanted)


def test_a_row_that_is_set_back_to_scheduled_is_still_one_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its send log has its id, whatever somebody does to the row behind our backs."""
    scheduled = business.scheduled(due=-SOON)
    process(queue)
    assert run(queue, sender) == ["Sent"]
    with business.connection.transaction():
        business.connection.execute("alter table scheduled_sends disable trigger smsretry_scheduled_send_changed")
        update(business, scheduled, status="scheduled", send_log_id=None)
        business.connection.execute("alter table scheduled_sends enable trigger smsretry_scheduled_send_changed")
    assert process(queue) == ["queued"]
    assert run(queue, sender) == []
    assert len(stack.twilio.ledger.entries()) == 1


# A row answers for itself alone


def test_rows_that_cannot_become_texts_fail_alone_with_a_reason(business: Business, queue: SupabaseQueue) -> None:
    """A customer who is gone, another business's, an empty body; the id of a log of other words or another business."""
    with business.connection.transaction():
        gone, empty, foreign, taken, theirs, fine = (business.scheduled() for _ in range(6))
        neighbor = Business(business.connection, business.now).open()
        customer = {send: business.scheduled_send(send)["customer_id"] for send in (gone, taken, theirs)}
        business.connection.execute("delete from customers where id = %s", [customer[gone]])
        update(business, empty, body="\n")
        update(business, foreign, customer_id=neighbor.customer())
        logs = {
            taken: business.send_log(customer[taken], body="Other words"),
            theirs: neighbor.send_log(customer[theirs]),
        }
        for send, log in logs.items():
            business.connection.execute("update send_logs set id = %s where id = %s", [send, log])
    assert sorted(process(queue)) == ["failed"] * 5 + ["queued"]
    whys = {send: business.scheduled_send(send)["why"] for send in (gone, empty, foreign, taken, theirs, fine)}
    assert whys == {
        gone: "Customer not found",
        empty: "Text is empty: scheduled_sends.body holds none",
        foreign: "Customer not found",
        taken: "Its id is that of another send log: schedule the text anew",
        theirs: "Its id is that of another send log: schedule the text anew",
        fine: None,
    }
    assert business.connection.execute("select count(*) as n from sms_retry_queue").fetchone() == {"n": 1}


def test_a_row_is_held_for_as_long_as_it_is_of_use(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Until not_after, or for two days from its time. Then it is cancelled, and says what was wrong."""
    plain, short, long = (business.scheduled(due=-SOON) for _ in range(3))
    update(business, short, not_after=stack.now() + HOUR)
    update(business, long, not_after=stack.now() + 1000 * HOUR)
    business.connection.execute("alter table send_logs add constraint closed check (false) not valid")
    try:
        assert process(queue) == ["held"] * 3
        stack.move_clock(HOUR)
        assert sorted(process(queue)) == ["cancelled", "held", "held"]
        stack.move_clock(timedelta(hours=47))
        assert sorted(process(queue)) == ["cancelled", "held"]
        for send in (plain, short):
            assert business.scheduled_send(send)["why"].startswith("Expired before it could be sent. Its text cannot")
    finally:
        business.connection.execute("alter table send_logs drop constraint closed")


def test_a_business_that_somebody_has_locked_delays_nobody_else(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Its texts are queued by a later run. The wait is one second for all of them."""
    with business.connection.transaction():
        locked = [business.scheduled() for _ in range(20)]
        neighbor = Business(business.connection, business.now).open()
        theirs = neighbor.scheduled()
    with stack.connect() as other, other.transaction():
        other.execute("select 1 from businesses where id = %s for update", [business.id])
        assert sorted(process(queue)) == ["later"] * 20 + ["queued"]
    assert neighbor.scheduled_send(theirs)["status"] == "queued"
    assert {business.scheduled_send(name)["status"] for name in locked} == {"scheduled"}
    stack.move_clock(SOON)
    assert process(queue) == ["queued"] * 20


@pytest.mark.parametrize("harm", HARMS)
def test_rows_that_nobody_can_change_stand_in_nobodys_way_and_people_are_told_of_them(
    stack: Stack, business: Business, queue: SupabaseQueue, command: Command, harm: str
) -> None:
    """They stayed the oldest and came back each time. After two days they are cancelled, as soon as they can be."""
    with business.connection.transaction():
        stuck = {business.scheduled(due=-HOUR, body=STUCK) for _ in range(9)}
        neighbor = Business(business.connection, business.now).open()
        theirs = neighbor.scheduled()
    with planted(business.connection, HARMS[harm]):
        assert sorted(process(queue, batch=2, seconds=120)) == ["held"] * 9 + ["queued"]
        assert neighbor.scheduled_send(theirs)["status"] == "queued"
        assert process(queue, batch=2) == ["held"] * 9
        assert {said(business, name)[0] for name in stuck} == {"scheduled"}
        for table in ("sms_retry_queue", "send_logs"):
            made = business.connection.execute(f"select count(*) as n from {table}".encode()).fetchone()
            assert made == {"n": 1}
        asked = stuck.pop()
        assert command("explain", "--send-log", asked).exit_code == 0
        assert "planned, " in command("status").output
        assert command("preview").exit_code == 0
        assert command("texts", "cancel", "--row", asked).exit_code == 0
        stack.move_clock(timedelta(hours=49))
        business.connection.execute(MENDED)
        assert set(process(queue)) <= {"cancelled", "held"}  # of no class and no time of ours, until that is mended
        sent = "select 1 from send_logs where id <> %s"
        assert business.connection.execute(sent, [theirs]).fetchone() is None


def test_a_row_that_nobody_can_change_is_told_by_each_run_and_goes_on_once_that_is_mended(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command
) -> None:
    """The row cannot keep it: only the runs say why."""
    business.scheduled(due=-timedelta(minutes=20), body=STUCK)
    other = business.scheduled(due=HOUR)
    with planted(business.connection, HARMS["a trigger raises"]):
        assert process(queue) == ["held"]
        [told] = queue.queue_scheduled(10, timedelta(minutes=2))
        assert told.why
        assert told.why.startswith("Its text cannot be made: P0001. Look at what send_logs")
        assert "Its row cannot be changed (P0001): fix the row, or look at the triggers and rules of " in told.why
        assert command("preview").exit_code == 0
        ended = command(
            "texts", "cancel", "--business", business.id, "--yes", "--who", "Ann", "--because", "Closed for good"
        ).output
        assert "Cancelled 1 of 2" in ended
        assert "left alone 1: A trigger or a rule of the application refuses each change of it (P0001)" in ended
        assert business.scheduled_send(other)["status"] == "cancelled"
        business.connection.execute(MENDED)
        stack.move_clock(timedelta(minutes=15))
        assert process(queue) == ["queued"]
        assert run(queue, sender) == ["Sent"]


def test_a_row_that_is_of_use_for_ever_becomes_a_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A rule came later that refuses such an end. It is none: the text is of use for as long as any."""
    scheduled = business.scheduled(due=-SOON, body=STUCK)
    with planted(business.connection, NEVER_ENDS):
        assert process(queue) == ["queued"]
        assert business.scheduled_send(scheduled)["not_after"] is None
        assert run(queue, sender) == ["Sent"]


_SWALLOWED: Final = """
create function public.meddle() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger a_meddle before insert on send_logs for each row execute function public.meddle()
"""
_CALM: Final = "alter table send_logs drop constraint calm"


_PENDING: Final = "alter table send_logs alter status set default 'pending'"
UNTRUE: Final = [
    ("alter table send_logs alter status drop default", _PENDING, "23502, send_logs, status. Look at what send_logs"),
    (
        "alter table send_logs alter status set default 'sent'",
        _PENDING,
        "its send log says from the start that the text was sent",
    ),
    (_SWALLOWED, MENDED, "its send log was not kept; a trigger on send_logs swallows it"),
    (
        "alter table send_logs add constraint calm check (subject not like '%!') not valid",
        _CALM,
        "23514, send_logs, calm. Look",
    ),
]


def test_what_the_application_can_mend_holds_a_row_and_it_goes_on_by_itself(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators, sender: TwilioSender
) -> None:
    """A send log that its table refuses, swallows or calls sent. The reason names the place and quotes nothing."""
    for harm, mended, why in UNTRUE:
        scheduled = business.scheduled(due=-SOON, body="Hi!")
        business.connection.execute(harm.encode())
        try:
            assert process(queue) == ["held"]
            row = business.scheduled_send(scheduled)
            assert (row["status"], row["held_since"] is not None) == ("scheduled", True)
            assert row["why"].startswith(f"Its text cannot be made: {why}")
            assert process(queue) == []
            assert {line.name: line.texts for line in operators.status() if line.part == "scheduled"} == {"held": 1}
            made = business.connection.execute("select 1 from send_logs where id = %s", [scheduled])
            assert made.fetchone() is None
            if mended == _CALM:  # it is looked at at once when its words are changed
                update(business, scheduled, body="Hi.")
                assert process(queue) == ["queued"]
        finally:
            business.connection.execute(mended.encode())
        if mended != _CALM:
            stack.move_clock(timedelta(minutes=15))
            assert process(queue) == ["queued"]
        assert business.scheduled_send(scheduled)["why"] is None
        assert run(queue, sender) == ["Sent"]


def test_a_trigger_of_the_applications_may_add_to_a_texts_words(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its send log was then taken for another's, and the row failed."""
    business.scheduled(due=-SOON)
    business.connection.execute(
        """create function public.meddle() returns trigger language plpgsql as $$
           begin new.subject := new.subject || ' Reply STOP to end.'; return new; end $$;
           create trigger a_meddle before insert on send_logs for each row execute function public.meddle()"""
    )
    try:
        assert process(queue) == ["queued"]
        assert run(queue, sender) == ["Sent"]
    finally:
        business.connection.execute(MENDED)
    assert [entry.body for entry in stack.twilio.ledger.entries()] == [f"{BODY} Reply STOP to end."]


def test_a_table_that_does_not_take_a_text_is_named_and_the_text_is_quoted_nowhere(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """The database's own error has the row in its detail, and that goes into its log."""
    customer, at = business.customer(), stack.now() + HOUR
    business.connection.execute("alter table scheduled_sends add column template text not null")
    try:
        with pytest.raises(InputError, match="scheduled_sends does not take the text: 23502, template"):
            schedule_sms(business.id, customer, BODY, at, queue=queue)
        with pytest.raises(psycopg.Error) as raised:
            business.connection.execute("select schedule_sms(%s, %s, %s, %s)", [business.id, customer, BODY, at])
        assert BODY not in f"{raised.value} {raised.value.diag.message_detail}"
    finally:
        business.connection.execute("alter table scheduled_sends drop column template")


# While it waits


def test_an_update_moves_changes_and_cancels_it_and_once_it_is_queued_its_text(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """What the row says is what happens."""
    moved, cancelled, other, gone = (business.scheduled(due=SOON + HOUR * (n > 1)) for n in range(4))
    assert process(queue, ahead=timedelta(hours=9)) == ["queued"] * 2  # none further ahead than an hour
    update(business, other, scheduled_for=stack.now() + 9 * HOUR, body="Later")
    update(business, gone, status="cancelled")
    assert business.scheduled_send(gone)["why"] == "Cancelled by the application"
    at, use = stack.now() + HOUR, stack.now() + 2 * HOUR
    update(business, moved, scheduled_for=at, not_after=use)
    update(business, cancelled, status="cancelled", why="The appointment was moved")
    text = business.text_of(moved)
    assert (text["scheduled_for"], text["expires_at"]) == (at, use)
    ended = business.text_of(cancelled)
    assert (ended["status"], ended["last_error"]) == ("cancelled", "The appointment was moved")
    assert business.log_of(ended["id"])["error_message"] == "The appointment was moved"
    stack.move_clock(2 * SOON)
    assert run(queue, sender) == []
    stack.move_clock(HOUR)
    assert run(queue, sender) == ["Sent"]
    stack.move_clock(8 * HOUR)
    assert process(queue) == ["queued"]
    assert business.log_of(business.text_of(other)["id"])["subject"] == "Later"


def test_once_its_send_has_begun_it_is_too_late_and_the_update_says_so(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Under way, in doubt, ended: the row goes on saying what is true."""
    scheduled = business.scheduled(due=-SOON)
    process(queue)
    for change in ({"body": "Another"}, {"status": "scheduled"}, {"status": "failed"}):
        with pytest.raises(psycopg.Error, match="can be moved or cancelled, and nothing else"):
            update(business, scheduled, **change)
    [claim] = claim_due(queue, 1)
    with pytest.raises(psycopg.Error, match="with a worker at this moment"):
        update(business, scheduled, status="cancelled")
    business.connection.execute(
        "update sms_retry_queue set status = 'pending', in_doubt_since = now(), attempt_id = %s, claimed_at = null",
        [uuid4()],
    )
    with pytest.raises(psycopg.Error, match="may have gone out"):
        update(business, scheduled, status="cancelled")
    business.connection.execute("update sms_retry_queue set status = 'failed', in_doubt_since = null")
    with pytest.raises(psycopg.Error, match="has ended"):
        update(business, scheduled, scheduled_for=stack.now() + HOUR)
    assert business.scheduled_send(scheduled)["status"] == "queued"
    assert claim.send_log_id == scheduled


def test_an_update_waits_for_a_claim_that_is_under_way(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Else the text would be cancelled under the worker's hands."""
    scheduled = business.scheduled(due=-SOON)
    process(queue)
    with ThreadPoolExecutor(1) as pool, stack.connect() as worker:
        with worker.transaction():
            worker.execute("select from claim_due_sms_retries()")
            waiting = pool.submit(update, business, scheduled, status="cancelled")
            until_locked_out(business.connection, seen_by=worker)
        with pytest.raises(psycopg.Error, match="with a worker at this moment"):
            waiting.result()
    assert business.text_of(scheduled)["status"] == "processing"


def test_an_update_changes_no_other_business_s_row_of_its_send_log(business: Business, queue: SupabaseQueue) -> None:
    """A tenant may insert a row that names any send log."""
    scheduled = business.scheduled(due=-SOON)
    process(queue)
    business.connection.execute("update sms_retry_queue set status = 'completed'")
    neighbor = Business(business.connection, business.now).open()
    theirs = neighbor.queue_row(scheduled, neighbor.customer())
    with pytest.raises(psycopg.Error, match="has ended"):
        update(business, scheduled, status="cancelled")
    assert business.row(theirs)["status"] == "pending"


def test_past_its_use_it_is_cancelled_with_the_reason(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Before it is queued, and in the queue."""
    late, waiting = business.scheduled(due=SOON), business.scheduled(due=HOUR)
    update(business, late, not_after=stack.now() + 2 * SOON)
    update(business, waiting, not_after=stack.now() + HOUR + SOON)
    stack.move_clock(3 * SOON)
    assert process(queue) == ["cancelled"]
    assert business.scheduled_send(late)["why"] == "Expired before it could be sent"
    stack.move_clock(HOUR - 3 * SOON)
    assert process(queue) == ["queued"]
    stack.move_clock(2 * SOON)
    assert run(queue, sender) == ["Cancelled"]
    assert business.text_of(waiting)["last_error"] == "Expired before it could be sent: it was due on 2027-01-12 (UTC)"


def test_it_is_of_use_until_its_not_after_whatever_zone_the_database_keeps(stack: Stack, business: Business) -> None:
    """New York's clocks went on by an hour in between, and a day that was added there had 23 hours."""
    stack.set_clock(datetime(2027, 3, 13, 17, tzinfo=UTC))
    not_after = stack.now() + timedelta(hours=40)
    scheduled = business.scheduled(due=-2 * HOUR)
    update(business, scheduled, not_after=not_after)
    with business.connection.transaction():
        business.connection.execute("set local timezone = 'America/New_York'")
        business.connection.execute("select * from queue_scheduled_sms()")
    assert abs(business.text_of(scheduled)["expires_at"] - not_after) < timedelta(seconds=1)


def test_it_has_every_check_that_each_text_has(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Consent as it is then, the hours where the customer is, the number."""
    out = business.scheduled()
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out' where id = %s",
        [business.scheduled_send(out)["customer_id"]],
    )
    night = business.scheduled(phone="+18085550123", timezone="Pacific/Honolulu")
    wrong = business.scheduled(phone="212-555-0123")
    assert process(queue) == ["queued"] * 3
    stack.move_clock(2 * SOON)
    assert sorted(fates_of(run_over(queue, sender))) == ["Cancelled", "Deferred", "Failed"]
    assert business.text_of(out)["last_error"] == "Customer opted out"
    assert business.text_of(night)["reason"] == "quiet_hours"
    assert business.text_of(wrong)["status"] == "failed"
    assert not stack.twilio.ledger.entries()


# What people see


def test_explain_status_and_preview_tell_of_it_before_it_is_a_text(
    stack: Stack, business: Business, queue: SupabaseQueue, command: Command
) -> None:
    """With the words that each text has, and with what will become of it."""
    scheduled = business.scheduled(due=HOUR)
    customer = business.scheduled_send(scheduled)["customer_id"]
    night = business.scheduled(due=HOUR / 2, phone="+18085550123", timezone="Pacific/Honolulu")
    told = command("explain", "--customer", customer).output
    assert "Scheduled, it is queued shortly before its time" in told
    assert f"scheduled send {scheduled}" in told
    assert "Next: it goes into the queue shortly before Tue 12 Jan 13:00 EST and then goes out (" in told
    assert "and then waits until Tue 12 Jan 08:" in command("explain", "--row", night).output
    assert "planned, waiting, texts 2, the next in 30 min" in command("status").output
    assert "2 to go out in the next 24 h" in command("preview").output
    stack.move_clock(HOUR)
    process(queue)
    assert "Due, the next run takes it" in command("explain", "--send-log", scheduled).output


def test_scheduled_sends_that_nobody_queues_are_told_to_monitors(stack: Stack, business: Business) -> None:
    """Ten minutes late."""
    business.scheduled(due=-timedelta(minutes=11))
    business.connection.execute("select * from start_sms_run(%s)", [UUID(int=1)])
    business.connection.execute("select finish_sms_run(%s, 'idle')", [UUID(int=1)])
    with pytest.raises(psycopg.Error, match="1 scheduled sends are overdue and not queued"):
        business.connection.execute("select check_sms_retries()")


def test_a_filter_of_cancel_reaches_scheduled_sends(business: Business, queue: SupabaseQueue, command: Command) -> None:
    """They wait, too. It is only tried without --yes."""
    scheduled, text = business.scheduled(due=HOUR), business.due_text()
    asked = ("texts", "cancel", "--business", business.id)
    assert "Would cancel 2 of 2" in command(*asked).output
    assert business.scheduled_send(scheduled)["status"] == "scheduled"
    assert "Would cancel 1 of 1" in command(*asked, "--state", "scheduled").output
    assert "Cancelled 2 of 2" in command(*asked, "--yes", "--who", "Ann", "--because", "Closed for good").output
    row = business.scheduled_send(scheduled)
    assert (row["status"], row["why"]) == ("cancelled", "Cancelled by Ann: Closed for good")
    assert business.row(text)["status"] == "cancelled"
    told = command("explain", "--row", scheduled).output
    assert "Cancelled, no longer wanted: Cancelled by Ann: Closed for good" in told
    assert process(queue) == []


# Whose it is


def test_a_tenant_plans_moves_and_cancels_its_own_and_no_others(business: Business, queue: SupabaseQueue) -> None:
    """To its own customers; its class and its send log are not its to set."""
    connection, refused = business.connection, partial(pytest.raises, psycopg.errors.InsufficientPrivilege)
    neighbor = Business(connection, business.now).open()
    theirs, own = neighbor.scheduled(), business.scheduled()
    customer, stranger = business.customer(), neighbor.customer()
    planned = "insert into scheduled_sends (business_id, customer_id, body, scheduled_for) values (%s, %s, 'Hi', now())"
    with acting_as(connection, "authenticated", business.user_id):
        connection.execute(planned.encode(), [business.id, customer])
        for foreign in ([business.id, stranger], [neighbor.id, stranger]):
            with refused(match="row-level security"), connection.transaction():
                connection.execute(planned.encode(), foreign)
        for column in ("message_class = 'transactional'", "send_log_id = id", "business_id = business_id"):
            with refused(match="permission denied"), connection.transaction():
                connection.execute(f"update scheduled_sends set {column}".encode())
        for statement in ("delete from scheduled_sends", "select queue_scheduled_sms()"):
            with refused(match="permission denied"), connection.transaction():
                connection.execute(statement.encode())
        assert connection.execute("select 1 from scheduled_sends where id = %s", [theirs]).fetchone() is None
        update(business, theirs, status="cancelled")
        connection.execute("reset role")
        assert neighbor.scheduled_send(theirs)["status"] == "scheduled"
    process(queue)
    with acting_as(connection, "authenticated", business.user_id):
        update(business, own, status="cancelled")
        update(business, theirs, status="cancelled")
        connection.execute("reset role")
        assert business.text_of(own)["status"] == "cancelled"
        assert neighbor.text_of(theirs)["status"] == "pending"


def test_an_applications_own_table_keeps_its_columns_its_words_and_its_rows(original: Database) -> None:
    """Ours are added; only rows that are `scheduled` are taken."""
    original.run(
        """create table scheduled_sends (
               id uuid primary key default gen_random_uuid(), business_id uuid not null, customer_id uuid,
               template text not null default 'reminder', scheduled_for timestamptz not null,
               status text not null default 'pending');
           insert into businesses (id, user_id, name)
           values ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'Maple');
           insert into scheduled_sends (business_id, scheduled_for)
           values ('00000000-0000-0000-0000-000000000001', 'infinity')"""
    )
    migrate(original.url)
    migrate(original.url, again=True)
    assert original.rows("select * from queue_scheduled_sms()") == []
    row = original.one("select template, status, message_class from scheduled_sends")
    assert (row["template"], row["status"], row["message_class"]) == ("reminder", "pending", "marketing")
    original.run("update scheduled_sends set scheduled_for = now(), status = 'scheduled'")
    assert [row["result"] for row in original.rows("select * from queue_scheduled_sms()")] == ["failed"]


def test_a_run_without_prefect_queues_them_and_sends_what_is_due(
    stack: Stack, business: Business, command: Command
) -> None:
    """Where cron runs `smsretry process`."""
    business.scheduled(due=-SOON)
    business.scheduled(body=" ")
    told = command("process").output
    assert told.startswith("scheduled sends: queued 1 · failed 1\n")
    assert "sent 1" in told
    assert len(stack.twilio.ledger.entries()) == 1
