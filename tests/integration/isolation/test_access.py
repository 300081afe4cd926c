"""Who may do what: the functions are the backend's alone, a tenant sees and queues its own texts, anon does nothing.

Over HTTP with the keys that Supabase issues, and in SQL as the roles that they stand for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.scene import CHECKS, FUNCTIONS, QUEUE_TABLES, TABLES, Role, Scene


@pytest.fixture
def neighbor(stack: Stack, business: Business) -> Business:
    """Another business, of another user."""
    return Business(business.connection, stack.now).open()


@contextmanager
def acting_as(connection: psycopg.Connection[dict[str, Any]], role: Role, sub: UUID | None = None) -> Iterator[None]:
    """As PostgREST would for a request with this role and user; all of it is undone at the end."""
    claims = {"role": role} | ({} if sub is None else {"sub": str(sub)})
    with connection.transaction(force_rollback=True):
        connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        yield


def _refused(connection: psycopg.Connection[dict[str, Any]], statement: str, *values: object) -> str:
    """The message of a refusal. Fails if the statement is not refused for want of a privilege."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised, connection.transaction():
        connection.execute(statement.encode(), values)
    return str(raised.value)


# The functions


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_backend_may_call_every_function(scene: Scene, function: str) -> None:
    """The calls that the others are refused are right in themselves, and do something."""
    before = scene.everything()
    response = scene.call("service_role", function, scene.arguments(function))
    assert response.status_code == 200, response.text
    assert (scene.everything() == before) == (function in CHECKS)


@pytest.mark.parametrize(("role", "status"), [("anon", 401), ("authenticated", 403)])
def test_neither_nobody_nor_a_tenant_may_call_a_function(scene: Scene, role: Role, status: int) -> None:
    """The anon key is in every browser, and a signed-in owner has the rows: refused, and not a byte changed."""
    before = scene.everything()
    owner = {"sub": str(scene.business.user_id)} if role == "authenticated" else {}
    for function in FUNCTIONS:
        response = scene.call(role, function, scene.arguments(function), **owner)
        assert (function, response.status_code, response.json()["code"]) == (function, status, "42501")
    assert scene.everything() == before


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_one_else_may_execute_any_function_of_ours(stack: Stack, role: str) -> None:
    """Every function in public and in smsretry, those that a later migration adds too."""
    with stack.connect() as connection:
        allowed = connection.execute(
            """select p.oid::regprocedure::text as name from pg_proc p
               where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                 and has_function_privilege(%s, p.oid, 'execute')""",
            [role],
        ).fetchall()
    assert allowed == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_one_else_has_any_right_in_the_schema_of_the_internals(stack: Stack, role: str) -> None:
    """Neither to enter it, nor to anything that stands in it."""
    with stack.connect() as connection:
        found = connection.execute(
            """select n.nspname::text as name from pg_namespace n
               where n.nspname = 'smsretry' and has_schema_privilege(%(role)s, n.oid, 'usage, create')
               union all
               select c.oid::regclass::text from pg_class c
               where c.relnamespace = 'smsretry'::regnamespace and c.relkind in ('r', 'v')
                 and (has_table_privilege(%(role)s, c.oid, 'select, insert, update, delete, truncate, references')
                      or has_any_column_privilege(%(role)s, c.oid, 'select, insert, update, references'))""",
            {"role": role},
        ).fetchall()
    assert found == []


def test_the_schema_files_name_every_public_function(stack: Stack) -> None:
    """What the package takes for its API is all there is in public, so none escapes the tests above."""
    with stack.connect() as connection:
        found = connection.execute("select proname from pg_proc where pronamespace = 'public'::regnamespace").fetchall()
    assert sorted(row["proname"] for row in found) == sorted(FUNCTIONS)


def test_every_function_is_its_caller_s_and_trusts_no_search_path(stack: Stack) -> None:
    """`security invoker`, and pg_temp last: no call borrows the owner's rights or finds another's table or type.

    The triggers do, and nobody can call them. So do what makes a text to rehearse with, which only the backend can; the
    pruning, so that nobody may delete history but by it; and what a monitor or a reader asks, whose roles may do
    nothing else.
    """
    with stack.connect() as connection:
        wrong = connection.execute(
            """select p.oid::regprocedure::text as name from pg_proc p
               where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                 and (p.prosecdef and p.prorettype <> 'trigger'::regtype and p.proname <> all (%s)
                      or not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false))""",
            [["sample_text", "prune_sms_history", "check_sms_retries", "ask_sms_desk"]],
        ).fetchall()
    assert wrong == []


# Anon


@pytest.mark.parametrize("table", QUEUE_TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "select * from {}",
        "insert into {} default values",
        "update {} set id = id",
        "delete from {}",
        "truncate {} cascade",
    ],
)
def test_anon_is_refused_everything_in_the_queue(scene: Scene, table: str, statement: str) -> None:
    """By privilege, before any policy is asked."""
    connection = scene.business.connection
    with acting_as(connection, "anon"):
        assert f"permission denied for table {table}" in _refused(connection, statement.format(table))


@pytest.mark.parametrize("table", ["businesses", "customers", "send_logs"])
def test_anon_sees_and_changes_nothing_of_the_application_s_tables(scene: Scene, table: str) -> None:
    """Supabase grants anon everything there; row level security leaves it no row."""
    connection = scene.business.connection
    with acting_as(connection, "anon"):
        for statement in ("select 1 from {}", "update {} set id = id returning 1", "delete from {} returning 1"):
            assert connection.execute(statement.format(table).encode()).fetchall() == []
        insert = {
            "businesses": "insert into businesses (user_id, name) values (gen_random_uuid(), 'x')",
            "customers": "insert into customers (business_id) values (%s)",
            "send_logs": "insert into send_logs (business_id, channel) values (%s, 'sms')",
        }[table]
        assert "row-level security" in _refused(connection, insert, *[scene.business.id] * insert.count("%s"))


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_one_else_may_use_the_schema_of_the_internals(scene: Scene, role: Role) -> None:
    """Not even look into it, for a tenant's insert needs nothing there."""
    connection = scene.business.connection
    with acting_as(connection, role, scene.business.user_id):
        for statement in (
            "select smsretry.clock()",
            "select smsretry.number_key(null, '')",
            "select smsretry.close_row(null, 'failed', 'x', 1, now())",
            "select * from smsretry.claimed_retry",
            "select * from smsretry.secret",
            "select * from smsretry.consents",
            "delete from smsretry.consents",
            "create function smsretry.clock2() returns int language sql as 'select 1'",
            "create or replace function smsretry.clock() returns timestamptz language sql as 'select now()'",
        ):
            assert "permission denied for schema smsretry" in _refused(connection, statement)


# A tenant


def _ids(connection: psycopg.Connection[dict[str, Any]], query: str) -> set[UUID]:
    return {row["id"] for row in connection.execute(query.encode()).fetchall()}


def test_a_tenant_reads_its_own_rows_and_no_other_s(scene: Scene, neighbor: Business) -> None:
    """In the queue, in the attempts and in the application's tables."""
    theirs, connection = neighbor.due_text(), scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        own = {scene.due, scene.claimed, scene.begun, scene.doubtful, scene.looked, scene.suspect}
        own |= {scene.failed, scene.old, scene.unreached, scene.sent}
        assert _ids(connection, "select id from sms_retry_queue") == own
        attempts = _ids(connection, "select retry_id as id from sms_send_attempts")
        assert attempts == {scene.begun, scene.doubtful, scene.looked, scene.sent}
        assert _ids(connection, "select id from businesses") == {scene.business.id}
        assert _ids(connection, "select business_id as id from customers") == {scene.business.id}
        assert _ids(connection, "select business_id as id from send_logs") == {scene.business.id}
    with acting_as(connection, "authenticated", neighbor.user_id):
        assert _ids(connection, "select id from sms_retry_queue") == {theirs}
        assert _ids(connection, "select id from sms_send_attempts") == set()


def test_a_signed_in_stranger_and_a_token_without_a_user_read_nothing(scene: Scene) -> None:
    """The role alone is not enough."""
    connection = scene.business.connection
    for sub in (uuid4(), None):
        with acting_as(connection, "authenticated", sub):
            for table in TABLES:
                assert _ids(connection, f"select id from {table}") == set()


def _insert(connection: psycopg.Connection[dict[str, Any]], values: Mapping[str, object]) -> dict[str, Any]:
    statement = sql.SQL("insert into sms_retry_queue ({}) values ({}) returning *").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    with connection.transaction():
        return cast(dict[str, Any], connection.execute(statement, values).fetchone())


def _new_row(business: Business) -> dict[str, object]:
    customer = business.customer()
    return {
        "business_id": business.id, "send_log_id": business.send_log(customer), "customer_id": customer,
        "status": "pending", "attempt_count": 1, "max_attempts": 3, "scheduled_for": business.now(),
        "last_error": "Twilio was down", "reason": "twilio_error",
    }  # fmt: skip


def test_a_tenant_queues_its_own_text_with_the_original_columns(business: Business) -> None:
    """As the application does today; the additions have their defaults, and its life has not begun."""
    values, connection = _new_row(business), business.connection
    with acting_as(connection, "authenticated", business.user_id):
        row = _insert(connection, values)
    assert {name: row[name] for name in values} == values
    assert (row["claim_no"], row["claimed_at"], row["in_doubt_since"]) == (0, None, None)
    assert (row["expires_at"], row["held_since"], row["claimed_by_application"]) == (None, None, False)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "processing"},
        {"status": "completed"},
        {"max_attempts": 1000},
        {"max_attempts": 0},
        {"attempt_count": -1},
        {"attempt_count": 4},
        {"attempt_count": None},
        {"status": None},
    ],
    ids=str,
)
def test_a_tenant_queues_nothing_but_a_new_pending_row(business: Business, values: dict[str, object]) -> None:
    """Within the limits of attempts that the policy names."""
    row, connection = _new_row(business) | values, business.connection
    with acting_as(connection, "authenticated", business.user_id), pytest.raises(psycopg.Error) as raised:
        _insert(connection, row)
    assert "row-level security" in str(raised.value) or isinstance(raised.value, psycopg.errors.NotNullViolation)


def test_a_tenant_sets_no_column_that_is_the_worker_s(business: Business) -> None:
    """Claim number, lease, doubt, expiry, holds and the history are not granted, nor is a column that is new."""
    connection = business.connection
    row = _new_row(business)
    columns = connection.execute(
        """select attname as name from pg_attribute
           where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped"""
    ).fetchall()
    for column in {column["name"] for column in columns} - row.keys() - {"id"}:
        names = sql.SQL(", ").join(map(sql.Identifier, [*row, column]))
        places = sql.SQL(", ").join([*map(sql.Placeholder, row), sql.SQL("default")])
        statement = sql.SQL("insert into sms_retry_queue ({}) values ({})").format(names, places)
        with (
            acting_as(connection, "authenticated", business.user_id),
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table"),
        ):
            connection.execute(statement, row)


@pytest.mark.parametrize("other", ["business_id", "send_log_id", "customer_id"])
def test_a_tenant_queues_nothing_that_is_another_s(business: Business, neighbor: Business, other: str) -> None:
    """Its own row with the neighbor's business, text or customer, or it could have the neighbor's text sent."""
    mine, theirs, connection = _new_row(business), _new_row(neighbor), business.connection
    with acting_as(connection, "authenticated", business.user_id):
        for row in (mine | {other: theirs[other]}, theirs | {other: mine[other]}, theirs):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                _insert(connection, row)


def test_a_tenant_queues_no_text_of_its_own_to_another_s_customer(business: Business, neighbor: Business) -> None:
    """Where the application lets tenants write send logs, the log may name any customer: its number would be texted."""
    row, connection = _new_row(business), business.connection
    row["customer_id"] = neighbor.customer()
    row["send_log_id"] = business.send_log(cast(UUID, row["customer_id"]))
    with acting_as(connection, "authenticated", business.user_id), pytest.raises(psycopg.errors.InsufficientPrivilege):
        _insert(connection, row)


def test_a_tenant_s_insert_ends_the_claim_that_its_own_processor_holds_and_no_other(business: Business) -> None:
    """The text keeps one live row, its next try; a row that our workers hold is left alone, and the insert refused."""
    row, connection = _new_row(business), business.connection
    log, customer = cast(UUID, row["send_log_id"]), cast(UUID, row["customer_id"])
    held = business.queue_row(log, customer)
    connection.execute("select * from claim_due_sms_retries(10)")
    with acting_as(connection, "authenticated", business.user_id):
        made = _insert(connection, row)
        assert (business.row(held)["status"], business.row(made["id"])["status"]) == ("failed", "pending")
    connection.execute("update sms_retry_queue set claimed_by_application = false where id = %s", [held])
    with (
        acting_as(connection, "authenticated", business.user_id),
        pytest.raises(psycopg.errors.UniqueViolation, match="one_live_row"),
    ):
        _insert(connection, row)
    assert business.row(held)["status"] == "processing"


def test_a_tenant_s_insert_that_is_refused_ends_no_claim(business: Business, neighbor: Business) -> None:
    """Of a neighbor's text: what the trigger did is taken back with it."""
    row, connection = _new_row(neighbor), business.connection
    held = neighbor.queue_row(cast(UUID, row["send_log_id"]), cast(UUID, row["customer_id"]))
    connection.execute("select * from claim_due_sms_retries(10)")
    for values in (row, row | {"business_id": business.id}):
        with (
            acting_as(connection, "authenticated", business.user_id),
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        ):
            _insert(connection, values)
    assert neighbor.row(held)["status"] == "processing"


@pytest.mark.parametrize("table", QUEUE_TABLES)
@pytest.mark.parametrize("statement", ["update {} set id = id", "delete from {}", "truncate {} cascade"])
def test_a_tenant_changes_and_deletes_nothing_in_the_queue(scene: Scene, table: str, statement: str) -> None:
    """Not even its own."""
    connection = scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        assert f"permission denied for table {table}" in _refused(connection, statement.format(table))


def test_a_tenant_writes_no_attempt(scene: Scene) -> None:
    """Whether a text was sent is not a tenant's to say."""
    connection = scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        said = _refused(
            connection,
            """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
               values (gen_random_uuid(), %s, 1, 9, now())""",
            scene.due,
        )
    assert "permission denied for table sms_send_attempts" in said


# The backend


@pytest.mark.parametrize("statement", ["delete from sms_send_attempts", "truncate sms_send_attempts"])
def test_the_backend_may_not_delete_attempts(scene: Scene, statement: str) -> None:
    """The history is append-only, for the service_role key too."""
    connection = scene.business.connection
    with acting_as(connection, "service_role"):
        assert "permission denied for table sms_send_attempts" in _refused(connection, statement)


def test_the_backend_may_not_delete_attempts_by_deleting_their_row(scene: Scene) -> None:
    """A row that was sent, deleted and queued again would be sent again."""
    connection = scene.business.connection
    with acting_as(connection, "service_role"):
        _refused(connection, "delete from sms_retry_queue")


def test_the_backend_may_not_replace_the_clock(scene: Scene) -> None:
    """No role but the owner decides what time it is."""
    connection = scene.business.connection
    with acting_as(connection, "service_role"):
        statement = "create or replace function smsretry.clock() returns timestamptz language sql as 'select now()'"
        assert "permission denied" in _refused(connection, statement)
