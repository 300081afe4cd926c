"""Who may do what: the functions are the backend's alone, a tenant sees and queues its own texts, anon does nothing.

Over HTTP with the keys that Supabase issues, and in SQL as the roles that they stand for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from smsretry.adapters.supabase.schemas import api_functions
from smsretry.local.stack import Stack
from tests.conftest import PHONE, Business

Role = Literal["anon", "authenticated", "service_role"]
Arguments = dict[str, Any]

FUNCTIONS = api_functions()
QUEUE_TABLES = ["sms_retry_queue", "sms_send_attempts"]
TABLES = ["businesses", "customers", "send_logs", *QUEUE_TABLES]


@dataclass(frozen=True)
class Scene:
    """A due row; a claimed and a begun one, silent for a quarter of an hour; one in doubt; a text without a row."""

    stack: Stack
    business: Business
    text: UUID
    due: UUID
    claimed: UUID
    claimed_no: int
    begun: UUID
    begun_no: int
    attempt: UUID
    doubtful: UUID
    looked: UUID
    looked_no: int

    def arguments(self, function: str) -> Arguments:
        """Of a call that succeeds, and except for the check changes something."""
        claim = {"retry_id": str(self.claimed), "claim_no": self.claimed_no}
        known: dict[str, Arguments] = {
            "queue_sms_retry": {
                "send_log_id": str(self.text), "reason": "twilio_error", "attempt_count": 1,
                "scheduled_for": self.at(hours=1), "error": "Twilio was down", "retry_in": "5 minutes",
                "max_attempts": 3, "message_class": "transactional",
            },
            "claim_due_sms_retries": {"limit_count": 10},
            "claim_sms_retry": {"retry_id": str(self.due)},
            "begin_sms_attempt": claim | {
                "attempt_id": str(uuid4()), "send_before": self.at(hours=4), "quiet_hours_rule": "default 08:00-21:00",
                "first_send": False, "cap": 10, "cap_since": self.at(hours=-24),
            },
            "finish_sms_attempt": {
                "retry_id": str(self.begun), "claim_no": self.begun_no, "attempt_id": str(self.attempt),
                "outcome": "rejected", "next_status": "pending", "error": "Twilio was down", "error_code": 20500,
                "twilio_sid": None, "retry_in": "1 minute", "reason": "twilio_error", "counted": True,
                "phone": PHONE, "opted_out": False, "phone_status": "invalid",
            },
            "defer_sms_retry": claim | {"until": self.at(hours=1), "reason": "quiet_hours", "why": "Quiet hours"},
            "end_sms_retry": claim | {"final_status": "failed", "error": "No phone number", "error_code": None},
            "recover_stuck_sms_retries": {"stale_minutes": 10, "look_in": "1 minute", "max_recoveries": 5},
            "claim_doubtful_sms_retries": {"limit_count": 10},
            "reconcile_sms_retry": {
                "retry_id": str(self.looked), "claim_no": self.looked_no, "decision": "look_again",
                "twilio_sid": None, "settled_by": "reconcile", "look_in": "5 minutes", "error": None,
            },
            "settle_sms_attempt": {
                "attempt_id": str(self.attempt), "twilio_sid": "SM" + "b" * 32, "settled_by": "callback",
            },
            "set_sms_circuit": {"why": "Twilio is down"},
            "set_sms_state_stop": {"state": "LA", "why": "A hurricane"},
            "record_sms_consent": {
                "phone": PHONE, "consent": "opted_out", "source": "telephone", "business_id": str(self.business.id),
            },
            "check_sms_retry_setup": {"functions": FUNCTIONS},
        }  # fmt: skip
        return known[function]

    def at(self, **later: float) -> str:
        """A time from now on, as JSON has it."""
        return (self.stack.now() + timedelta(**later)).isoformat()

    def call(
        self, role: Role, function: str, arguments: Mapping[str, Any], *, sub: str | None = None
    ) -> httpx.Response:
        """The function over HTTP with the role's key."""
        key = self.stack.key(role, sub=sub)
        url = f"{self.stack.environment()['SUPABASE_URL']}/rest/v1/rpc/{function}"
        return httpx.post(url, json=arguments, headers={"apikey": key, "Authorization": f"Bearer {key}"})

    def everything(self) -> str:
        """Every row of every table."""
        names = [sql.Identifier(table) for table in TABLES] + [
            sql.Identifier("smsretry", table) for table in ("circuit", "stopped_states")
        ]
        return json.dumps(
            [
                self.business.connection.execute(
                    sql.SQL("select to_jsonb(t) as row from {} t order by 1").format(name)
                ).fetchall()
                for name in names
            ]
        )


@pytest.fixture
def scene(stack: Stack, business: Business) -> Scene:
    """See Scene."""
    connection = business.connection

    def claim(row_id: UUID) -> int:
        found = connection.execute("select claim_no from claim_sms_retry(%s)", [row_id]).fetchone()
        assert found is not None
        return int(found["claim_no"])

    def doubt() -> UUID:
        row_id, attempt_id = business.due_text(), uuid4()
        claim_no = claim(row_id)
        closes = stack.now() + timedelta(hours=1)
        connection.execute(
            "select * from begin_sms_attempt(%s, %s, %s, %s, 'default')", [row_id, claim_no, attempt_id, closes]
        )
        connection.execute(
            """select * from finish_sms_attempt(%s, %s, %s, 'in_doubt', 'pending', 'No answer',
                                                retry_in => interval '1 minute')""",
            [row_id, claim_no, attempt_id],
        )
        return row_id

    text = business.send_log(business.customer())
    due, claimed, begun = business.due_text(), business.due_text(), business.due_text()
    claimed_no, begun_no, attempt = claim(claimed), claim(begun), uuid4()
    connection.execute(
        "select * from begin_sms_attempt(%s, %s, %s, %s, 'default')",
        [begun, begun_no, attempt, stack.now() + timedelta(hours=1)],
    )
    doubtful, looked = doubt(), doubt()
    stack.move_clock(timedelta(minutes=15))
    found = connection.execute(
        """update sms_retry_queue set status = 'processing', claim_no = claim_no + 1, claimed_at = %s
           where id = %s returning claim_no""",
        [stack.now(), looked],
    ).fetchone()
    assert found is not None
    return Scene(
        stack, business, text, due, claimed, claimed_no, begun, begun_no, attempt, doubtful, looked, found["claim_no"]
    )


@pytest.fixture
def neighbour(stack: Stack, business: Business) -> Business:
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
    assert (scene.everything() == before) == (function == "check_sms_retry_setup")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_without_a_user_may_call_a_function(scene: Scene, function: str) -> None:
    """The anon key is in every browser: 401, and not a byte changed."""
    before = scene.everything()
    response = scene.call("anon", function, scene.arguments(function))
    assert response.status_code == 401
    assert response.json()["code"] == "42501"
    assert scene.everything() == before


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_tenant_may_call_no_function_about_its_own_texts(scene: Scene, function: str) -> None:
    """A signed-in owner has the rows, not the functions: 403, and not a byte changed."""
    before = scene.everything()
    owner = str(scene.business.user_id)
    response = scene.call("authenticated", function, scene.arguments(function), sub=owner)
    assert response.status_code == 403
    assert response.json()["code"] == "42501"
    assert scene.everything() == before


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_one_else_may_execute_any_function_of_ours(stack: Stack, role: str) -> None:
    """Every function in public and in smsretry, those that a later migration adds too; the clock is a default's."""
    with stack.connect() as connection:
        allowed = connection.execute(
            """select p.oid::regprocedure::text as name from pg_proc p
               where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                 and has_function_privilege(%s, p.oid, 'execute')""",
            [role],
        ).fetchall()
    assert [row["name"] for row in allowed] == (["smsretry.clock()"] if role == "authenticated" else [])


def test_the_schema_files_name_every_public_function(stack: Stack) -> None:
    """What the package takes for its API is all there is in public, so none escapes the tests above."""
    with stack.connect() as connection:
        found = connection.execute("select proname from pg_proc where pronamespace = 'public'::regnamespace").fetchall()
    assert sorted(row["proname"] for row in found) == sorted(FUNCTIONS)


def test_every_function_is_its_caller_s_and_trusts_no_search_path(stack: Stack) -> None:
    """`security invoker`, and pg_temp last: no call borrows the owner's rights or finds another's table or type."""
    with stack.connect() as connection:
        wrong = connection.execute(
            """select p.oid::regprocedure::text as name from pg_proc p
               where p.pronamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
                 and (p.prosecdef or not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false))"""
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


@pytest.mark.parametrize(
    "statement", ["select smsretry.clock()", "select * from smsretry.claimed_retry", "select smsretry.is_sent('{}')"]
)
def test_anon_may_not_use_the_schema_of_the_internals(scene: Scene, statement: str) -> None:
    """Not even look into it."""
    connection = scene.business.connection
    with acting_as(connection, "anon"):
        assert "permission denied for schema smsretry" in _refused(connection, statement)


# A tenant


def _ids(connection: psycopg.Connection[dict[str, Any]], query: str) -> set[UUID]:
    return {row["id"] for row in connection.execute(query.encode()).fetchall()}


def test_a_tenant_reads_its_own_rows_and_no_other_s(scene: Scene, neighbour: Business) -> None:
    """In the queue, in the attempts and in the application's tables."""
    theirs, connection = neighbour.due_text(), scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        own = {scene.due, scene.claimed, scene.begun, scene.doubtful, scene.looked}
        assert _ids(connection, "select id from sms_retry_queue") == own
        attempts = _ids(connection, "select retry_id as id from sms_send_attempts")
        assert attempts == {scene.begun, scene.doubtful, scene.looked}
        assert _ids(connection, "select id from businesses") == {scene.business.id}
        assert _ids(connection, "select business_id as id from customers") == {scene.business.id}
        assert _ids(connection, "select business_id as id from send_logs") == {scene.business.id}
    with acting_as(connection, "authenticated", neighbour.user_id):
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
        "last_attempted_at": business.now(), "last_error": "Twilio was down", "reason": "twilio_error",
        "created_at": business.now(), "updated_at": business.now(),
    }  # fmt: skip


def test_a_tenant_queues_its_own_text_with_the_original_columns(business: Business) -> None:
    """As the application does today; the additions have their defaults."""
    values, connection = _new_row(business), business.connection
    with acting_as(connection, "authenticated", business.user_id):
        row = _insert(connection, values)
    assert {name: row[name] for name in values} == values
    assert (row["claim_no"], row["claimed_at"], row["in_doubt_since"]) == (0, None, None)
    assert timedelta(hours=47) < row["expires_at"] - business.now() <= timedelta(hours=48)


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


@pytest.mark.parametrize(
    "column",
    [
        "claim_no", "claimed_at", "begun_at", "attempt_id", "in_doubt_since", "reconcile_count", "recover_count",
        "error_code", "expires_at",
    ],
)  # fmt: skip
def test_a_tenant_sets_no_column_that_is_the_worker_s(business: Business, column: str) -> None:
    """Claim number, lease, doubt and expiry are not granted."""
    connection = business.connection
    row = _new_row(business)
    with acting_as(connection, "authenticated", business.user_id):
        names = sql.SQL(", ").join(map(sql.Identifier, [*row, column]))
        places = sql.SQL(", ").join([*map(sql.Placeholder, row), sql.SQL("default")])
        statement = sql.SQL("insert into sms_retry_queue ({}) values ({})").format(names, places)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table"):
            connection.execute(statement, row)


@pytest.mark.parametrize("other", ["business_id", "send_log_id", "customer_id"])
def test_a_tenant_queues_nothing_that_is_another_s(business: Business, neighbour: Business, other: str) -> None:
    """Its own row with the neighbour's business, text or customer, or it could have the neighbour's text sent."""
    mine, theirs, connection = _new_row(business), _new_row(neighbour), business.connection
    with acting_as(connection, "authenticated", business.user_id):
        for row in (mine | {other: theirs[other]}, theirs | {other: mine[other]}, theirs):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                _insert(connection, row)


def test_a_tenant_queues_no_text_of_its_own_to_another_s_customer(business: Business, neighbour: Business) -> None:
    """Where the application lets tenants write send logs, the log may name any customer: its number would be texted."""
    row, connection = _new_row(business), business.connection
    row["customer_id"] = neighbour.customer()
    row["send_log_id"] = business.send_log(cast(UUID, row["customer_id"]))
    with acting_as(connection, "authenticated", business.user_id), pytest.raises(psycopg.errors.InsufficientPrivilege):
        _insert(connection, row)


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


@pytest.mark.parametrize(
    ("statement", "denied"),
    [
        ("select smsretry.close_row(null, 'failed', 'x', 1, now())", "function close_row"),
        ("select smsretry.is_sent('{}')", "function is_sent"),
        ("select * from smsretry.claimed_retry", "view claimed_retry"),
        ("create function smsretry.clock2() returns int language sql as 'select 1'", "schema smsretry"),
        ("create or replace function smsretry.clock() returns timestamptz language sql as 'select now()'", "schema"),
    ],
)
def test_a_tenant_reads_the_clock_and_nothing_else_of_the_internals(scene: Scene, statement: str, denied: str) -> None:
    """The default of expires_at needs the clock; the rest is closed."""
    connection = scene.business.connection
    with acting_as(connection, "authenticated", scene.business.user_id):
        assert connection.execute("select smsretry.clock() as now").fetchone() is not None
        assert f"permission denied for {denied}" in _refused(connection, statement)


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


# Odd arguments


INJECTION = "'); drop table public.sms_retry_queue; --"


@pytest.mark.parametrize("limit", [0, -1, -2147483648])
def test_a_claim_of_none_or_fewer_takes_none(scene: Scene, limit: int) -> None:
    """Nothing, and no error."""
    before = scene.everything()
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": limit})
    assert (response.status_code, response.json()) == (200, [])
    assert scene.everything() == before


def test_a_claim_of_very_many_takes_at_most_five_hundred(scene: Scene) -> None:
    """PostgREST truncates answers at 1000 rows: what it cut off would be claimed and never sent."""
    with scene.business.connection.transaction():
        for _ in range(520):
            scene.business.due_text()
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": 2147483647})
    assert len(response.json()) == 500
    found = scene.business.connection.execute(
        """select count(*) as n from sms_retry_queue
           where status = 'processing' and in_doubt_since is null and claimed_at > %s""",
        [scene.stack.now() - timedelta(minutes=5)],
    ).fetchone()
    assert found == {"n": 500}


@pytest.mark.parametrize("limit", [2147483648, "many", INJECTION, 1.5, [1], {"a": 1}, True])
def test_a_limit_that_is_no_integer_is_refused(scene: Scene, limit: object) -> None:
    """400, and nothing is claimed."""
    before = scene.everything()
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": limit})
    assert response.status_code == 400
    assert response.json()["code"] in ("22P02", "22003")
    assert scene.everything() == before


def test_a_claim_without_a_number_takes_fifty(scene: Scene) -> None:
    """Null is the default."""
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": None})
    assert [row["id"] for row in response.json()] == [str(scene.due)]


@pytest.mark.parametrize("minutes", [None, 0, -1])
def test_recovery_needs_a_time_that_outlasts_a_send(scene: Scene, minutes: int | None) -> None:
    """A zero would take every live claim from its worker."""
    before = scene.everything()
    response = scene.call("service_role", "recover_stuck_sms_retries", {"stale_minutes": minutes})
    assert (response.status_code, response.json()["code"]) == (400, "SR422")
    assert scene.everything() == before


def test_recovery_after_a_very_long_time_recovers_nothing(scene: Scene) -> None:
    """4083 years."""
    response = scene.call("service_role", "recover_stuck_sms_retries", {"stale_minutes": 2147483647})
    assert (response.status_code, response.json()) == (200, [])


NULLS = {
    ("queue_sms_retry", "send_log_id"): "SR404",
    ("queue_sms_retry", "attempt_count"): "SR422",
    ("queue_sms_retry", "max_attempts"): "SR422",
    ("claim_sms_retry", "retry_id"): [],
    ("begin_sms_attempt", "retry_id"): "lost",
    ("begin_sms_attempt", "attempt_id"): "SR422",
    ("begin_sms_attempt", "cap_since"): "SR422",
    ("recover_stuck_sms_retries", "look_in"): "SR422",
    ("recover_stuck_sms_retries", "max_recoveries"): "SR422",
    ("check_sms_retry_setup", "functions"): "not checked",
    ("finish_sms_attempt", "retry_id"): "not applied",
    ("finish_sms_attempt", "claim_no"): "not applied",
    ("finish_sms_attempt", "attempt_id"): "not applied",
    ("finish_sms_attempt", "outcome"): "SR422",
    ("finish_sms_attempt", "next_status"): "SR422",
    ("finish_sms_attempt", "retry_in"): "SR422",
    ("defer_sms_retry", "retry_id"): False,
    ("defer_sms_retry", "claim_no"): False,
    ("end_sms_retry", "retry_id"): False,
    ("end_sms_retry", "claim_no"): False,
    ("end_sms_retry", "final_status"): "SR422",
    ("end_sms_retry", "error"): "SR422",
    ("set_sms_state_stop", "state"): "SR422",
    ("record_sms_consent", "phone"): "SR422",
    ("record_sms_consent", "consent"): "SR422",
    ("record_sms_consent", "source"): "SR422",
}
"""What a null comes to: an error's code, or the answer of a worker that lost its claim."""


def _in_short(response: httpx.Response) -> object:
    """An error's code, or the answer in a word."""
    answer = response.json()
    if response.status_code == 400:
        return answer["code"]
    match answer:
        case [{"answer": answer}]:
            return answer
        case [{"subject": "functions", "ok": False}, *_]:
            return "not checked"
        case [{"applied": applied}]:
            return "applied" if applied else "not applied"
        case _:
            return answer


@pytest.mark.parametrize(("function", "name"), NULLS)
def test_a_null_where_a_value_is_needed_changes_nothing(scene: Scene, function: str, name: str) -> None:
    """Refused, or answered as a lost claim."""
    before = scene.everything()
    response = scene.call("service_role", function, scene.arguments(function) | {name: None})
    assert response.status_code in (200, 400)
    assert _in_short(response) == NULLS[function, name]
    assert scene.everything() == before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "claim_no",
        ),
        pytest.param(
            "send_before",
        ),
    ],
)
def test_a_send_does_not_begin_without_a_fence_or_a_window(scene: Scene, name: str) -> None:
    """What is missing is never a licence to send."""
    arguments = scene.arguments("begin_sms_attempt") | {name: None}
    response = scene.call("service_role", "begin_sms_attempt", arguments)
    assert _in_short(response) != "go"


def test_a_send_that_is_under_way_does_not_begin_again_for_a_caller_without_an_attempt(scene: Scene) -> None:
    """Two texts would go out."""
    arguments = scene.arguments("begin_sms_attempt") | {
        "retry_id": str(scene.begun), "claim_no": scene.begun_no, "attempt_id": None
    }  # fmt: skip
    response = scene.call("service_role", "begin_sms_attempt", arguments)
    assert _in_short(response) != "go"


def test_a_row_is_not_deferred_without_a_time(scene: Scene) -> None:
    """A deferral for quiet hours that ends at once is none."""
    before = scene.everything()
    arguments = scene.arguments("defer_sms_retry") | {"until": None}
    scene.call("service_role", "defer_sms_retry", arguments)
    assert scene.everything() == before


def test_no_row_fails_without_a_reason(scene: Scene) -> None:
    """Every row that is given up says why."""
    arguments = scene.arguments("finish_sms_attempt") | {"next_status": "failed", "error": None}
    scene.call("service_role", "finish_sms_attempt", arguments)
    row = scene.business.row(scene.begun)
    assert row["status"] != "failed" or row["last_error"] is not None


def test_a_deferral_to_a_time_that_has_come_may_be_repeated(scene: Scene) -> None:
    """Its answer was lost; the second call must not say that the claim was."""
    arguments = scene.arguments("defer_sms_retry") | {"until": scene.at(seconds=-1)}
    assert scene.call("service_role", "defer_sms_retry", arguments).json() is True
    assert scene.call("service_role", "defer_sms_retry", arguments).json() is True


WORDS = [
    ("queue_sms_retry", "reason"),
    ("finish_sms_attempt", "outcome"),
    ("finish_sms_attempt", "next_status"),
    ("finish_sms_attempt", "reason"),
    ("finish_sms_attempt", "twilio_sid"),
    ("defer_sms_retry", "reason"),
    ("end_sms_retry", "final_status"),
    ("queue_sms_retry", "message_class"),
    ("record_sms_consent", "consent"),
    ("record_sms_consent", "phone"),
]
TEXTS = [
    ("queue_sms_retry", "error", "last_error"),
    ("finish_sms_attempt", "error", "last_error"),
    ("defer_sms_retry", "why", "why"),
    ("end_sms_retry", "error", "last_error"),
    ("begin_sms_attempt", "quiet_hours_rule", "quiet_hours_rule"),
]
ODD = [INJECTION, '%s %(x)s {} \\ "', "é😀", "'"]


@pytest.mark.parametrize(("function", "name"), WORDS)
@pytest.mark.parametrize("value", [*ODD, "", "null"])
def test_a_word_that_is_none_of_the_known_ones_is_refused(scene: Scene, function: str, name: str, value: str) -> None:
    """400, and nothing changed."""
    before = scene.everything()
    response = scene.call("service_role", function, scene.arguments(function) | {name: value})
    assert response.status_code == 400
    assert response.json()["code"] in ("SR422", "23514")
    assert scene.everything() == before


@pytest.mark.parametrize(("function", "name", "column"), TEXTS)
@pytest.mark.parametrize("value", ODD)
def test_a_text_is_kept_as_it_is_whatever_is_in_it(
    scene: Scene, function: str, name: str, column: str, value: str
) -> None:
    """Parameters are values; none is ever part of a statement."""
    response = scene.call("service_role", function, scene.arguments(function) | {name: value})
    assert response.status_code == 200
    table = "sms_send_attempts" if column == "quiet_hours_rule" else "sms_retry_queue"
    query = sql.SQL("select 1 from {} where {} = %s").format(sql.Identifier(table), sql.Identifier(column))
    assert len(scene.business.connection.execute(query, [value]).fetchall()) == 1


@pytest.mark.parametrize(
    ("function", "name", "value", "code"),
    [
        ("claim_sms_retry", "retry_id", INJECTION, "22P02"),
        ("queue_sms_retry", "send_log_id", "", "22P02"),
        ("queue_sms_retry", "retry_in", INJECTION, "22007"),
        ("queue_sms_retry", "scheduled_for", INJECTION, "22007"),
        ("queue_sms_retry", "attempt_count", -1, "23514"),
        ("begin_sms_attempt", "claim_no", 2**63, "22003"),
        ("defer_sms_retry", "until", "2027-02-30", "22008"),
        ("end_sms_retry", "error", "a\x00b", "22P05"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(scene: Scene, function: str, name: str, value: object, code: str) -> None:
    """With PostgreSQL's code for it, and nothing changed."""
    before = scene.everything()
    response = scene.call("service_role", function, scene.arguments(function) | {name: value})
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert scene.everything() == before


def test_a_text_past_its_attempts_is_failed_and_gets_no_row(scene: Scene) -> None:
    """With the error of its last attempt."""
    arguments = scene.arguments("queue_sms_retry") | {"attempt_count": 3}
    assert scene.call("service_role", "queue_sms_retry", arguments).json()[0]["result"] == "attempts_exhausted"
    log = scene.business.connection.execute("select * from send_logs where id = %s", [scene.text]).fetchone()
    assert log is not None
    assert (log["status"], log["error_message"]) == ("failed", "Twilio was down")


def test_a_text_that_still_waits_is_not_called_failed(scene: Scene) -> None:
    """A live row sends it yet: the caller's own count of attempts does not make it failed."""
    waiting = scene.business.log_of(scene.due)
    arguments = scene.arguments("queue_sms_retry") | {"attempt_count": 3, "send_log_id": str(waiting["id"])}
    scene.call("service_role", "queue_sms_retry", arguments)
    live = scene.business.row(scene.due)["status"] in ("pending", "processing")
    assert not (live and scene.business.log_of(scene.due)["status"] == "failed")
