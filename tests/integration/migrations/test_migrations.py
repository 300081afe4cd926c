"""The migrations: one schema whatever was there before, nothing of an older installation lost, one history with the
Supabase CLI.

Each test has a database of its own, prepared as a Supabase project is before its first migration. What is refused is in
test_refusals.py, and how a next migration is written in test_next_migration.py.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.adapters.migrations.schemas import schema_files, whole
from smsretry.local.stack import Stack
from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim
from tests.integration.catalog import Database, Snapshot, complaints, snapshot
from tests.integration.invented import changed_files, following

CLI_VERSION = "2.117.0"
_FILES = [f"{migration.version}_{migration.name}" for migration in migrations()]
Push = Callable[..., str]


class Old(NamedTuple):
    """The ids of an existing installation's queue rows."""

    pending: UUID
    processing: UUID
    completed: UUID
    failed: UUID


@pytest.fixture
def old(original: Database) -> Old:
    """The existing installation's rows, one in each status."""
    business = original.one("insert into businesses (user_id, name) values (%s, 'Maple Street') returning id", uuid4())
    customer = original.one(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, '+12125550123', 'opted_in')"
        " returning id",
        business["id"],
    )

    def row(
        status: str, log_status: str = "pending", *, attempts: int = 0, reason: str | None = "twilio_error"
    ) -> UUID:
        log = original.one(
            """insert into send_logs (business_id, customer_id, channel, subject, status)
               values (%s, %s, 'sms', 'Hi Ann', %s) returning id""",
            business["id"], customer["id"], log_status,
        )["id"]  # fmt: skip
        made = original.one(
            """insert into sms_retry_queue (business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
                   scheduled_for, last_attempted_at, last_error, reason, created_at, updated_at)
               values (%s, %s, %s, %s, %s, 3, now(), case when %s > 0 then now() - interval '1 hour' end,
                   'Twilio was down', %s, now() - interval '1 day', now() - interval '1 hour') returning id""",
            business["id"], log, customer["id"], status, attempts, attempts, reason,
        )  # fmt: skip
        row_id: UUID = made["id"]
        return row_id

    return Old(
        pending=row("pending", reason=None),
        processing=row("processing", attempts=2),
        completed=row("completed", "sent", attempts=1),
        failed=row("failed", "failed", attempts=3),
    )


# One schema


def test_the_migrations_are_what_the_schema_files_say() -> None:
    """As long as nothing is released the first of them is written anew: python -m tests.record_schema"""
    assert migrations()[0].text == whole(schema_files()), "run: python -m tests.record_schema"
    assert len(migrations()) <= 3


def test_the_schema_files_alone_make_what_the_migrations_make_and_may_be_applied_twice(
    empty: Database, fresh_schema: Snapshot
) -> None:
    """Folder by folder. So may then every section of a migration."""
    for _ in range(2):
        for file in schema_files():
            empty.run(file.text)
        assert snapshot(empty) == fresh_schema


def test_a_schema_file_creates_one_thing_and_is_named_for_it() -> None:
    """So that whoever looks for a function finds its file."""
    for file in schema_files():
        assert file.creates.partition(".")[2] == (file.name if file.kind != "other" else ""), file.path
        statements = [line for line in file.text.splitlines() if line.strip().startswith("create or replace ")]
        assert len(statements) == (file.kind in ("function", "view")), file.path


def test_an_installation_gets_what_a_new_one_has_and_keeps_what_is_its_own(original: Database, old: Old) -> None:
    """Foreign keys, checks, indexes, triggers, comments, defaults and storage options of the application."""
    original.run(
        """comment on column sms_retry_queue.attempt_count is 'Counted by the nightly report';
           alter table sms_retry_queue set (fillfactor = 50), alter attempt_count set default 1,
               add column campaign text;
           create policy "Second factor" on sms_retry_queue as restrictive for all to authenticated using (true);
           create publication changes for table sms_retry_queue, customers"""
    )
    own = """
        select conname || pg_get_constraintdef(oid) as said from pg_constraint
        where conrelid = 'sms_retry_queue'::regclass and contype <> 'n'
        union all select indexdef from pg_indexes where tablename in ('sms_retry_queue', 'customers', 'send_logs')
        union all select pg_get_triggerdef(oid) from pg_trigger where tgrelid::regclass::text <> 'scheduled_sends'
        union all select policyname || tablename || cmd || coalesce(qual, '') from pg_policies
        union all select proname || prosrc from pg_proc where pronamespace = 'public'::regnamespace
        union all select description from pg_description where classoid = 'pg_class'::regclass
        union all select format('%s.%s %s %s %s', a.attrelid::regclass, attname, atttypid::regtype, attnotnull,
                                pg_get_expr(d.adbin, d.adrelid))
        from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum where attnum > 0
        union all select pubname || tablename from pg_publication_tables
        union all select reloptions::text from pg_class where relname = 'sms_retry_queue'
        union all select privilege_type || table_name || grantee from information_schema.table_privileges
        where table_name in ('businesses', 'customers', 'send_logs')"""
    before = {row["said"] for row in original.rows(own.replace("%", "%%"))}
    migrate(original.url)
    assert complaints(original.connection) == {}
    assert before - {row["said"] for row in original.rows(own.replace("%", "%%"))} == set()


def test_other_types_of_text_fit_where_they_are_only_read(original: Database) -> None:
    """And an enum for the channel, and a number that is made of another column."""
    original.run(
        """create type channel as enum ('email', 'sms');
           alter table send_logs drop constraint send_logs_channel_known;
           alter table send_logs alter channel type channel using channel::channel, alter subject type varchar(1600);
           alter table customers alter sms_consent_status type varchar, drop column phone, add column entered text,
               add column phone varchar(20) generated always as (replace(entered, ' ', '')) stored;
           alter table businesses alter column timezone type varchar(64);
           insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple');
           insert into customers (business_id, entered) select id, '+1 212 555 0123' from businesses;
           insert into send_logs (business_id, customer_id, channel, subject) select business_id, id, 'sms', 'Hi'
           from customers;
           alter table send_logs add constraint not_sending check (status <> 'sending')"""
    )
    warned: list[str] = []
    migrate(original.url, warn=warned.append)
    assert warned == []
    assert complaints(original.connection) == {}
    assert [row["advice"] for row in original.rows("select * from try_sms_retry_queue()")] == [None, None]
    assert original.one("select sms_consent_status from customers") == {"sms_consent_status": "unknown"}


@pytest.mark.parametrize("installation", ["empty", "original"])
def test_applying_everything_again_changes_nothing(installation: str, request: pytest.FixtureRequest) -> None:
    """Neither the schema nor a row; also where the history was lost."""
    database: Database = request.getfixturevalue(installation)
    if installation == "original":
        request.getfixturevalue("old")

    def whole_database() -> object:
        tables = ("sms_retry_queue", "sms_send_attempts", "smsretry.turns", "smsretry.secret")
        return snapshot(database), [database.rows(f"select * from {table} order by 1, 2") for table in tables]

    migrate(database.url)
    before = whole_database()
    assert migrate(database.url, again=True) == []
    assert whole_database() == before
    database.run("drop schema supabase_migrations cascade")
    assert migrate(database.url) == migrations()
    assert whole_database() == before


def test_again_brings_back_what_somebody_dropped_changed_or_revoked(empty: Database, fresh_schema: Snapshot) -> None:
    """Functions, views, triggers, policies, grants, indexes, constraints, keys and columns; the reader's role, too."""
    migrate(empty.url)
    empty.run(
        """drop function smsretry.keep_consent cascade; drop function end_sms_retry;
           drop view smsretry.claimed_retry cascade; alter view smsretry.text_on_record reset (security_invoker);
           create or replace function smsretry.is_sent(provider_message_id jsonb, status text) returns boolean
               language sql as 'select false';
           alter function begin_sms_attempt security definer;
           drop index sms_retry_queue_one_live_row; drop trigger smsretry_before_insert on sms_retry_queue;
           alter policy "Owners queue retries of their texts" on sms_retry_queue with check (true);
           alter table sms_retry_queue drop constraint sms_retry_queue_lease, drop column error_code cascade;
           alter table smsretry.turns drop constraint turns_pkey; alter table smsretry.runs drop column told cascade;
           alter table sms_send_attempts drop constraint sms_send_attempts_one_per_claim,
               drop constraint sms_send_attempts_retry_id_fkey;
           alter table scheduled_sends disable trigger smsretry_scheduled_send_changed, drop column why_code cascade;
           grant select on sms_send_attempts to anon; grant usage on schema smsretry to anon;
           revoke insert on sms_send_attempts from service_role; grant execute on function queue_sms_retry to public"""
    )
    assert migrate(empty.url, again=True) == []
    assert complaints(empty.connection) == {}
    named = {(what, said) for what, said in fresh_schema if not what.startswith(("table ", "comment "))}
    assert named - snapshot(empty) == set()


def test_rows_that_break_a_rule_are_kept_and_told_and_the_rule_holds_for_the_next(original: Database, old: Old) -> None:
    """A status that nobody knows; a time that no worker could read, which stops nobody else."""
    original.run("alter table sms_retry_queue drop constraint retry_status_known")
    original.run("update sms_retry_queue set status = 'paused' where status = 'failed'")
    original.run("update sms_retry_queue set scheduled_for = '-infinity', attempt_count = -1 where status = 'pending'")
    warned: list[str] = []
    migrate(original.url, warn=warned.append)
    assert warned.pop().startswith(
        "oldest due text would not go out now, or could not be tried: claim_sms_retry (23514): "
    )
    broken = {warning.split(" ")[5].strip(":"): original.rows(warning.partition(": ")[2]) for warning in warned}
    assert broken == {
        "sms_retry_queue_status": [{"id": old.failed}],
        "sms_retry_queue_attempts": [{"id": old.pending}],
        "sms_retry_queue_instants": [{"id": old.pending}],
    }
    with pytest.raises(psycopg.errors.CheckViolation, match="sms_retry_queue_status"):
        original.rows("update sms_retry_queue set status = 'asleep' where id = %s returning 1", old.completed)
    log = original.one("select business_id, customer_id from sms_retry_queue where id = %s", old.pending)
    original.run(
        f"""with log as (insert into send_logs (business_id, customer_id, channel) values
                         ('{log["business_id"]}', '{log["customer_id"]}', 'sms') returning id, business_id, customer_id)
            insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
            select business_id, id, customer_id, now() from log"""
    )
    assert len(original.rows("select jsonb_array_elements(jsonb_agg(c)) from claim_sms_texts(10) c")) == 1


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


def test_the_application_s_rows_are_as_they_were_and_what_it_was_sending_is_in_doubt(
    original: Database, old: Old
) -> None:
    """In every original column; what waits has its whole life before it. What an old worker was sending, which it would
    have sent a second time, has the claim, lease and attempt of its last try, and is recovered in doubt.
    """
    queue = """select id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
                      last_attempted_at, last_error, reason, created_at from sms_retry_queue order by id"""
    others = [f"select to_jsonb(t) - 'sms_hours' as said from {table} t order by id"
              for table in ("businesses", "customers", "send_logs")]  # fmt: skip
    before = [original.rows(query) for query in (queue, *others)]
    migrate(original.url)
    assert [original.rows(query) for query in (queue, *others)] == before
    assert original.rows("select distinct expires_at from sms_retry_queue") == [{"expires_at": None}]
    row = original.one("select * from sms_retry_queue where id = %s", old.processing)
    attempt = original.one("select * from sms_send_attempts")
    assert (attempt["id"], attempt["retry_id"], attempt["claim_no"]) == (row["attempt_id"], old.processing, 1)
    assert row["claimed_at"] == row["begun_at"] == attempt["begun_at"] == row["last_attempted_at"]
    assert (attempt["attempt_number"], attempt["sent_to"], attempt["outcome"]) == (2, "+12125550123", None)
    [recovered] = original.rows("select * from recover_stuck_sms_retries(10)")
    assert (recovered["id"], recovered["status"]) == (old.processing, "pending")
    assert recovered["in_doubt_since"] is not None
    assert original.rows("select id from claim_due_sms_retries(50)") == [{"id": old.pending}]


def test_rows_without_their_text_and_customer_stop_nobody(original: Database, old: Old) -> None:
    """Columns that an old table lets be null (on delete set null) break no claim and no look at deliveries."""
    for column in ("send_log_id", "customer_id"):
        original.run(f"alter table sms_retry_queue alter column {column} drop not null")
    original.run("update sms_retry_queue set send_log_id = null, customer_id = null where status <> 'processing'")
    migrate(original.url)
    original.run(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome,
                                          settled_by, twilio_sid, delivery_look_at)
           select gen_random_uuid(), id, 1, 99, at, at, 'accepted', 'response', 'SM' || md5(id::text), at
           from sms_retry_queue, (select smsretry.clock() - interval '1 hour' as at) an_hour_ago
           where status = 'completed'"""
    )
    [claim] = original.rows("select * from claim_due_sms_retries(10)")
    assert not Claim.model_validate(claim).send_log_found
    [delivery] = original.rows("select * from claim_sms_deliveries(10)")
    assert OpenDelivery.model_validate(delivery).settled


# Books


def test_the_books_name_every_file_and_hold_its_statements_once(original: Database) -> None:
    """In the table and columns of the Supabase CLI; also when two machines are deployed at the same moment.

    A dry run does all of it, says what it would apply, and keeps nothing.
    """
    assert migrate(original.url, dry_run=True) == migrations()
    assert original.one("select to_regnamespace('smsretry') as there") == {"there": None}
    with ThreadPoolExecutor(4) as machines:
        applied = list(machines.map(migrate, [original.url] * 4))
    assert sorted(applied, key=len) == [[], [], [], migrations()]
    assert original.applied() == _FILES
    kept = original.rows("select version, statements from supabase_migrations.schema_migrations")
    assert {row["version"]: "".join(row["statements"]) for row in kept} == {
        migration.version: migration.text for migration in migrations()
    }


# The Supabase CLI


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """`supabase db push` of a copy of our folder, and of one more migration; returns what the CLI said."""
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
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
        "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    }

    def run(database: Database, more: Migration | None = None) -> str:
        if more:
            (project / "supabase" / "migrations" / more.file).write_text(more.text, encoding="utf-8")
        url = f"{database.url}?sslmode=disable"
        command = [executable, "db", "push", "--workdir", str(project), "--db-url", url, "--yes"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        return said

    return run


def test_the_supabase_cli_makes_the_same_schema_and_either_goes_on_where_the_other_stopped(
    empty: Database, original: Database, old: Old, push: Push, fresh_schema: Snapshot
) -> None:
    """It takes the files apart into statements in its own way. The next migration comes by `migrate`, or by it."""
    push(empty)
    assert snapshot(empty) == fresh_schema
    assert empty.applied() == _FILES
    assert migrate(empty.url) == []
    push(original)
    assert complaints(original.connection) == {}
    assert original.one("select count(*) as n from sms_send_attempts where retry_id = %s", old.processing)["n"] == 1
    more = following(changed_files())
    assert migrate(empty.url, shipped=[*migrations(), more], schema=changed_files()) == [more]
    assert "up to date" in push(empty, more)
    push(original)
    assert original.rows("select from pg_proc where proname = 'sms_queue_length'")
