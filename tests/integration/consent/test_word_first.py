"""A word is kept before anything else happens, and nothing that follows takes it back: a lock, a trigger, a timeout.

A long import, a campaign or a report of one business had cost every business the STOP. The API gives up a statement
after a second here, and after eight at Supabase.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ExplainText
from smsretry.local.twilio.faults import JsonError
from tests.integration.hearing import (
    consents,
    consents_of,
    customer_of,
    hear,
    hear_in_full,
    is_out,
)
from tests.support.builders import NOON, PHONE
from tests.support.impatience import impatient
from tests.support.records import columns
from tests.support.shop import Shop

CHANGES = "from customers where business_id = %s for update"
"""An import has them."""
SLOW = "a trigger that takes longer than the API waits"
REFUSES = "a trigger that refuses"
SOURCES = "check (sms_consent_source in ('web', 'paper'))"
PHONE_STATUSES = "check (phone_status in ('valid', 'unverified'))"
LATER = NOON + timedelta(hours=1)
OBSTACLES = {
    CHANGES: f"select {CHANGES}",
    "send logs": "select from send_logs where business_id = %s for update",
    "the business, so that two imports do not run at once": "select from businesses where id = %s for update",
    "customers' keys, by texts that are being written": "select from customers where business_id = %s for key share",
    "a customer who is being inserted": """insert into customers (business_id, phone, sms_consent_status)
                                           values (%s, '+12125550123', 'opted_out')""",
    SLOW: "perform pg_sleep(3); return new",
    REFUSES: "raise exception 'Customer % may not be changed', new.phone",
    "a rule that refuses at the end, where nothing could be caught any more": "",
}
"""What others hold of one business, and rules of its application's."""
FREE = [*OBSTACLES][2:5]
"""They keep nobody from changing a customer."""
TRIGGER = """
create function app_rule() returns trigger language plpgsql as $$ begin {}; end $$;
create {} on customers {} for each row when (new.business_id = '{}') execute function app_rule()"""
GONE = """drop function if exists app_rule cascade;
alter table customers drop constraint if exists app_rule"""


def trigger(shop: Shop, body: str) -> str:
    """The application's own, on each change of a customer of this business."""
    if body:
        return TRIGGER.format(body, "trigger app_rule before update", "", shop.id)
    late = "deferrable initially deferred"
    refuses = "raise exception 'no'"
    return TRIGGER.format(
        refuses, "constraint trigger app_rule after update", late, shop.id
    )


@contextmanager
def beside(shop: Shop, obstacle: str) -> Iterator[None]:
    """It is there for a while."""
    check = f"alter table customers add constraint app_rule {obstacle} not valid"
    statement = OBSTACLES.get(obstacle, check)
    if "%s" in statement:
        with shop.stack.connect() as other, other.transaction(force_rollback=True):
            other.execute(statement.encode(), [shop.id])
            yield
        return
    rule = check if statement == check else trigger(shop, statement)
    with shop.changed(rule, GONE):
        yield


def warnings(shop: Shop, order: str) -> list[str]:
    """What the database's log says of a person's order."""
    said = list[str]()
    with shop.stack.connect() as connection:
        connection.add_notice_handler(
            lambda note: said.append(
                f"{note.message_primary} {note.message_detail} {note.context}"
            )
        )
        connection.execute(order.encode(), [PHONE])
    return said


def by_api(shop: Shop, statement: str, *values: object) -> None:
    """A call that is given up as the API's is."""
    with shop.stack.connect() as connection:
        connection.execute(b"set statement_timeout = '1s'")
        connection.execute(statement.encode(), values)


SAYS: dict[str, Callable[[Shop], None]] = {
    "STOP": lambda shop: by_api(
        shop, "select record_inbound_sms(%s, 'SM' || repeat('1', 32), 'STOP')", PHONE
    ),
    "order": lambda shop: by_api(
        shop, "select record_sms_consent(%s, 'opted_out', 'letter')", PHONE
    ),
    "import": lambda shop: by_api(
        shop,
        """select import_sms_opt_outs(
               jsonb_build_array(jsonb_build_object('phone', %s::text, 'at', '2026-11-01T10:00:00Z')),
               all_businesses => true, dry_run => false, who => 'Ann', because => 'Moved')""",
        PHONE,
    ),
}


@pytest.mark.parametrize("obstacle", [*OBSTACLES, SOURCES])
@pytest.mark.parametrize("say", SAYS)
def test_an_opt_out_holds_at_once_and_a_run_marks_whom_it_could_not(
    shop: Shop, operators: SupabaseOperators, obstacle: str, say: str
) -> None:
    """Nobody is texted at four businesses. The others' rows say so soon, and that one's when it lets them."""
    owners = [shop, *(shop.neighbor() for _ in range(3))]
    rows = [owner.due_text() for owner in owners]
    with beside(shop, obstacle):
        SAYS[say](shop)
        assert all(is_out(owner) for owner in owners)
        [text] = operators.texts(ExplainText(id=rows[0]))
        assert text.opted_out_since is not None
        before = consents_of(shop)[0][0]
        assert before == ("opted_out" if obstacle in FREE else "opted_in")
        if "%s" in OBSTACLES.get(obstacle, ""):
            assert [consents_of(owner)[0][0] for owner in owners[1:]] == [
                "opted_out"
            ] * 3
    for _ in range(2):
        shop.run()
        shop.later(minutes=1)
    assert shop.ends(*rows) == "cancelled cancelled cancelled cancelled"
    assert not shop.messages
    assert {consents_of(owner)[0][0] for owner in owners} == {"opted_out"}
    assert not shop.sql("select from smsretry.consents where mark_at is not null")


@pytest.mark.parametrize(
    ("held", "unmarked"),
    [(CHANGES, 1), ("send logs", 1), *((free, 0) for free in FREE)],
)
def test_an_answer_counts_who_was_marked_and_who_will_be(
    shop: Shop, held: str, unmarked: int
) -> None:
    """A STOP that is said again is no news, and a START is."""
    owners = [shop, *(shop.neighbor() for _ in range(2))]
    for owner in owners:
        owner.due_text()
    stop, done = "SM" + "a" * 32, 3 - unmarked
    with beside(shop, held):
        reply = hear_in_full(shop, "STOP", sid=stop)
    assert [*reply.values()] == ["opted_out", done, done, unmarked]
    shop.run()
    row = shop.due_text()
    assert shop.run() == ["Cancelled"]
    assert shop.row(row)["last_error"].startswith("Customer opted out (it is on record")
    shop.sql("delete from customers where id = %s", shop.row(row)["customer_id"])
    shop.later(minutes=1)
    assert hear(shop, "STOP", sid=stop) == ("already_recorded", 0, 0)
    assert hear(shop, "START") == ("opted_in", 3, 0)


@pytest.mark.parametrize(
    ("code", "obstacle"),
    [(21610, SOURCES), (21610, REFUSES), (21610, SLOW), (21211, PHONE_STATUSES)],
)
def test_what_twilio_refuses_ends_its_text_though_nobody_can_be_marked(
    shop: Shop, code: int, obstacle: str
) -> None:
    """Row, send log and attempt have the outcome, and an opt-out holds. The database's log names the business, and
    quotes nobody.
    """
    row = shop.due_text()
    customer = customer_of(shop, shop.row(row)["customer_id"])
    waits = shop.queue_row(shop.send_log(customer["id"]), customer["id"])
    shop.sql(
        "update sms_retry_queue set scheduled_for = %s where id = %s", LATER, waits
    )
    shop.twilio.fail(JsonError(code, http_status=400), times=None)
    with beside(shop, obstacle), impatient(shop.stack):
        assert shop.run() == ["Failed"]
        assert customer_of(shop, customer["id"]) == customer
        if obstacle == REFUSES:
            [warning] = warnings(
                shop, "select record_sms_consent(%s, 'opted_out', 'letter')"
            )
            assert str(shop.id) in warning
            assert PHONE[2:] not in warning
    assert shop.fields(row, "status error_code begun_at attempt_id in_doubt_since") == (
        "failed", code, None, None, None,
    )  # fmt: skip
    [attempt] = shop.attempts_of(row)
    assert columns(attempt, "outcome", "error_code") == ("rejected", code)
    assert shop.log_of(row)["error_message"] == shop.row(row)["last_error"]
    if code == 21610:
        posts = shop.twilio.posts
        later = shop.queue_row(shop.send_log(customer["id"]), customer["id"])
        assert shop.run() == ["Cancelled"]
        assert "it is on record" in shop.row(later)["last_error"]
        assert shop.end_of(waits) == ("cancelled", "opted_out")
        assert shop.twilio.posts == posts
        source = consents_of(shop)[0][1]
        assert source == ("letter" if obstacle == REFUSES else "twilio_21610")


LIFTS = {
    "inbound_start": "select record_inbound_sms(%s, 'SM' || repeat('2', 32), 'START')",
    "form": "select record_sms_consent(%s, 'opted_in', 'form', business_id => %s)",
}


@pytest.mark.parametrize("obstacle", [CHANGES, SLOW])
@pytest.mark.parametrize("source", LIFTS)
@pytest.mark.parametrize("stops_again", [False, True])
def test_a_yes_that_could_not_be_written_is_completed_by_a_run_unless_a_stop_came_since(
    shop: Shop, obstacle: str, source: str, stops_again: bool
) -> None:
    """It holds meanwhile. A START counts at once for the neighbor, whose row nothing kept."""
    neighbor = shop.neighbor()
    shop.customer()
    neighbor.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    with beside(shop, obstacle):
        values = (PHONE, shop.id) if source == "form" else (PHONE,)
        by_api(shop, LIFTS[source], *values)
        assert not is_out(shop)
        assert consents_of(shop) == [("opted_out", "inbound_stop")]
        if (obstacle, source) == (CHANGES, "inbound_start"):
            assert consents_of(neighbor) == [("opted_in", "inbound_start")]
    shop.later(minutes=1)
    if stops_again:
        hear(shop, "STOP")
    shop.run()
    wanted = ("opted_out", "inbound_stop") if stops_again else ("opted_in", source)
    assert (consents_of(shop), is_out(shop)) == ([wanted], stops_again)


@pytest.mark.parametrize("then", ["START", "a form", "the application"])
def test_a_run_that_marks_who_could_not_be_marked_undoes_nothing_that_was_said_since(
    shop: Shop, then: str
) -> None:
    """The later word wins, and the row says so."""
    shop.due_text()
    with shop.locked("customers"):
        assert hear_in_full(shop, "STOP")["unmarked"] == 1
    shop.later(minutes=1)
    if then == "START":
        assert hear(shop, "START") == ("opted_in", 0, 0)
    elif then == "a form":
        shop.record_consent("opted_in", "form")
    else:
        shop.sql("update customers set sms_consent_at = %s", shop.now())
    before = consents(shop)
    assert shop.run() == ["Sent"]
    assert (consents(shop), before[0][0]) == (before, "opted_in")
    shop.due_text()
    assert shop.run() == ["Sent"]


def test_a_start_beside_an_opt_out_that_is_being_written_does_not_lift_it(
    shop: Shop,
) -> None:
    """By telephone, which no START takes back."""
    shop.customer()
    hear(shop, "STOP")
    shop.later(minutes=1)
    with shop.stack.connect() as writing, writing.transaction():
        writing.execute("update customers set sms_consent_source = 'telephone'")
        assert hear_in_full(shop, "START")["unmarked"] == 1
    shop.run()
    assert consents(shop) == [("opted_out", "telephone")]


def test_a_word_outlives_a_timeout_between_two_customers(shop: Shop) -> None:
    """Where no rule of the application is at work."""
    shop.customer()
    ours = shop.value("select pg_get_functiondef('smsretry.consent_for'::regproc)")
    slow = ours.replace("begin", "begin perform pg_sleep(3);", 1)
    with shop.changed(slow, ours):
        SAYS["STOP"](shop)
        assert is_out(shop)
    shop.run()
    assert consents_of(shop) == [("opted_out", "inbound_stop")]


CROWD = """
    insert into customers (business_id, phone, sms_consent_status)
    select %s, %s, 'opted_in' from generate_series(1, %s)"""


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_crowd_with_one_number_costs_no_other_business_the_word(
    shop: Shop, count: int
) -> None:
    """A trigger needs 10 ms for each of them. Runs mark the rest, some at a time, and what they have done stays."""
    neighbor = shop.neighbor()
    row = neighbor.due_text()
    shop.sql(CROWD, shop.id, PHONE, count)
    with shop.changed(trigger(shop, "perform pg_sleep(0.01); return new"), GONE):
        SAYS["STOP"](shop)
        assert is_out(shop)
        assert is_out(neighbor)
        shop.run()
    marked = "select count(*) from customers where sms_consent_status = 'opted_out'"
    assert 0 < shop.value(marked) < count + 1
    wait = "select greatest(extract(epoch from min(mark_at) - smsretry.clock()), 0)::integer + 1 from smsretry.consents"
    while (before := shop.value(marked)) <= count:
        shop.later(seconds=shop.value(wait))
        shop.run()
        assert shop.value(marked) > before
    assert neighbor.status_of(row) == "cancelled"


def test_an_idle_run_looks_once_into_an_empty_index_for_what_is_to_be_marked(
    shop: Shop,
) -> None:
    """Also beside many that are not due."""
    shop.sql(
        """insert into smsretry.consents (subject_key, customer_id, said, at, mark_at)
           select '', gen_random_uuid(), 'opted_in', smsretry.clock(), smsretry.clock() + interval '1 day'
           from generate_series(1, 3000)"""
    )
    read = "select pg_stat_get_xact_tuples_returned('smsretry.consents'::regclass)"
    with shop.connection.transaction():
        before = shop.value(read)
        shop.sql("select finish_sms_run(gen_random_uuid(), 'idle')")
        assert shop.value(read) == before


def test_a_bulk_statement_of_the_application_can_be_cut_off(shop: Shop) -> None:
    """Its own timeout is its own: our triggers swallow none."""
    shop.sql(CROWD, shop.id, PHONE, 20)
    ours = shop.value("select pg_get_functiondef('smsretry.keep_words'::regproc)")
    slow = ours.replace("begin", "begin perform pg_sleep(30);", 1)
    with shop.changed(slow, ours), pytest.raises(psycopg.errors.QueryCanceled):
        by_api(shop, "update customers set sms_consent_status = 'opted_out'")
    assert not is_out(shop)
