"""Who may do what: the functions are the backend's alone, a tenant sees and queues its own texts, anon does nothing.

Over HTTP with the keys that Supabase issues, and in SQL as the roles that they stand for.
"""

from collections.abc import Mapping
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.integration.scene import (
    CHECKS,
    FUNCTIONS,
    QUESTIONS,
    QUEUE_TABLES,
    TABLES,
    Scene,
)
from tests.support.records import Connection, Record, columns
from tests.support.shop import Shop, acting_as

# The functions


@pytest.mark.parametrize(
    "functions",
    [CHECKS, *({function} for function in FUNCTIONS if function not in CHECKS)],
    ids=min,
)
def test_the_backend_may_call_every_function(scene: Scene, functions: set[str]) -> None:
    """Each changes something, unless it only asks."""
    before = scene.everything()
    for function in functions:
        response = scene.call("service_role", function, scene.arguments(function))
        assert response.status_code == 200, response.text
    assert (scene.everything() == before) == (functions == CHECKS)


def test_no_one_else_has_a_right_to_anything_of_ours(shop: Shop) -> None:
    """To no function in public or smsretry, and to nothing in the schema of the internals: new ones, too. A reader has
    none to the application's tables either, and is a member of nothing.
    """
    for role in ("anon", "authenticated", "smsretry_reader"):
        records = shop.sql(
            f"""select p.proname as name from pg_proc p
                where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                  and has_function_privilege('{role}', p.oid, 'execute')
                union all
                select n.nspname from pg_namespace n
                where n.nspname = 'smsretry' and has_schema_privilege('{role}', n.oid, 'usage, create')
                   or '{role}' = 'smsretry_reader' and has_schema_privilege('{role}', n.oid, 'create')
                      and n.nspname not like 'pg\\_temp\\_%%' -- of this connection: an earlier test's
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
        assert {row["name"] for row in records} == (
            QUESTIONS if role == "smsretry_reader" else set()
        ), role


def test_every_function_is_known_is_its_caller_s_and_trusts_no_search_path(
    shop: Shop,
) -> None:
    """What the package takes for its API is all there is in public. `security invoker`, and pg_temp last: no call
    borrows the owner's rights or finds another's table.

    The triggers do, and nobody can call them. So do what makes a text to rehearse with and what analyzes the tables,
    which only the backend can; the pruning, so that nobody may delete history but by it; and what a monitor or a reader
    asks.
    """
    public = shop.sql(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
    )
    assert sorted(row["proname"] for row in public) == sorted(FUNCTIONS)
    wrong = shop.sql(
        """select p.oid::regprocedure::text as name from pg_proc p
           where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
             and (p.prosecdef and p.prorettype <> 'trigger'::regtype and p.proname <> all (%s)
                  or not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false))""",
        [
            "sample_text",
            "analyze_filled",
            "prune_sms_history",
            "check_sms_retries",
            *QUESTIONS,
        ],
    )
    assert wrong == []


# The tables


def test_a_tenant_reads_and_inserts_and_nobody_deletes_what_was_sent(
    shop: Shop,
) -> None:
    """Of a row a tenant sets the original columns, and none that is the worker's, or new. A row that was sent, deleted
    and queued again would be sent again, so the backend may not delete one; nor take back a word of consent, lose the
    key by which numbers are known, or set the clock.
    """
    tables = [*QUEUE_TABLES, "scheduled_sends"]
    rights = shop.sql(
        """select r.name as role, c.relname as "table", string_agg(p.name, ' ' order by p.name) as may
           from unnest(array['anon', 'authenticated', 'service_role']) r (name), pg_class c,
                unnest(array['select', 'insert', 'update', 'delete', 'truncate']) p (name)
           where c.relname = any (%s) and c.relnamespace = 'public'::regnamespace
             and has_table_privilege(r.name, c.oid, p.name)
           group by 1, 2""",
        tables,
    )
    assert {columns(right, "role", "table"): right["may"] for right in rights} == {
        **{("authenticated", table): "select" for table in tables},
        **{("service_role", table): "insert select update" for table in tables},
    }
    kept = [f"smsretry.{name}" for name in ("consents", "events", "restores", "secret")]
    may = "has_table_privilege('service_role', t, 'update, delete, truncate')"
    assert shop.sql(f"select t from unnest(%s::regclass[]) t where {may}", kept) == []
    settable = shop.sql(
        """select a.attname as name, p.name as may, r.name as role
           from pg_attribute a,
                unnest(array['insert', 'update']) p (name), unnest(array['anon', 'authenticated']) r (name)
           where a.attrelid = any (%s::regclass[]) and a.attnum > 0 and not a.attisdropped
             and has_column_privilege(r.name, a.attrelid, a.attnum, p.name)""",
        QUEUE_TABLES,
    )
    own = {"id", *_new_row(shop)}
    assert {columns(right, "role", "may") for right in settable} == {
        ("authenticated", "insert")
    }
    assert sorted(right["name"] for right in settable) == sorted(own)
    assert not shop.value(
        "select has_schema_privilege('service_role', 'smsretry', 'create')"
    )


def _ids(connection: Connection, query: str) -> set[UUID]:
    return {row["id"] for row in connection.execute(query.encode()).fetchall()}


def test_a_tenant_reads_its_own_rows_and_no_other_s(scene: Scene, shop: Shop) -> None:
    """In the queue, the attempts and the application's tables. A stranger, or a token without a user, reads none. Nor
    does anon, also if it has the grants of a project from before May 2026.
    """
    theirs, connection = shop.due_text(), scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        own = {
            scene.due,
            scene.claimed,
            scene.begun,
            scene.doubtful,
            scene.looked,
            scene.suspect,
        }
        own |= {scene.failed, scene.old, scene.unreached, scene.sent}
        assert _ids(connection, "select id from sms_retry_queue") == own
        attempts = _ids(connection, "select retry_id as id from sms_send_attempts")
        assert attempts == {scene.begun, scene.doubtful, scene.looked, scene.sent}
        assert _ids(connection, "select id from businesses") == {scene.business.id}
        assert _ids(connection, "select business_id as id from customers") == {
            scene.business.id
        }
        assert _ids(connection, "select business_id as id from send_logs") == {
            scene.business.id
        }
    with acting_as(connection, "authenticated", shop.user_id):
        assert _ids(connection, "select id from sms_retry_queue") == {theirs}
        assert _ids(connection, "select id from sms_send_attempts") == set()
    for sub in (uuid4(), None):
        with acting_as(connection, "authenticated", sub):
            for table in TABLES:
                assert _ids(connection, f"select id from {table}") == set()
    application = ("businesses", "customers", "send_logs")
    for table in application:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            acting_as(connection, "anon"),
        ):
            _ids(connection, f"select id from {table}")
    with connection.transaction(force_rollback=True):
        for table in application:
            connection.execute(f"grant all on {table} to anon".encode())
            with acting_as(connection, "anon"):
                assert _ids(connection, f"select id from {table}") == set()
                written = f"update {table} set id = id returning id"
                assert _ids(connection, written) == set()


def _insert(connection: Connection, values: Mapping[str, object]) -> Record:
    statement = sql.SQL(
        "insert into sms_retry_queue ({}) values ({}) returning *"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    with connection.transaction():
        [row] = connection.execute(statement, values).fetchall()
    return row


def _new_row(business: Shop) -> Record:
    customer = business.customer()
    return {
        "business_id": business.id, "send_log_id": business.send_log(customer), "customer_id": customer,
        "status": "pending", "attempt_count": 1, "max_attempts": 3, "scheduled_for": business.now(),
        "last_error": "Twilio was down", "reason": "twilio_error",
    }  # fmt: skip


def test_a_tenant_queues_its_own_text_and_ends_the_claim_that_its_own_processor_holds(
    shop: Shop,
) -> None:
    """With the original columns, as the application does today; the additions have their defaults, and its life has not
    begun. The text keeps one live row, its next try.
    """
    values = _new_row(shop)
    held = shop.queue_row(values["send_log_id"], values["customer_id"])
    shop.sql("select * from claim_due_sms_retries(10)")
    with acting_as(shop.connection, "authenticated", shop.user_id):
        row = _insert(shop.connection, values)
        assert shop.ends(held, row["id"]) == "failed pending"
    assert {name: row[name] for name in values} == values
    assert columns(row, "claim_no", "claimed_at", "in_doubt_since", "expires_at") == (
        0,
        None,
        None,
        None,
    )
    assert columns(row, "held_since", "claimed_by_application", "message_class") == (
        None,
        False,
        "marketing",
    )


def test_a_tenant_queues_nothing_but_a_new_pending_row_of_its_own(shop: Shop) -> None:
    """Within the limits of attempts that the policy names, and with no business's, text or customer but its own."""
    neighbor = shop.neighbor()
    own_record, theirs = _new_row(shop), _new_row(neighbor)
    to_them = _new_row(shop) | {"customer_id": neighbor.customer()}
    to_them["send_log_id"] = shop.send_log(to_them["customer_id"])
    wrong: list[dict[str, object]] = [
        {"status": "processing"}, {"status": "completed"}, {"status": None},
        {"max_attempts": 1000}, {"max_attempts": 0},
        {"attempt_count": -1}, {"attempt_count": 4}, {"attempt_count": None},
    ]  # fmt: skip
    rows = [own_record | values for values in wrong] + [theirs, to_them]
    for other in ("business_id", "send_log_id", "customer_id"):
        rows += [
            own_record | {other: theirs[other]},
            theirs | {other: own_record[other]},
        ]
    for row in rows:
        with (
            acting_as(shop.connection, "authenticated", shop.user_id),
            pytest.raises(psycopg.Error) as raised,
        ):
            _insert(shop.connection, row)
        refused = "row-level security" in str(raised.value)
        if row["status"] == "processing":  # the trigger is asked first
            refused = raised.value.diag.constraint_name == "sms_retry_queue_lease"
        assert refused or isinstance(raised.value, psycopg.errors.NotNullViolation), row
