"""The migrations: one schema whatever was there before, nothing of an older installation lost, and one history
with the Supabase CLI.

Each test has a database of its own, prepared as a Supabase project is before its first migration. How a next migration
is written is in test_next_migration.py.
"""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.migrations.next_migration import changed
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.sections import without_superseded
from smsretry.errors import MigrationError
from smsretry.local.stack import Stack
from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim
from tests.integration.catalog import Database, Snapshot, complaints, same_schema, snapshot

CLI_VERSION = "2.117.0"
VERSION_1_0_0 = "20261125000400"
"""Its last migration."""
NUMBER = "+12125550123"
_FILES = [f"{migration.version}_{migration.name}" for migration in migrations()]
Push = Callable[[Database], str]


class Old(NamedTuple):
    """The ids of an existing installation's queue rows."""

    pending: UUID
    processing: UUID
    completed: UUID
    failed: UUID
    duplicate: UUID
    duplicate_due_first: UUID
    duplicate_processing: UUID
    duplicate_of_processing: UUID


@pytest.fixture
def old(original: Database) -> Old:
    """The existing installation's rows: every status, and two texts with two live rows each."""
    business = original.one("insert into businesses (user_id, name) values (%s, 'Maple Street') returning id", uuid4())
    customer = original.one(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, '+12125550123', 'opted_in')"
        " returning id",
        business["id"],
    )

    def text(status: str = "pending") -> UUID:
        found = original.one(
            """insert into send_logs (business_id, customer_id, channel, subject, status)
               values (%s, %s, 'sms', 'Hi Ann', %s) returning id""",
            business["id"], customer["id"], status,
        )  # fmt: skip
        log_id: UUID = found["id"]
        return log_id

    def row(
        log: UUID, status: str, *, minutes: int = 0, attempts: int = 0, reason: str | None = "twilio_error"
    ) -> UUID:
        made = original.one(
            """insert into sms_retry_queue (business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
                   scheduled_for, last_attempted_at, last_error, reason, created_at, updated_at)
               values (%s, %s, %s, %s, %s, 3, now() + make_interval(mins => %s),
                   case when %s > 0 then now() - interval '1 hour' end, 'Twilio was down', %s,
                   now() - interval '1 day', now() - interval '1 hour') returning id""",
            business["id"], log, customer["id"], status, attempts, minutes, attempts, reason,
        )  # fmt: skip
        row_id: UUID = made["id"]
        return row_id

    twice, begun_twice = text(), text()
    return Old(
        pending=row(text(), "pending", reason=None),
        processing=row(text(), "processing", attempts=2),
        completed=row(text("sent"), "completed", attempts=1),
        failed=row(text("failed"), "failed", attempts=3),
        duplicate=row(twice, "pending", minutes=5),
        duplicate_due_first=row(twice, "pending", minutes=-5),
        duplicate_processing=row(begun_twice, "processing", minutes=5, attempts=1),
        duplicate_of_processing=row(begun_twice, "pending", minutes=-5),
    )


def _apply_files(database: Database) -> None:
    """Run every file, whatever the history says, but for functions and views that a later file records anew."""
    every = [migration.text for migration in migrations()]
    for place, text in enumerate(every):
        with database.connection.transaction():
            database.run("set local check_function_bodies = off")
            database.run(without_superseded(text, every[place + 1 :]))


# One schema


def test_the_migrations_record_every_schema_file_as_it_is() -> None:
    """What is written in supabase/schemas reaches no database before a migration holds it, too."""
    differing = changed(migrations(), schema_files())
    assert not differing, (
        f"supabase/schemas differs from what the migrations record: {', '.join(differing)}. "
        "Run: python -m smsretry.adapters.migrations.next_migration NAME"
    )


def test_the_schema_files_alone_make_what_all_migrations_make(empty: Database, fresh_schema: Snapshot) -> None:
    """Applied folder by folder."""
    for file in schema_files():
        empty.run(file.text)
    assert snapshot(empty) == fresh_schema


def test_the_schema_files_may_be_applied_twice(empty: Database, fresh_schema: Snapshot) -> None:
    """So may then every section of a migration."""
    for file in [*schema_files(), *schema_files()]:
        empty.run(file.text)
    assert snapshot(empty) == fresh_schema


def test_a_schema_file_creates_one_thing_and_is_named_for_it() -> None:
    """So that whoever looks for a function finds its file."""
    for file in schema_files():
        assert file.creates.partition(".")[2] == (file.name if file.kind != "other" else ""), file.path
        statements = [line for line in file.text.splitlines() if line.startswith("create or replace ")]
        assert len(statements) == (file.kind in ("function", "view")), file.path


def test_a_migrated_installation_has_the_schema_of_a_new_one(
    original: Database, old: Old, fresh_schema: Snapshot
) -> None:
    """Tables full of rows, old functions and old policies end where an empty database ends."""
    migrate(original.url)
    same_schema(snapshot(original), fresh_schema)


def test_the_original_installation_keeps_what_is_its_own(original: Database, old: Old) -> None:
    """Foreign keys, checks, indexes and the trigger of the application are still there."""
    own = "select conname as said from pg_constraint where conrelid = 'sms_retry_queue'::regclass and contype <> 'n'"
    keys = {row["said"] for row in original.rows(own)}
    migrate(original.url)
    assert keys <= {row["said"] for row in original.rows(own)}
    kept = original.rows(
        """select indexname as said from pg_indexes where indexname like 'retry_queue_by%%'
           union all select tgname from pg_trigger where tgrelid = 'sms_retry_queue'::regclass and not tgisinternal
           and tgname not like 'smsretry%%'"""
    )
    assert {row["said"] for row in kept} == {
        "retry_queue_by_due_time", "retry_queue_by_customer", "sms_retry_queue_updated_at"
    }  # fmt: skip


def test_applying_every_file_again_changes_nothing_on_a_new_database(empty: Database, fresh_schema: Snapshot) -> None:
    """The files are safe to apply twice, even when the history is lost."""
    _apply_files(empty)
    _apply_files(empty)
    found = snapshot(empty)
    assert found == fresh_schema


def test_applying_every_file_again_changes_nothing_on_an_old_installation(
    original: Database, old: Old, fresh_schema: Snapshot
) -> None:
    """Neither the schema nor a row differs after the second time."""
    _apply_files(original)
    once, rows = snapshot(original), original.rows("select * from sms_retry_queue order by id")
    attempts = original.rows("select * from sms_send_attempts order by id")
    _apply_files(original)
    assert snapshot(original) == once
    same_schema(once, fresh_schema)
    assert original.rows("select * from sms_retry_queue order by id") == rows
    assert original.rows("select * from sms_send_attempts order by id") == attempts


def test_who_may_call_a_function_of_1_0_0_still_may_after_the_upgrade_and_after_a_repair(empty: Database) -> None:
    """A webhook or a monitor may have a role of its own. Functions that changed are dropped on the way, some twice."""
    migrate(empty.url, shipped=[one for one in migrations() if one.version <= VERSION_1_0_0])
    called = ("record_inbound_sms", "sms_status", "queue_scheduled_sms", "check_sms_retries")
    empty.run("create role webhook")
    empty.run("; ".join(f"grant execute on function {name} to webhook" for name in called))
    try:
        for again in (False, True):
            migrate(empty.url, again=again)
            may = empty.rows(
                """select proname from pg_proc p where pronamespace = 'public'::regnamespace
                   and has_function_privilege('webhook', p.oid, 'execute') and proname = any (%s)""",
                list(called),
            )
            assert sorted(row["proname"] for row in may) == sorted(called)
    finally:
        empty.run("drop owned by webhook; drop role webhook")


def test_migrating_again_brings_back_a_trigger_s_function_that_a_later_migration_made(
    empty: Database, fresh_schema: Snapshot
) -> None:
    """The trigger goes with it, and an earlier file would make it before the function is there."""
    migrate(empty.url)
    empty.run("drop function smsretry.keep_suppression cascade")
    assert migrate(empty.url, again=True) == migrations()
    assert snapshot(empty) == fresh_schema


def test_a_row_with_a_status_nobody_knows_is_kept_and_the_rule_holds_for_the_next(
    original: Database, old: Old, fresh_schema: Snapshot
) -> None:
    """What broke the rule before there was one stays; the rule is there, unvalidated, and refuses new ones."""
    original.run("alter table sms_retry_queue drop constraint retry_status_known")
    original.run(b"update sms_retry_queue set status = 'paused' where status = 'failed'")
    migrate(original.url)
    assert original.one("select status from sms_retry_queue where id = %s", old.failed)["status"] == "paused"
    found = snapshot(original)
    lenient = frozenset(said.replace(" NOT VALID", "") for said in found["constraints"])
    unproven = {said for said in lenient if said.endswith("valid=f")}
    assert {said.split()[1] for said in unproven} == {"sms_retry_queue_status"}
    proven = {said.removesuffix("f") + "t" if said in unproven else said for said in lenient}
    same_schema({**found, "constraints": frozenset(proven)}, fresh_schema)
    with pytest.raises(psycopg.errors.CheckViolation, match="sms_retry_queue_status"):
        original.rows("update sms_retry_queue set status = 'asleep' where id = %s returning 1", old.pending)


def test_an_owner_who_is_no_superuser_can_migrate(running_stack: Stack, empty: Database) -> None:
    """On Supabase `postgres` is not a superuser."""
    empty.run(
        """do $$ begin
               if not exists (select from pg_roles where rolname = 'plain_owner') then
                   create role plain_owner login createdb createrole bypassrls;
               end if;
           end $$;
           alter default privileges for role plain_owner in schema public
               grant all on tables to anon, authenticated, service_role;
           alter default privileges for role plain_owner in schema public
               grant all on functions to anon, authenticated, service_role;
           grant usage on schema auth to plain_owner"""
    )
    running_stack.postgres.allow_login("plain_owner")
    name = empty.connection.info.dbname
    empty.run(f'alter database "{name}" owner to plain_owner')
    migrate(running_stack.postgres.url(name, user="plain_owner"))
    assert complaints(empty.connection) == {}


# Rows that were there before


def test_migrating_loses_no_row(original: Database, old: Old) -> None:
    """As many rows as before, in all four tables."""
    tables = ("businesses", "customers", "send_logs", "sms_retry_queue")
    before = [original.one(f"select count(*) as n from {table}")["n"] for table in tables]
    migrate(original.url)
    assert [original.one(f"select count(*) as n from {table}")["n"] for table in tables] == before
    assert before == [1, 1, 6, 8]


def test_the_application_s_data_is_as_it_was(original: Database, old: Old) -> None:
    """Every original column of every row that was not a duplicate; updated_at moves where a claim was noted."""
    query = """select id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
                      last_attempted_at, last_error, reason, created_at
               from sms_retry_queue where not id = any (%s) order by id"""
    cancelled = [old.duplicate, old.duplicate_of_processing]
    others = "select to_jsonb(t) - 'sms_hours' as said from {} t order by id"
    before = original.rows(query, cancelled)
    untouched = original.rows("select id, updated_at from sms_retry_queue where status <> 'processing' order by id")
    elsewhere = [original.rows(others.format(table)) for table in ("businesses", "customers", "send_logs")]
    migrate(original.url)
    assert original.rows(query, cancelled) == before
    after = {row["id"]: row["updated_at"] for row in original.rows("select id, updated_at from sms_retry_queue")}
    assert all(after[row["id"]] == row["updated_at"] for row in untouched if row["id"] not in cancelled)
    assert [original.rows(others.format(table)) for table in ("businesses", "customers", "send_logs")] == elsewhere


def test_of_two_live_rows_for_one_text_the_one_due_first_stays(original: Database, old: Old) -> None:
    """The other is cancelled and says which row it duplicated."""
    migrate(original.url)
    assert original.one("select status from sms_retry_queue where id = %s", old.duplicate_due_first) == {
        "status": "pending"
    }
    other = original.one("select status, last_error from sms_retry_queue where id = %s", old.duplicate)
    assert other == {
        "status": "cancelled", "last_error": f"Duplicate of row {old.duplicate_due_first}: one live row a text"
    }  # fmt: skip


def test_of_two_live_rows_the_one_that_may_have_been_sent_stays(original: Database, old: Old) -> None:
    """A processing row wins over a pending one, also when that is due first: only its attempt tells what happened."""
    migrate(original.url)
    kept = original.one("select status, begun_at from sms_retry_queue where id = %s", old.duplicate_processing)
    assert kept["status"] == "processing"
    assert kept["begun_at"] is not None
    other = original.one("select status, last_error from sms_retry_queue where id = %s", old.duplicate_of_processing)
    assert other["status"] == "cancelled"
    assert str(old.duplicate_processing) in other["last_error"]


def test_no_text_has_two_live_rows_after_a_migration(original: Database, old: Old) -> None:
    """Nor can it get a second one."""
    migrate(original.url)
    log = original.one("select * from sms_retry_queue where id = %s", old.pending)
    with pytest.raises(psycopg.errors.UniqueViolation, match="sms_retry_queue_one_live_row"):
        original.rows(
            """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
               values (%s, %s, %s, now()) returning id""",
            log["business_id"], log["send_log_id"], log["customer_id"],
        )  # fmt: skip


def test_what_an_old_worker_was_sending_is_begun(original: Database, old: Old) -> None:
    """Its claim has a number, a lease and an attempt, all of the time it was last attempted."""
    migrate(original.url)
    row = original.one("select * from sms_retry_queue where id = %s", old.processing)
    attempt = original.one("select * from sms_send_attempts where retry_id = %s", old.processing)
    assert row["claim_no"] == attempt["claim_no"] == 1
    assert row["attempt_id"] == attempt["id"]
    assert row["claimed_at"] == row["begun_at"] == attempt["begun_at"] == row["last_attempted_at"]
    assert attempt["attempt_number"] == row["attempt_count"] == 2
    assert (attempt["outcome"], attempt["finished_at"]) == (None, None)
    assert {row["retry_id"] for row in original.rows("select retry_id from sms_send_attempts")} == {
        old.processing, old.duplicate_processing
    }  # fmt: skip


def test_what_an_old_worker_was_sending_is_recovered_in_doubt_and_not_sent_again(original: Database, old: Old) -> None:
    """The old installation would have sent it a second time."""
    migrate(original.url)
    recovered = original.rows("select * from recover_stuck_sms_retries(10)")
    assert {row["id"] for row in recovered} == {old.processing, old.duplicate_processing}
    assert all(row["status"] == "pending" and row["in_doubt_since"] for row in recovered)
    assert {row["outcome"] for row in original.rows("select outcome from sms_send_attempts")} == {"in_doubt"}
    claimed = {row["id"] for row in original.rows("select id from claim_due_sms_retries(50)")}
    assert claimed == {old.pending, old.duplicate_due_first}


def test_after_the_upgrade_a_start_gives_back_only_what_is_known_to_have_been_there(empty: Database) -> None:
    """Version 1.0.0 heard the STOP, and kept nothing of what consent was; a text had gone out to one of two."""
    migrate(empty.url, shipped=[migration for migration in migrations() if migration.version <= VERSION_1_0_0])
    business = empty.one("insert into businesses (user_id, name) values (%s, 'Maple Street') returning id", uuid4())[
        "id"
    ]
    texted, asked = (
        empty.one(
            "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, %s) returning id",
            business, NUMBER, consent,
        )["id"]
        for consent in ("opted_in", "unknown")
    )  # fmt: skip
    log = empty.one(
        "insert into send_logs (business_id, customer_id, channel, subject) values (%s, %s, 'sms', 'Hi') returning id",
        business, texted,
    )["id"]  # fmt: skip
    row = empty.one("select retry_id from queue_sms_retry(%s)", log)["retry_id"]
    claim_no = empty.one("select claim_no from claim_sms_retry(%s)", row)["claim_no"]
    begun = empty.one(
        "select answer from begin_sms_attempt(%s, %s, %s, now() + interval '1 hour', 'test')", row, claim_no, uuid4()
    )
    assert begun == {"answer": "go"}
    empty.run(f"select record_inbound_sms('{NUMBER}', 'SM{'a' * 32}', 'STOP')")
    migrate(empty.url)
    assert empty.one("select answer, customers from record_inbound_sms(%s, %s, 'START')", NUMBER, f"SM{'b' * 32}") == {
        "answer": "opted_in", "customers": 1,
    }  # fmt: skip
    found = empty.rows("select id, sms_consent_status as status, sms_consent_source as source from customers")
    assert {each["id"]: (each["status"], each["source"]) for each in found} == {
        texted: ("opted_in", "inbound_start"), asked: ("unknown", "inbound_start"),
    }  # fmt: skip


def test_of_two_rows_an_old_worker_was_sending_no_attempt_is_left_without_an_outcome(
    original: Database, old: Old
) -> None:
    """A text that may have gone out twice: the cancelled row's attempt is in doubt, too."""
    original.run(
        b"update sms_retry_queue set status = 'processing' where last_error is not null and status = 'pending'"
    )
    migrate(original.url)
    original.rows("select * from recover_stuck_sms_retries(10)")
    unsettled = original.rows(
        """select a.retry_id from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id
           where q.status = 'cancelled' and a.outcome is null"""
    )
    assert unsettled == []


def test_rows_that_already_wait_have_their_whole_life_before_them(original: Database, old: Old) -> None:
    """It begins at the first moment that a worker might send them."""
    migrate(original.url)
    expiries = original.rows("select expires_at from sms_retry_queue")
    assert expiries == [{"expires_at": None}] * 8


@pytest.mark.parametrize("column", ["attempt_count", "max_attempts", "scheduled_for"])
def test_an_old_column_that_allowed_null_does_not_any_more(original: Database, column: str) -> None:
    """A null there breaks the claim's answer for every row of the batch, or hides the row from the claim for ever."""
    original.run(f"alter table sms_retry_queue alter column {column} drop not null")
    migrate(original.url)
    found = original.one(
        "select attnotnull from pg_attribute where attrelid = 'sms_retry_queue'::regclass and attname = %s", column
    )
    assert found["attnotnull"]


def test_a_row_without_its_text_and_customer_fails_alone(original: Database, old: Old) -> None:
    """Columns that an old table lets be null (on delete set null) do not break the claim for the others."""
    original.run("alter table sms_retry_queue alter column send_log_id drop not null")
    original.run("alter table sms_retry_queue alter column customer_id drop not null")
    original.run("update sms_retry_queue set send_log_id = null, customer_id = null where status = 'pending'")
    migrate(original.url)
    claimed = original.rows("select * from claim_due_sms_retries(10)")
    assert claimed
    assert not any(Claim.model_validate(row).send_log_found for row in claimed)


def test_a_text_whose_customer_was_deleted_stops_no_look_after_deliveries(original: Database, old: Old) -> None:
    """Nobody's delivery was looked after: the whole answer was said to be another version's."""
    for column in ("send_log_id", "customer_id"):
        original.run(f"alter table sms_retry_queue alter column {column} drop not null")
    migrate(original.url)
    original.run(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome,
                                          settled_by, twilio_sid, delivery_look_at)
           select gen_random_uuid(), id, 1, 99, at, at, 'accepted', 'response', 'SM' || md5(id::text), at
           from sms_retry_queue, (select smsretry.clock() - interval '1 hour' as at) an_hour_ago
           where status = 'completed'"""
    )
    original.run("update sms_retry_queue set send_log_id = null, customer_id = null where status = 'completed'")
    claimed = [OpenDelivery.model_validate(row) for row in original.rows("select * from claim_sms_deliveries(10)")]
    assert claimed
    assert {(one.customer_id, one.send_log_id, one.settled) for one in claimed} == {(None, None, True)}


def test_rows_without_a_text_are_not_duplicates_of_each_other(original: Database, old: Old) -> None:
    """Two rows whose send log is gone (on delete set null) fail with that reason, not as duplicates."""
    original.run("alter table sms_retry_queue alter column send_log_id drop not null")
    ids = [old.pending, old.duplicate]
    original.rows("update sms_retry_queue set send_log_id = null where id = any (%s) returning 1", ids)
    migrate(original.url)
    errors = original.rows("select last_error from sms_retry_queue where id = any (%s)", ids)
    assert not any("Duplicate" in (row["last_error"] or "") for row in errors)


# What stops a migration


def test_rows_without_a_business_stop_the_migration_and_leave_nothing_of_it(
    original: Database, old: Old, fresh_schema: Snapshot
) -> None:
    """The message says what to do; once done, the same call goes through to the same schema."""
    original.run("alter table sms_retry_queue alter column business_id drop not null")
    original.rows("update sms_retry_queue set business_id = null where id = %s returning 1", old.pending)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    message = str(raised.value)
    assert _FILES[1] in message
    assert "rows without business_id" in message
    assert "Give each a business_id or delete it" in message
    assert original.one("select to_regclass('supabase_migrations.schema_migrations') as history")["history"] is None
    columns = original.rows("select attname from pg_attribute where attrelid = 'sms_retry_queue'::regclass")
    assert "claim_no" not in {row["attname"] for row in columns}
    assert original.one("select to_regclass('public.sms_send_attempts') as found")["found"] is None

    original.rows("delete from sms_retry_queue where business_id is null returning 1")
    assert [f"{migration.version}_{migration.name}" for migration in migrate(original.url)] == _FILES
    same_schema(snapshot(original), fresh_schema)


def test_no_connection_is_a_readable_error_without_the_password(running_stack: Stack) -> None:
    """A closed port, a wrong password, a database that does not exist."""
    good = running_stack.postgres.url("nowhere")
    secret = good.split(":")[2].split("@")[0]
    wrong_port = f"postgresql://postgres:{secret}@127.0.0.1:1/nowhere"
    wrong_password = good.replace(secret, "wr0ng-secret")
    for url, word in ((wrong_port, "refused"), (wrong_password, "password authentication"), (good, '"nowhere"')):
        with pytest.raises(MigrationError, match="No connection to the database") as raised:
            migrate(url)
        message = str(raised.value)
        assert word in message
        assert "--db-url" in message
        assert secret not in message
        assert "wr0ng-secret" not in message
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


def test_a_database_of_another_kind_is_refused_with_what_it_lacks(empty: Database) -> None:
    """A new database on the right host, or a PostgreSQL of the developer's own."""
    empty.run("drop schema auth cascade")
    with pytest.raises(MigrationError, match=r"no database of a Supabase project: it has no auth\.uid\(\).*--db-url"):
        migrate(empty.url)


def test_a_refused_connection_names_host_and_port() -> None:
    """Whoever mistyped the port must be able to see it."""
    with pytest.raises(MigrationError, match=r"127\.0\.0\.1"):
        migrate("postgresql://postgres@127.0.0.1:1/nowhere")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "https://project.supabase.co",
        "postgresql://postgres:gehe%im@127.0.0.1:1/postgres",
        "postgresql://postgres:geheim@127.0.0.1:1/postgres?pgbouncer=true",
    ],
)
def test_a_database_url_that_is_none_is_a_migration_error(url: str) -> None:
    """A typing error, the project's web address, an unescaped %, an option of another library's."""
    with pytest.raises(MigrationError) as raised:
        migrate(url)
    assert "gehe" not in str(raised.value)


def test_an_unescaped_password_is_not_taken_for_a_host_and_shown() -> None:
    """Supabase's generated passwords may hold an @, and its pages show the URL with a placeholder."""
    with pytest.raises(MigrationError) as raised:
        migrate("postgresql://postgres:geh@eim@127.0.0.1:1/postgres")
    assert "eim" not in str(raised.value)


def test_a_migration_that_waited_too_long_for_a_lock_names_who_holds_it(empty: Database) -> None:
    """The database was reached: to look for a wrong URL would be the wrong thing to do."""
    migrate(empty.url)
    empty.run(f"delete from supabase_migrations.schema_migrations where version = '{migrations()[1].version}'")
    with psycopg.connect(empty.url) as other:
        other.execute("lock table sms_retry_queue")
        holder = other.info.backend_pid
        with pytest.raises(MigrationError) as raised:
            migrate(f"{empty.url}?options=-clock_timeout%3D200", pauses=[0.1])
    assert "No connection" not in str(raised.value)
    assert f"Session {holder} " in str(raised.value)


# Books


def test_migrating_twice_applies_nothing_the_second_time(empty: Database) -> None:
    """The first call returns every file in order, the second none."""
    assert [f"{migration.version}_{migration.name}" for migration in migrate(empty.url)] == _FILES
    assert migrate(empty.url) == []


def test_the_books_name_every_file_and_hold_its_statements(empty: Database) -> None:
    """In the table and the columns that the Supabase CLI reads and writes."""
    migrate(empty.url)
    assert empty.applied() == _FILES
    kept = empty.rows("select version, statements from supabase_migrations.schema_migrations")
    assert {row["version"]: "".join(row["statements"]) for row in kept} == {
        migration.version: migration.text for migration in migrations()
    }


def test_two_migrations_at_once_both_succeed_and_each_file_is_applied_once(
    empty: Database, fresh_schema: Snapshot
) -> None:
    """Two machines are deployed at the same moment."""
    with ThreadPoolExecutor(4) as machines:
        applied = list(machines.map(migrate, [empty.url] * 4))
    assert Counter(migration.version for one in applied for migration in one) == {
        migration.version: 1 for migration in migrations()
    }
    assert empty.applied() == _FILES
    assert snapshot(empty) == fresh_schema


# The Supabase CLI


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """`supabase db push` of a copy of our folder, which has no config.toml; returns what the CLI said."""
    executable = os.environ.get("SMSRETRY_SUPABASE_CLI") or shutil.which("supabase")
    if executable is None:
        how = (
            f"no Supabase CLI: `npm install supabase@{CLI_VERSION}`, then set SMSRETRY_SUPABASE_CLI to "
            "node_modules/.bin/supabase or put it on the PATH"
        )
        if os.environ.get("SMSRETRY_REQUIRE_SUPABASE_CLI") == "1":
            pytest.fail(how)
        pytest.skip(how)
    project, home = tmp_path / "project", tmp_path / "home"
    home.mkdir()
    shutil.copytree(str(files("smsretry").joinpath("supabase")), project / "supabase")
    assert not (project / "supabase" / "config.toml").exists()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
        "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    }

    def run(database: Database) -> str:
        url = f"{database.url}?sslmode=disable"
        command = [executable, "db", "push", "--workdir", str(project), "--db-url", url, "--yes"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        return said

    return run


def test_the_supabase_cli_makes_the_same_schema_on_a_new_database(
    empty: Database, push: Push, fresh_schema: Snapshot
) -> None:
    """It takes the files apart into statements in its own way; `migrate` then finds nothing to do."""
    push(empty)
    assert snapshot(empty) == fresh_schema
    assert empty.applied() == _FILES
    assert migrate(empty.url) == []


def test_the_supabase_cli_makes_the_same_schema_of_an_old_installation(
    original: Database, old: Old, push: Push, fresh_schema: Snapshot
) -> None:
    """With its rows in the same state as after `migrate`."""
    push(original)
    same_schema(snapshot(original), fresh_schema)
    states = original.rows("select status, count(*) as n from sms_retry_queue group by status")
    assert {row["status"]: row["n"] for row in states} == {
        "pending": 2, "processing": 2, "completed": 1, "failed": 1, "cancelled": 2
    }  # fmt: skip


def test_the_supabase_cli_finds_nothing_to_do_after_migrate(empty: Database, push: Push) -> None:
    """Both keep the same migration history."""
    migrate(empty.url)
    assert "up to date" in push(empty)
    assert empty.applied() == _FILES


def test_the_supabase_cli_goes_on_where_migrate_stopped(
    original: Database, old: Old, push: Push, fresh_schema: Snapshot
) -> None:
    """A failed `migrate` keeps nothing; the CLI applies all."""
    original.run("alter table sms_retry_queue alter column business_id drop not null")
    original.rows("update sms_retry_queue set business_id = null where id = %s returning 1", old.pending)
    with pytest.raises(MigrationError):
        migrate(original.url)
    original.rows("delete from sms_retry_queue where business_id is null returning 1")
    push(original)
    assert original.applied() == _FILES
    same_schema(snapshot(original), fresh_schema)


def test_the_package_s_folder_holds_the_sql_and_nothing_else() -> None:
    """No config.toml and no .temp that a CLI left behind."""
    folder = files("smsretry").joinpath("supabase")
    assert sorted(entry.name for entry in folder.iterdir()) == ["README.md", "migrations", "schemas"]
    names = sorted(entry.name for entry in folder.joinpath("migrations").iterdir())
    assert names == [f"{name}.sql" for name in _FILES]
