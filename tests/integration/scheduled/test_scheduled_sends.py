"""Scheduled sends: each becomes exactly one text, at its time and with every check, or there is a reason why not."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry import schedule_sms
from smsretry.adapters.migrations.migrate import migrate
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.errors import InputError
from smsretry.retry.answers import Scheduled
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.integration.catalog import Database
from tests.integration.conftest import Command
from tests.integration.story import Story
from tests.integration.unchangeable import HARMS, MENDED, STUCK, planted
from tests.support.builders import BODY, NOON
from tests.support.records import columns
from tests.support.shop import Shop
from tests.support.waiting import until_locked_out

SOON = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def process(shop: Shop, **options: Any) -> list[str]:
    """One run of process-scheduled-sends: what became of each."""
    return [send.result for send in queue_scheduled_sends(shop.queue, **options).sends]


def schedule(shop: Shop, at: datetime, body: str = BODY, **options: Any) -> Scheduled:
    """The application plans a text by the call."""
    planned = {"customer_id": shop.customer()} | options
    return schedule_sms(
        business_id=shop.id, body=body, scheduled_for=at, queue=shop.queue, **planned
    )


def plan(shop: Shop, scheduled_id: UUID) -> tuple[Any, ...]:
    """The status of a scheduled send, and why."""
    return columns(shop.scheduled_send(scheduled_id), "status", "why")


def update(shop: Shop, scheduled_id: UUID, **values: object) -> None:
    """As the application does, by the row's id."""
    columns = ", ".join(f"{name} = %s" for name in values)
    shop.sql(
        f"update scheduled_sends set {columns} where id = %s",
        *values.values(),
        scheduled_id,
    )


# In


def test_a_scheduled_send_becomes_one_text_and_goes_out_at_its_time(shop: Shop) -> None:
    """Queued shortly before, sent once it is due, and once only."""
    at = shop.now() + 3 * SOON
    planned = schedule(shop, at, message_class="transactional")
    assert (planned.result, planned.due_at) == ("scheduled", at)
    assert process(shop) == []
    shop.later(minutes=1)
    assert process(shop) == ["queued"]
    text = shop.text_of(planned.scheduled_id)
    kept = columns(text, "scheduled_for", "message_class", "status")
    assert kept == (at, "transactional", "pending")
    assert shop.run() == []
    shop.later(minutes=2)
    assert (shop.run(), process(shop), shop.run()) == (["Sent"], [], [])
    assert [entry.body for entry in shop.messages] == [BODY]
    row = shop.scheduled_send(planned.scheduled_id)
    assert columns(row, "status", "send_log_id") == ("queued", planned.scheduled_id)
    assert shop.statuses(text["id"]) == ("completed", "sent")


def test_scheduling_may_be_repeated_with_an_id(shop: Shop) -> None:
    """An answer that was lost doubles nothing; the id is not another text's."""
    at = shop.now() + HOUR
    named: dict[str, Any] = {"customer_id": shop.customer(), "scheduled_id": uuid4()}
    results = [schedule(shop, at, **named).result for _ in range(2)]
    assert results == ["scheduled", "already_scheduled"]
    with pytest.raises(InputError, match="is another text"):
        schedule(shop, at, "Another", **named)


def test_a_text_that_is_planned_for_a_past_time_is_planned_for_now(shop: Shop) -> None:
    """And is of use from now on."""
    planned = schedule(shop, shop.now() - 60 * HOUR)
    assert abs(planned.due_at - shop.now()) < SOON
    assert process(shop) == ["queued"]


WRONG: Final[list[tuple[str, object, str]]] = [
    ("body", " \n", "body is empty"),
    ("body", "x" * 1601, "body is longer than 1600 characters"),
    ("customer_id", UUID(int=1), "There is no customer"),
    ("business_id", UUID(int=1), "There is no customer"),
    ("scheduled_for", datetime(2101, 1, 1, tzinfo=UTC), "a time in this century"),
    ("not_after", NOON, "not_after must come after scheduled_for"),
    ("message_class", "urgent", "must be marketing or transactional"),
]
NEVER = [
    "scheduled_for = 'infinity'", "not_after = '-infinity'", "not_after = scheduled_for", "status = 'queued'",
    "message_class = 'urgent'", "body = repeat('x', 1601)", "status = 'pending'", "held_since = now()",
]  # fmt: skip


def test_what_cannot_be_is_refused_when_it_is_scheduled_and_by_constraint_whoever_writes_it(
    shop: Shop,
) -> None:
    """And not only when its time comes."""
    given: dict[str, Any] = {
        "business_id": shop.id, "customer_id": shop.customer(), "body": BODY,
        "scheduled_for": shop.now() + HOUR,
    }  # fmt: skip
    for name, value, complaint in WRONG:
        with pytest.raises(InputError, match=complaint):
            schedule_sms(**given | {name: value}, queue=shop.queue)
    assert shop.sql("select 1 from scheduled_sends") == []
    shop.scheduled()
    for wrong in NEVER:
        with pytest.raises(psycopg.errors.CheckViolation):
            shop.sql(f"update scheduled_sends set {wrong}")


# One text


STORIES = {
    "a row that is set back to scheduled behind our backs is still one text: its send log has its id": """
        planned due=-1
        plans: queued
        run: Sent
        sql alter table scheduled_sends disable trigger smsretry_scheduled_send_changed
        sql update scheduled_sends set status = 'scheduled', send_log_id = null
        sql alter table scheduled_sends enable trigger smsretry_scheduled_send_changed
        plans: queued
        run:
        messages: 1""",
    "rows that cannot become texts fail alone, each with its reason": """
        planned gone
        planned empty body=
        planned foreign
        planned taken
        planned theirs
        planned fine
        neighbor's customer stranger
        sql delete from customers where id = (select customer_id from scheduled_sends where id = {gone})
        sql update scheduled_sends set customer_id = {stranger} where id = {foreign}
        sql insert into send_logs (id, business_id, customer_id, channel, subject) \
            select id, business_id, customer_id, 'sms', 'Other words' from scheduled_sends where id = {taken}
        sql insert into send_logs (id, business_id, customer_id, channel, subject) \
            select s.id, c.business_id, s.customer_id, 'sms', s.body from scheduled_sends s, customers c \
            where s.id = {theirs} and c.id = {stranger}
        plans: failed, failed, failed, failed, failed, queued
        plan gone: failed, Customer not found
        plan empty: failed, Text is empty: scheduled_sends.body holds none
        plan foreign: failed, Customer not found
        plan taken: failed, Its id is that of another send log: schedule the text anew
        plan theirs: failed, Its id is that of another send log: schedule the text anew
        plan fine: queued, None
        select count(*) from sms_retry_queue: 1""",
    "a row is held for as long as it is of use, and then cancelled with what was wrong": """
        planned plain due=-1
        planned short due=-1
        planned long due=-1
        sql update scheduled_sends set not_after = smsretry.clock() + interval '1 hour' where id = {short}
        sql update scheduled_sends set not_after = smsretry.clock() + interval '1000 hours' where id = {long}
        sql alter table send_logs add constraint closed check (false) not valid
        plans: held, held, held
        sql create temp table since as select held_since from scheduled_sends where id = {plain}
        1 hour
        plans: cancelled, held, held
        select count(*) from scheduled_sends join since using (held_since) where id = {plain}: 1
        47 hours
        plans: cancelled, held
        sql alter table send_logs drop constraint closed
        select count(*) from scheduled_sends where status = 'cancelled' \
            and why like 'Expired before it could be sent. Its text cannot%': 2""",
    "an update moves, changes and cancels it, and its text once it is queued": """
        planned moved due=1
        planned cancelled due=1
        planned other due=61
        planned gone due=61
        sql select queue_scheduled_sms(ahead => '9 hours')      # none is queued further ahead than an hour
        select count(*) from sms_retry_queue: 2
        sql update scheduled_sends set scheduled_for = smsretry.clock() + interval '9 hours', body = 'Later' \
            where id = {other}
        sql update scheduled_sends set status = 'cancelled' where id = {gone}
        plan gone: cancelled, Cancelled by the application
        sql update scheduled_sends set status = 'scheduled' where id = {gone}
        plan gone: scheduled, None
        sql update scheduled_sends set status = 'cancelled' where id = {gone}
        sql update sms_retry_queue set held_since = smsretry.clock(), why = 'It waits'
        sql update scheduled_sends set scheduled_for = smsretry.clock() + interval '1 hour', \
            not_after = smsretry.clock() + interval '2 hours' where id = {moved}
        sql update scheduled_sends set status = 'cancelled', why = 'The appointment was moved' where id = {cancelled}
        select q.held_since is null and q.scheduled_for = s.scheduled_for and expires_at = not_after \
            from sms_retry_queue q join scheduled_sends s on s.id = q.send_log_id where s.id = {moved}: True
        select last_error from sms_retry_queue where status = 'cancelled': The appointment was moved
        select error_message from send_logs where id = {cancelled}: The appointment was moved
        2 minutes
        run:
        1 hour
        run: Sent
        8 hours
        plans: queued
        select subject from send_logs where id = {other}: Later""",
    "an update changes no other business's row of its send log, though a tenant may insert one": """
        planned due=-1
        plans: queued
        sql update sms_retry_queue set status = 'completed'
        neighbor's customer stranger
        sql insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for) \
            select business_id, {it}, id, smsretry.clock() from customers where id = {stranger}
        refused update scheduled_sends set status = 'cancelled': ...has ended...
        select status from sms_retry_queue where customer_id = {stranger}: pending""",
    "a trigger of the application's may add to a text's words": """
        planned due=-1
        sql create function public.meddle() returns trigger language plpgsql as $$ begin \
            new.subject := new.subject || ' Reply STOP to end.'; return new; end $$
        sql create trigger a_meddle before insert on send_logs for each row execute function public.meddle()
        plans: queued
        run: Sent
        sql drop function public.meddle cascade
        select subject like '% Reply STOP to end.' from send_logs: True
        messages: 1""",
    "monitors learn of scheduled sends that nobody queues, ten minutes late": """
        planned due=-11
        sql select start_sms_run('00000000-0000-0000-0000-000000000001')
        sql select finish_sms_run('00000000-0000-0000-0000-000000000001', 'idle')
        refused select check_sms_retries(): scheduled sends overdue and not queued: 1 since ...""",
    "past its use it is cancelled with the reason; before a restore it may have gone out": """
        sql insert into smsretry.restores select now - interval '1 hour', now, 'Ann', 'Lost' from smsretry.clock() now
        planned early due=-1
        planned late due=1
        planned waiting due=60
        sql update scheduled_sends set not_after = smsretry.clock() + interval '2 minutes' where id <> {waiting}
        sql update scheduled_sends set not_after = smsretry.clock() + interval '61 minutes' where id = {waiting}
        3 minutes
        plans: cancelled, cancelled
        plan late: cancelled, Expired before it could be sent
        select why like '%may have gone out before the database was restored%' from scheduled_sends \
            where id = {early}: True
        57 minutes
        plans: queued
        2 minutes
        run: InDoubt
        30 runs
        select last_error from sms_retry_queue: Expired before it could be sent: it was due on 2027-01-12 (UTC)""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_scheduled_sends(shop: Shop, story: str) -> None:
    """Before its text is queued, and afterwards."""
    Story(shop).tell(STORIES[story])


def test_a_worker_that_dies_before_it_has_committed_leaves_the_row_to_the_next(
    shop: Shop,
) -> None:
    """All of it, or nothing."""
    scheduled = shop.scheduled()
    dying = shop.stack.connect()
    dying.autocommit = False
    queued = "select result from queue_scheduled_sms(ahead => interval '2 minutes')"
    assert dying.execute(queued).fetchall() == [{"result": "queued"}]
    shop.neighbor().scheduled()
    assert process(shop) == ["queued"]  # it has the row, and is passed over
    shop.sql("select pg_terminate_backend(%s, 5000)", dying.info.backend_pid)
    dying.close()
    assert plan(shop, scheduled) == ("scheduled", None)
    assert shop.sql("select 1 from send_logs where id = %s", scheduled) == []
    assert process(shop) == ["queued"]
    shop.later(minutes=2)
    assert shop.run() == ["Sent", "Sent"]
    assert len(shop.messages) == 2


# A row answers for itself alone


def test_a_business_that_somebody_has_locked_delays_nobody_else(shop: Shop) -> None:
    """Its texts are queued by a later run. The first one waits for a second, and the others are passed over."""
    neighbor = shop.neighbor()
    with shop.connection.transaction():
        for _ in range(20):
            shop.scheduled()
        theirs = neighbor.scheduled()
    with shop.locked("businesses where id = %s", shop.id):
        assert sorted(process(shop)) == ["later", "queued"]
    assert plan(neighbor, theirs) == ("queued", None)
    waiting = "select count(*) from scheduled_sends where status = 'scheduled'"
    assert shop.value(waiting) == 20
    shop.later(minutes=1)
    assert process(shop) == ["queued"] * 20


_LOCKED_OUT = f"""
    create function locked_out() returns trigger language plpgsql as
    $$ begin if new.subject = '{STUCK}' then raise lock_not_available; end if; return new; end $$;
    create trigger locked_out before insert on send_logs for each row execute function locked_out()
""".encode()


def test_a_text_that_is_always_locked_out_keeps_its_business_waiting_for_one_run(
    shop: Shop,
) -> None:
    """The next run tries the others first."""
    with shop.connection.transaction():
        shop.scheduled(due=-HOUR, body=STUCK)
        others = [shop.scheduled() for _ in range(3)]
    shop.connection.execute(_LOCKED_OUT)
    try:
        assert process(shop) == ["later"]
        shop.later(minutes=1)
        assert process(shop) == ["queued"] * 3 + ["later"]
    finally:
        shop.connection.execute("drop function locked_out cascade")
    assert {plan(shop, other) for other in others} == {("queued", None)}


@pytest.mark.parametrize("harm", HARMS)
def test_rows_that_nobody_can_change_block_no_other_and_are_reported(
    shop: Shop, command: Command, harm: str
) -> None:
    """They stayed the oldest and came back each time. After two days they are cancelled, as soon as they can be."""
    neighbor = shop.neighbor()
    with shop.connection.transaction():
        for _ in range(9):
            stuck = shop.scheduled(due=-HOUR, body=STUCK)
        theirs = neighbor.scheduled()
    with planted(shop.connection, HARMS[harm]):
        assert sorted(process(shop, batch=2, seconds=120)) == ["held"] * 9 + ["queued"]
        assert plan(neighbor, theirs) == ("queued", None)
        assert process(shop, batch=2) == ["held"] * 9
        for rows, count in (
            ("scheduled_sends where body = %s and status = 'scheduled'", 9),
            ("sms_retry_queue where %s <> ''", 1),
            ("send_logs where %s <> ''", 1),
        ):
            assert shop.value(f"select count(*) from {rows}", STUCK) == count
        cancel = ("texts", "cancel", "--row", stuck)
        for words in (("explain", stuck), ("preview",), cancel):
            assert command(*words).exit_code == 0
        assert "planned, " in command("status").output
        shop.later(hours=49)
        shop.sql(MENDED)
        assert set(process(shop)) <= {
            "cancelled",
            "held",
        }  # of no class and no time of ours, until that is mended
        assert shop.sql("select 1 from send_logs where id <> %s", theirs) == []


SIGNED = ("--yes", "--who", "Ann", "--because", "Closed for good")


def test_a_row_that_nobody_can_change_is_reported_by_each_run_and_goes_on_once_that_is_fixed(
    shop: Shop, command: Command
) -> None:
    """The row cannot keep it: only the runs say why."""
    shop.scheduled(due=-timedelta(minutes=20), body=STUCK)
    other = shop.scheduled(due=HOUR)
    with planted(shop.connection, HARMS["a trigger raises"]):
        assert process(shop) == ["held"]
        [send] = shop.queue.queue_scheduled(10, timedelta(minutes=2))
        assert re.match(
            "Its text cannot be made: P0001. Look at what send_logs.* Its row cannot be changed "
            r"\(P0001\): fix the row, or look at the triggers and rules of ",
            str(send.why),
        )
        assert command("preview").exit_code == 0
        ended = command("texts", "cancel", "--business", shop.id, *SIGNED).output
        assert "Cancelled 1 of 2" in ended
        refuses = (
            "A trigger or a rule of the application refuses each change of it (P0001)"
        )
        assert f"1 left alone: {refuses}" in ended
        assert plan(shop, other)[0] == "cancelled"
        shop.sql(MENDED)
        shop.later(minutes=15)
        assert (process(shop), shop.run()) == (["queued"], ["Sent"])


MADE = """
create function public.meddle() returns trigger language plpgsql as $$ begin {} end $$;
create trigger a_meddle before insert on send_logs for each row execute function public.meddle()
"""


_STATUS = "alter table send_logs alter status {}".format


_CALM = "alter table send_logs drop constraint calm"

UNTRUE = [
    (_STATUS("drop default"), _STATUS("set default 'pending'"), "23502, send_logs, status. Look at what send_logs"),
    (_STATUS("set default 'sent'"), _STATUS("set default 'pending'"), "its send log says from the start"),
    (MADE.format("return null;"), MENDED, "its send log was not kept; a trigger on send_logs swallows it"),
    ("alter table send_logs add constraint calm check (subject not like '%!') not valid", _CALM,
     "23514, send_logs, calm"),
]  # fmt: skip


def test_what_the_application_can_mend_holds_a_row_and_it_goes_on_by_itself(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """A send log that its table refuses, swallows or calls sent. The reason names the place and quotes nothing."""
    for harm, mended, reason in UNTRUE:
        scheduled = shop.scheduled(due=-SOON, body="Hi!")
        with shop.changed(harm, mended):
            assert process(shop) == ["held"]
            status, why = plan(shop, scheduled)
            assert status == "scheduled"
            assert why.startswith(f"Its text cannot be made: {reason}")
            assert process(shop) == []
            assert operators.status().queue == {"held": 1}
            assert shop.sql("select 1 from send_logs where id = %s", scheduled) == []
            if mended == _CALM:  # it is looked at at once when its words are changed
                update(shop, scheduled, body="Hi.")
                assert process(shop) == ["queued"]
        if mended != _CALM:
            shop.later(minutes=15)
            assert process(shop) == ["queued"]
        assert plan(shop, scheduled) == ("queued", None)
        assert shop.run() == ["Sent"]


def test_a_table_that_does_not_take_a_text_is_named_and_the_text_is_quoted_nowhere(
    shop: Shop,
) -> None:
    """The database's own error has the row in its detail, and that goes into its log."""
    customer, at = shop.customer(), shop.now() + HOUR
    own = "alter table scheduled_sends {} column template {}"
    with shop.changed(own.format("add", "text not null"), own.format("drop", "")):
        with pytest.raises(
            InputError, match="scheduled_sends does not take the text: 23502, template"
        ):
            schedule_sms(shop.id, customer, BODY, at, queue=shop.queue)
        with pytest.raises(psycopg.Error) as raised:
            shop.sql("select schedule_sms(%s, %s, %s, %s)", shop.id, customer, BODY, at)
        assert BODY not in f"{raised.value} {raised.value.diag.message_detail}"


# While it waits


def test_once_its_send_has_begun_it_is_too_late_and_the_update_says_so(
    shop: Shop,
) -> None:
    """Under way, in doubt, ended: the row goes on saying what is true."""
    scheduled = shop.scheduled(due=-SOON)
    process(shop)

    def refused(why: str, **change: object) -> None:
        with pytest.raises(psycopg.Error, match=why):
            update(shop, scheduled, **change)

    for name, value in (
        ("body", "Another"),
        ("status", "scheduled"),
        ("status", "failed"),
    ):
        refused("can be moved or cancelled, and nothing else", **{name: value})
    claim, other = shop.claim(), shop.scheduled(due=HOUR)
    refused("with a worker at this moment", status="cancelled")
    with pytest.raises(psycopg.Error, match="with a worker at this moment"):
        shop.sql("update scheduled_sends set status = 'cancelled'")
    waits = shop.sql(
        "update scheduled_sends set status = 'cancelled' where status = 'scheduled' returning id"
    )
    assert waits == [{"id": other}]
    shop.sql(
        """update sms_retry_queue
           set status = 'pending', in_doubt_since = now(), attempt_id = gen_random_uuid(), claimed_at = null"""
    )
    refused("may have gone out", status="cancelled")
    shop.sql("update sms_retry_queue set status = 'failed', in_doubt_since = null")
    refused("has ended", scheduled_for=shop.now() + HOUR)
    assert plan(shop, scheduled) == ("queued", None)
    assert claim.send_log_id == scheduled


def test_an_update_waits_for_a_claim_that_is_under_way(shop: Shop) -> None:
    """Else the text would be cancelled under the worker's hands."""
    scheduled = shop.scheduled(due=-SOON)
    process(shop)
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as worker:
        with worker.transaction():
            worker.execute("select from claim_due_sms_retries()")
            waiting = pool.submit(update, shop, scheduled, status="cancelled")
            until_locked_out(shop.connection, seen_by=worker)
        with pytest.raises(psycopg.Error, match="with a worker at this moment"):
            waiting.result()
    assert shop.text_of(scheduled)["status"] == "processing"


def test_it_is_of_use_until_its_not_after_whatever_zone_the_database_keeps(
    shop: Shop,
) -> None:
    """New York's clocks went on by an hour in between, and a day that was added there had 23 hours."""
    shop.at(datetime(2027, 3, 13, 17, tzinfo=UTC))
    not_after = shop.now() + timedelta(hours=40)
    scheduled = shop.scheduled(due=-2 * HOUR)
    update(shop, scheduled, not_after=not_after)
    with shop.connection.transaction():
        shop.sql("set local timezone = 'America/New_York'")
        shop.sql("select * from queue_scheduled_sms()")
    assert abs(shop.text_of(scheduled)["expires_at"] - not_after) < timedelta(seconds=1)


# What people see


def test_a_filter_of_cancel_reaches_scheduled_sends(
    shop: Shop, command: Command
) -> None:
    """They wait, too. It is only tried without --yes."""
    scheduled, text = shop.scheduled(due=HOUR), shop.due_text()
    asked = ("texts", "cancel", "--business", shop.id)
    for words, answer in (
        ((), "Would cancel 2 of 2"),
        (("--state", "scheduled"), "Would cancel 1 of 1"),
        (SIGNED, "Cancelled 2 of 2"),
    ):
        assert plan(shop, scheduled) == ("scheduled", None)
        assert answer in command(*asked, *words).output
    why = "Cancelled by Ann: Closed for good"
    assert plan(shop, scheduled) == ("cancelled", why)
    assert shop.status_of(text) == "cancelled"
    printed = command("explain", scheduled).output
    assert f"Cancelled, no longer wanted: {why}" in printed
    assert process(shop) == []


# Whose it is


def test_a_tenant_plans_moves_and_cancels_its_own_and_no_others(shop: Shop) -> None:
    """To its own customers; its class and its send log are not its to set."""
    neighbor = shop.neighbor()
    theirs, own = neighbor.scheduled(), shop.scheduled()
    customer, stranger = shop.customer(), neighbor.customer()

    def refused(words: str, statement: str, *values: object) -> None:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match=words),
            shop.connection.transaction(),
        ):
            shop.sql(statement, *values)

    planned = "insert into scheduled_sends (business_id, customer_id, body, scheduled_for) values (%s, %s, 'Hi', now())"
    with shop.acting_as("authenticated", shop.user_id):
        shop.sql(planned, shop.id, customer)
        for owner in (shop, neighbor):
            refused("row-level security", planned, owner.id, stranger)
        failed = "update scheduled_sends set status = 'failed' where id = %s"
        refused("row-level security", failed, own)
        for statement in (
            "update scheduled_sends set message_class = 'transactional'",
            "update scheduled_sends set send_log_id = id",
            "update scheduled_sends set business_id = business_id",
            "delete from scheduled_sends",
            "select queue_scheduled_sms()",
            "insert into scheduled_sends (message_class) values ('transactional')",
        ):
            refused("permission denied", statement)
        assert shop.sql("select 1 from scheduled_sends where id = %s", theirs) == []
        update(shop, theirs, status="cancelled")
        shop.sql("reset role")
        assert plan(neighbor, theirs) == ("scheduled", None)
    process(shop)
    with shop.acting_as("authenticated", shop.user_id):
        update(shop, own, status="cancelled")
        update(shop, own, status="scheduled")
        update(shop, theirs, status="cancelled")
        shop.sql("reset role")
        assert plan(shop, own)[0] == "cancelled"
        texts = [shop.text_of(send)["status"] for send in (own, theirs)]
        assert texts == ["cancelled", "pending"]


def test_an_applications_own_table_keeps_its_columns_its_words_and_its_rows(
    original: Database,
) -> None:
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
    row = original.single_row(
        "select template, status, message_class from scheduled_sends"
    )
    assert columns(row, "template", "status", "message_class") == (
        "reminder",
        "pending",
        "marketing",
    )
    original.run(
        "update scheduled_sends set scheduled_for = now(), status = 'scheduled'"
    )
    assert [
        row["result"] for row in original.rows("select * from queue_scheduled_sms()")
    ] == ["failed"]


def test_a_run_without_prefect_queues_them_and_sends_what_is_due(
    shop: Shop, command: Command
) -> None:
    """Where cron runs `smsretry process`."""
    shop.scheduled(due=-SOON)
    shop.scheduled(body=" ")
    printed = command("process").output
    assert printed.startswith("scheduled sends: 1 queued · 1 failed\n")
    assert "1 sent" in printed
    assert len(shop.messages) == 1
