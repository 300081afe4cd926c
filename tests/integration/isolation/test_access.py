"""Who may do what: the functions are the backend's alone, a tenant sees and queues its own texts, anon does nothing.

Over HTTP with the keys that Supabase issues, and in SQL as the roles that they stand for.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.integration.scene import CHECKS, FUNCTIONS, QUEUE_TABLES, TABLES, Role, Scene
from tests.support.shop import Shop, acting_as

Connection = psycopg.Connection[dict[str, Any]]


def _refused(connection: Connection, statement: str, *values: object) -> str:
    """The message of a refusal. Fails if the statement is not refused for want of a privilege."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised, connection.transaction():
        connection.execute(statement.encode(), values or None)
    return str(raised.value)


# The functions


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_backend_may_call_every_function(scene: Scene, function: str) -> None:
    """The calls that the others are refused are right in themselves, and do something."""
    before = scene.everything()
    response = scene.call("service_role", function, scene.arguments(function))
    assert response.status_code == 200, response.text
    assert (scene.everything() == before) == (function in CHECKS)


def test_nobody_else_may_call_a_function_and_a_reader_one(scene: Scene) -> None:
    """The anon key is in every browser, and a signed-in owner has the rows: refused, and not a byte changed."""
    before = scene.everything()
    callers: list[tuple[Role, int, dict[str, str]]] = [
        ("anon", 401, {}),
        ("authenticated", 403, {"sub": str(scene.business.user_id)}),
        ("smsretry_reader", 403, {}),
    ]
    assert scene.call("smsretry_reader", "ask_sms_desk", scene.arguments("ask_sms_desk")).status_code == 200
    for role, status, owner in callers:
        for function in {*FUNCTIONS} - ({"ask_sms_desk"} if role == "smsretry_reader" else set()):
            response = scene.call(role, function, scene.arguments(function), **owner)
            assert (function, response.status_code, response.json()["code"]) == (function, status, "42501")
    assert scene.everything() == before


def test_no_one_else_has_a_right_to_anything_of_ours(shop: Shop) -> None:
    """To no function in public or smsretry, and to nothing in the schema of the internals: new ones, too. A reader has
    none to the application's tables either, and is a member of nothing.
    """
    for role in ("anon", "authenticated", "smsretry_reader"):
        found = shop.sql(
            f"""select p.proname as name from pg_proc p
                where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                  and has_function_privilege('{role}', p.oid, 'execute')
                union all
                select n.nspname from pg_namespace n
                where n.nspname = 'smsretry' and has_schema_privilege('{role}', n.oid, 'usage, create')
                   or '{role}' = 'smsretry_reader' and has_schema_privilege('{role}', n.oid, 'create')
                union all
                select c.relname from pg_class c
                where (c.relnamespace = 'smsretry'::regnamespace
                       or '{role}' = 'smsretry_reader' and c.relnamespace = 'public'::regnamespace)
                  and c.relkind in ('r', 'v', 'p')
                  and (has_table_privilege('{role}', c.oid, 'select, insert, update, delete, truncate, references')
                       or has_any_column_privilege('{role}', c.oid, 'select, insert, update, references'))
                union all
                select r.rolname from pg_roles r
                where '{role}' = 'smsretry_reader' and r.rolname <> '{role}'
                  and pg_has_role('{role}', r.oid, 'member')"""
        )
        assert [row["name"] for row in found] == (["ask_sms_desk"] if role == "smsretry_reader" else []), role


def test_every_function_is_known_is_its_caller_s_and_trusts_no_search_path(shop: Shop) -> None:
    """What the package takes for its API is all there is in public. `security invoker`, and pg_temp last: no call
    borrows the owner's rights or finds another's table.

    The triggers do, and nobody can call them. So do what makes a text to rehearse with, which only the backend can; the
    pruning, so that nobody may delete history but by it; and what a monitor or a reader asks.
    """
    public = shop.sql("select proname from pg_proc where pronamespace = 'public'::regnamespace")
    assert sorted(row["proname"] for row in public) == sorted(FUNCTIONS)
    wrong = shop.sql(
        """select p.oid::regprocedure::text as name from pg_proc p
           where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
             and (p.prosecdef and p.prorettype <> 'trigger'::regtype and p.proname <> all (%s)
                  or not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false))""",
        ["sample_text", "prune_sms_history", "check_sms_retries", "ask_sms_desk"],
    )
    assert wrong == []


# Anon


def test_anon_sees_and_changes_nothing(scene: Scene) -> None:
    """In the queue it is refused before any policy is asked. Supabase grants it everything in the application's tables,
    where row level security leaves it no row.
    """
    connection = scene.business.connection
    statements = ("select 1 from {}", "insert into {} default values", "update {} set id = id", "delete from {}")
    with acting_as(connection, "anon"):
        for table in QUEUE_TABLES:
            for statement in (*statements, "truncate {} cascade"):
                assert f"permission denied for table {table}" in _refused(connection, statement.format(table))
        inserts = {
            "businesses": "insert into businesses (user_id, name) values (gen_random_uuid(), 'x')",
            "customers": f"insert into customers (business_id) values ('{scene.business.id}')",
            "send_logs": f"insert into send_logs (business_id, channel) values ('{scene.business.id}', 'sms')",
        }
        for table, insert in inserts.items():
            for statement in ("select 1 from {}", "update {} set id = id returning 1", "delete from {} returning 1"):
                assert connection.execute(statement.format(table).encode()).fetchall() == []
            assert "row-level security" in _refused(connection, insert)


# A tenant


def _ids(connection: Connection, query: str) -> set[UUID]:
    return {row["id"] for row in connection.execute(query.encode()).fetchall()}


def test_a_tenant_reads_its_own_rows_and_no_other_s(scene: Scene, shop: Shop) -> None:
    """In the queue, the attempts and the application's tables. A stranger, or a token without a user, reads none."""
    theirs, connection = shop.due_text(), scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        own = {scene.due, scene.claimed, scene.begun, scene.doubtful, scene.looked, scene.suspect}
        own |= {scene.failed, scene.old, scene.unreached, scene.sent}
        assert _ids(connection, "select id from sms_retry_queue") == own
        attempts = _ids(connection, "select retry_id as id from sms_send_attempts")
        assert attempts == {scene.begun, scene.doubtful, scene.looked, scene.sent}
        assert _ids(connection, "select id from businesses") == {scene.business.id}
        assert _ids(connection, "select business_id as id from customers") == {scene.business.id}
        assert _ids(connection, "select business_id as id from send_logs") == {scene.business.id}
    with acting_as(connection, "authenticated", shop.user_id):
        assert _ids(connection, "select id from sms_retry_queue") == {theirs}
        assert _ids(connection, "select id from sms_send_attempts") == set()
    for sub in (uuid4(), None):
        with acting_as(connection, "authenticated", sub):
            for table in TABLES:
                assert _ids(connection, f"select id from {table}") == set()


def _insert(connection: Connection, values: Mapping[str, object]) -> dict[str, Any]:
    statement = sql.SQL("insert into sms_retry_queue ({}) values ({}) returning *").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    with connection.transaction():
        [row] = connection.execute(statement, values).fetchall()
    return row


def _new_row(business: Shop) -> dict[str, Any]:
    customer = business.customer()
    return {
        "business_id": business.id, "send_log_id": business.send_log(customer), "customer_id": customer,
        "status": "pending", "attempt_count": 1, "max_attempts": 3, "scheduled_for": business.now(),
        "last_error": "Twilio was down", "reason": "twilio_error",
    }  # fmt: skip


def test_a_tenant_queues_its_own_text_with_the_original_columns(shop: Shop) -> None:
    """As the application does today; the additions have their defaults, and its life has not begun."""
    values = _new_row(shop)
    with acting_as(shop.connection, "authenticated", shop.user_id):
        row = _insert(shop.connection, values)
    assert {name: row[name] for name in values} == values
    assert (row["claim_no"], row["claimed_at"], row["in_doubt_since"], row["expires_at"]) == (0, None, None, None)
    assert (row["held_since"], row["claimed_by_application"], row["message_class"]) == (None, False, "marketing")


def test_a_tenant_queues_nothing_but_a_new_pending_row_of_its_own(shop: Shop) -> None:
    """Within the limits of attempts that the policy names, and with no business's, text or customer but its own."""
    neighbor = shop.neighbor()
    mine, theirs = _new_row(shop), _new_row(neighbor)
    to_them = _new_row(shop) | {"customer_id": neighbor.customer()}
    to_them["send_log_id"] = shop.send_log(to_them["customer_id"])
    wrong: list[dict[str, object]] = [
        {"status": "processing"}, {"status": "completed"}, {"status": None},
        {"max_attempts": 1000}, {"max_attempts": 0},
        {"attempt_count": -1}, {"attempt_count": 4}, {"attempt_count": None},
    ]  # fmt: skip
    rows = [mine | values for values in wrong] + [theirs, to_them]
    for other in ("business_id", "send_log_id", "customer_id"):
        rows += [mine | {other: theirs[other]}, theirs | {other: mine[other]}]
    for row in rows:
        with acting_as(shop.connection, "authenticated", shop.user_id), pytest.raises(psycopg.Error) as raised:
            _insert(shop.connection, row)
        refused = "row-level security" in str(raised.value)
        assert refused or isinstance(raised.value, psycopg.errors.NotNullViolation), row


def test_a_tenant_sets_no_column_that_is_the_worker_s(shop: Shop) -> None:
    """Claim number, lease, doubt, expiry, class, holds and the history are not granted, nor is a column that is new."""
    row = _new_row(shop)
    columns = shop.sql(
        """select attname as name from pg_attribute
           where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped"""
    )
    for column in {column["name"] for column in columns} - row.keys() - {"id"}:
        names = sql.SQL(", ").join(map(sql.Identifier, [*row, column]))
        places = sql.SQL(", ").join([*map(sql.Placeholder, row), sql.SQL("default")])
        statement = sql.SQL("insert into sms_retry_queue ({}) values ({})").format(names, places)
        with (
            acting_as(shop.connection, "authenticated", shop.user_id),
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table"),
        ):
            shop.connection.execute(statement, row)


def test_a_tenant_s_insert_ends_the_claim_that_its_own_processor_holds_and_no_other(shop: Shop) -> None:
    """The text keeps one live row, its next try. What our workers hold is left alone, and so is a neighbor's: the
    insert is refused, and what the trigger did is taken back with it.
    """
    row, connection, neighbor = _new_row(shop), shop.connection, shop.neighbor()
    theirs = _new_row(neighbor)
    held = shop.queue_row(row["send_log_id"], row["customer_id"])
    their_held = neighbor.queue_row(theirs["send_log_id"], theirs["customer_id"])
    shop.sql("select * from claim_due_sms_retries(10)")
    with acting_as(connection, "authenticated", shop.user_id):
        made = _insert(connection, row)
        assert (shop.row(held)["status"], shop.row(made["id"])["status"]) == ("failed", "pending")
    for values in (theirs, theirs | {"business_id": shop.id}):
        with (
            acting_as(connection, "authenticated", shop.user_id),
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        ):
            _insert(connection, values)
    shop.sql("update sms_retry_queue set claimed_by_application = false")
    with (
        acting_as(connection, "authenticated", shop.user_id),
        pytest.raises(psycopg.errors.UniqueViolation, match="one_live_row"),
    ):
        _insert(connection, row)
    assert (shop.row(held)["status"], neighbor.row(their_held)["status"]) == ("processing", "processing")


def test_a_tenant_changes_and_deletes_nothing_and_writes_no_attempt(scene: Scene) -> None:
    """Not even its own. Whether a text was sent is not a tenant's to say."""
    connection = scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        for table in QUEUE_TABLES:
            for statement in ("update {} set id = id", "delete from {}", "truncate {} cascade"):
                assert f"permission denied for table {table}" in _refused(connection, statement.format(table))
        attempt = """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
                     values (gen_random_uuid(), %s, 1, 9, now())"""
        assert "permission denied for table sms_send_attempts" in _refused(connection, attempt, scene.due)


def test_the_backend_may_neither_delete_history_nor_set_the_clock(scene: Scene) -> None:
    """A row that was sent, deleted and queued again would be sent again. Only the owner decides what time it is."""
    connection = scene.business.connection
    with acting_as(connection, "service_role"):
        for statement in (
            "delete from sms_send_attempts",
            "truncate sms_send_attempts",
            "delete from sms_retry_queue",
            "create or replace function smsretry.clock() returns timestamptz language sql as 'select now()'",
        ):
            assert "permission denied" in _refused(connection, statement)
