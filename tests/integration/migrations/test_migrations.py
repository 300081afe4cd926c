"""The migrations: one schema whatever was there before, nothing of an older installation lost, one history with the
Supabase CLI.

Each test has a database of its own, prepared as a Supabase project is before its first migration. What is refused is in
test_refusals.py.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.adapters.migrations.schemas import schema_files, schema_text
from smsretry.retry.delivery import OpenDelivery
from smsretry.retry.models import Claim
from tests.integration.catalog import Database, complaints
from tests.integration.conftest import whole_schema
from tests.record_schema import next_migration
from tests.support.npm import npm_tool
from tests.support.records import columns
from tests.support.restoring import schema_of

_FILES = [f"{migration.version}_{migration.name}" for migration in migrations()]
Push = Callable[..., str]
Old = dict[str, UUID]
"""The ids of an existing installation's queue rows, one in each status."""


_ROWS = """
with business as (insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple Street') returning id),
customer as (
    insert into customers (business_id, phone, sms_consent_status) select id, '+12125550123', 'opted_in' from business
    returning id, business_id
), has as (
    select * from (values ('pending', 'pending', 0, null), ('processing', 'pending', 2, 'twilio_error'),
                          ('completed', 'sent', 1, 'twilio_error'), ('failed', 'failed', 3, 'twilio_error')
    ) v (status, log_status, attempts, reason), lateral (select gen_random_uuid() as log where status <> '') l
), logs as (
    insert into send_logs (id, business_id, customer_id, channel, subject, status)
    select log, business_id, id, 'sms', 'Hi Ann', log_status from customer, has
)
insert into sms_retry_queue (business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
    last_attempted_at, last_error, reason, created_at, updated_at)
select business_id, log, id, status, attempts, 3, now(), case when attempts > 0 then now() - interval '1 hour' end,
    'Twilio was down', reason, now() - interval '1 day', now() - interval '1 hour' from customer, has
returning status, id
"""


_CLAIMED = """
with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple') returning id),
     c as (insert into customers (business_id, phone, sms_consent_status) select id, '+12125550123', 'opted_in' from b
           returning id, business_id),
     l as (insert into send_logs (business_id, customer_id, channel, subject)
           select business_id, id, 'sms', 'Hi ' || n from c, generate_series(1, 10) n
           returning id, business_id, customer_id)
insert into sms_retry_queue (business_id, send_log_id, customer_id, status, attempt_count, scheduled_for,
    last_attempted_at)
select business_id, id, customer_id, 'processing', 2, now(), now() - interval '1 hour' from l
"""
"""What its worker claimed just now: an earlier try was an hour ago."""
_RECOVER = "select * from recover_stuck_sms_retries(10)"


@pytest.fixture
def old_rows(original: Database) -> Old:
    """The existing installation's rows."""
    return {row["status"]: row["id"] for row in original.rows(_ROWS)}


# One schema


def test_the_migrations_are_what_the_schema_files_say_which_may_be_applied_twice(
    empty: Database, fresh_schema: str
) -> None:
    """Folder by folder. As long as nothing is released the first one is written anew: python -m tests.record_schema"""
    assert migrations()[0].text == schema_text(schema_files()), (
        "run: python -m tests.record_schema"
    )
    for _ in range(2):
        for file in schema_files():
            empty.run(file.text)
        assert whole_schema(empty.url) == fresh_schema
    # An application may publish all tables: then each of ours must say which row is which, or none could be changed.
    without = empty.rows(
        """select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind = 'r' and n.nspname in ('smsretry', 'public')
             and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)"""
    )
    assert without == []


def test_lists_of_columns_that_must_say_the_same_say_the_same(
    migrated: Database,
) -> None:
    """A scheduled send is told in the columns of a text, put together by their places: two of one type, the wrong way
    round, would go unnoticed. A field of a claim that the view has not would have its default for good.
    """

    def columns_of(view: str) -> list[tuple[str, str]]:
        query = """select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
                   where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"""
        return [
            columns(row, "name", "type")
            for row in migrated.rows(query, f"smsretry.{view}")
        ]

    of_a_row = set(Claim.model_fields) - {"stopped_states", "longest_body"}
    assert of_a_row <= {name for name, _ in columns_of("claimed_retry")}


def test_an_installation_gets_what_a_new_one_has_and_keeps_what_is_its_own(
    original: Database, old_rows: Old
) -> None:
    """Foreign keys, checks, indexes, triggers, comments, defaults and storage options of the application."""
    original.run(
        """comment on column sms_retry_queue.attempt_count is 'Counted by the nightly report';
           alter table sms_retry_queue set (fillfactor = 50), alter attempt_count set default 1,
               add column campaign text;
           create policy "Second factor" on sms_retry_queue as restrictive for all to authenticated using (true);
           create publication changes for table sms_retry_queue, customers"""
    )
    before = schema_of(original.url)
    migrate(original.url)
    assert complaints(original.connection) == {}
    after = {line.rstrip(",") for line in schema_of(original.url).splitlines()}
    lost = {
        line.partition(" TO ")[0]
        for line in before.splitlines()
        if line.rstrip(",") not in after
    }
    assert lost == {"GRANT ALL ON TABLE public.sms_retry_queue"}, (
        "what tenants may do there is less from now on"
    )


def test_other_types_of_text_fit_where_they_are_only_read(original: Database) -> None:
    """And an enum for the channel, and a number that is made of another column."""
    original.run(
        """create type channel as enum ('email', 'sms');
           alter table send_logs drop constraint send_logs_channel_known;
           alter table send_logs alter channel type channel using channel::channel, alter subject type varchar(1600);
           alter table send_logs alter status type varchar, alter error_message type varchar;
           alter table customers alter sms_consent_status type varchar, alter sms_consent_source type varchar,
               alter phone_status type varchar, alter timezone type varchar, drop column phone, add column entered text,
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
    assert [text for text in warned if not text.startswith("consent: ")] == []
    assert complaints(original.connection) == {}
    assert [
        row["advice"] for row in original.rows("select * from try_sms_retry_queue()")
    ] == [None, None, None]
    assert original.single_row("select sms_consent_status from customers") == {
        "sms_consent_status": "unknown"
    }


def test_a_trial_counts_the_customers_whose_values_will_make_texts_wait(
    original: Database,
) -> None:
    """Numbers as people write them, zones that nobody understands, and the default beside a number from elsewhere."""
    original.run(
        """insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple');
           insert into customers (business_id, phone)
           select id, unnest('{(212) 555-0123,+12125550123,+18085550123,+13105550123,n/a}'::text[]) from businesses;
           insert into customers (business_id, phone, timezone)
           select id, '+12125550124', unnest('{Eastern US,utc-8,null}'::text[]) from businesses;
           alter table customers drop constraint customers_consent_known;
           update customers set sms_consent_status = 'Subscribed' where timezone = 'utc-8';
           update customers set sms_consent_status = ' OPTED_IN' where timezone = 'Eastern US'"""
    )
    warned: list[str] = []
    migrate(original.url, dry_run=True, warn=warned.append)
    assert warned[0] == (
        "consent: of 8 customers checked 1 are opted_in, 0 are opted_out, 6 are unknown"
    )
    assert [warning.partition(":")[0] for warning in warned[1:]] == [
        "1 of 8 customers checked has the consent 'subscribed'",
        "1 of 8 customers checked has a number that is not spelled as E.164",
        "1 of 8 customers checked has a time zone that is not understood",
        "3 of 8 customers checked have a time zone that is not one of their number's",
    ]
    assert "5550" not in "".join(warned)


@pytest.mark.usefixtures("old_rows")
def test_applying_everything_again_changes_nothing(original: Database) -> None:
    """Neither the schema nor a row; also where the history was lost."""

    def whole_database() -> object:
        tables = (
            "sms_retry_queue",
            "sms_send_attempts",
            "smsretry.turns",
            "smsretry.secret",
        )
        return whole_schema(original.url), [
            original.rows(f"select * from {table} order by 1, 2") for table in tables
        ]

    migrate(original.url)
    before = whole_database()
    assert migrate(original.url, again=True) == []
    assert whole_database() == before
    original.run("drop schema supabase_migrations cascade")
    assert migrate(original.url) == migrations()
    assert whole_database() == before


def test_rows_that_break_a_rule_are_kept_and_named_and_the_rule_holds_for_the_next(
    original: Database, old_rows: Old
) -> None:
    """A status that nobody knows; a time that no worker could read, which stops nobody else."""
    original.run("alter table sms_retry_queue drop constraint retry_status_known")
    original.run("update sms_retry_queue set status = 'paused' where status = 'failed'")
    original.run(
        "update sms_retry_queue set scheduled_for = '-infinity', attempt_count = -1 where status = 'pending'"
    )
    warned: list[str] = []
    migrate(original.url, warn=warned.append)
    broken = {
        warning.split(" ")[5].strip(":"): original.rows(warning.partition(": ")[2])
        for warning in warned
        if not warning.startswith("consent: ")
    }
    assert broken == {
        "sms_retry_queue_status": [{"id": old_rows["failed"]}],
        "sms_retry_queue_attempts": [{"id": old_rows["pending"]}],
        "sms_retry_queue_instants": [{"id": old_rows["pending"]}],
    }
    with pytest.raises(psycopg.errors.CheckViolation, match="sms_retry_queue_status"):
        original.rows(
            "update sms_retry_queue set status = 'asleep' where id = %s returning 1",
            old_rows["completed"],
        )
    original.run("update send_logs set status = 'pending'; update sms_retry_queue set status = 'pending' "
                 "where status = 'completed'")  # fmt: skip
    assert [
        row["id"] for row in original.rows("select id from claim_due_sms_retries(10)")
    ] == [old_rows["completed"]]


# Rows that were there before


def test_the_application_s_rows_are_as_they_were_and_what_it_was_sending_is_in_doubt(
    original: Database, old_rows: Old
) -> None:
    """In every original column; what waits has its whole life before it. What an old worker was sending, which it would
    have sent a second time, has a lease from now on, and is recovered in doubt since its last try, with as many
    attempts.
    """
    queue = """select id, business_id, send_log_id, customer_id, status, max_attempts, scheduled_for,
                      last_attempted_at, last_error, reason, created_at from sms_retry_queue order by id"""
    others = [f"select to_jsonb(t) - 'sms_hours' - 'sms_daily_cap' as said from {table} t order by id"
              for table in ("businesses", "customers", "send_logs")]  # fmt: skip
    before = [original.rows(query) for query in (queue, *others)]
    migrate(original.url)
    assert [original.rows(query) for query in (queue, *others)] == before
    assert original.rows("select distinct expires_at from sms_retry_queue") == [
        {"expires_at": None}
    ]
    assert original.rows(_RECOVER) == []
    original.run(
        "update sms_retry_queue set claimed_at = now() - interval '10 minutes' where status = 'processing'"
    )
    [row] = original.rows(_RECOVER)
    assert (row["id"], row["status"], row["attempt_count"]) == (
        old_rows["processing"],
        "pending",
        2,
    )
    assert row["in_doubt_since"] is not None
    attempt = original.single_row("select * from sms_send_attempts")
    assert (attempt["id"], attempt["retry_id"], attempt["claim_no"]) == (
        row["attempt_id"],
        old_rows["processing"],
        1,
    )
    assert columns(attempt, "begun_at", "business_id") == columns(
        row, "last_attempted_at", "business_id"
    )
    assert columns(attempt, "attempt_number", "sent_to", "outcome") == (
        2,
        "+12125550123",
        "in_doubt",
    )
    counts = original.rows("select status, attempt_count as n from sms_retry_queue")
    assert {
        record["status"]: record["n"]
        for record in counts
        if record["status"] != "pending"
    } == {"completed": 1, "failed": 3}
    assert original.rows("select id from claim_due_sms_retries(50)") == [
        {"id": old_rows["pending"]}
    ]


@pytest.mark.parametrize("minutes", [0, 11])
def test_the_worker_of_an_adopted_claim_goes_on_through_the_migration_and_loses_nothing(
    original: Database, minutes: int
) -> None:
    """Ten texts, which it has tried before. It completes some and queues the next try of the others, also if its claims
    were recovered meanwhile; nobody waits for an answer that it gave.
    """
    original.run(_CLAIMED)
    migrate(original.url)
    assert original.rows(_RECOVER) == []
    original.run(
        f"update sms_retry_queue set claimed_at = now() - interval '{minutes} minutes'"
    )
    assert len(original.rows(_RECOVER)) == (10 if minutes else 0)
    claimed = original.rows("select id from sms_retry_queue order by id")
    for place, row in enumerate(claimed):
        if place % 2:
            original.run(
                f"""insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
                    select business_id, send_log_id, customer_id, 2, now() from sms_retry_queue
                    where id = '{row["id"]}';
                    update sms_retry_queue set status = 'failed' where id = '{row["id"]}'"""
            )
        else:
            original.run(
                f"update sms_retry_queue set status = 'completed' where id = '{row['id']}'"
            )
    assert original.rows(
        """select status, in_doubt_since, count(*) as rows from sms_retry_queue group by 1, 2 order by 1"""
    ) == [
        {"status": status, "in_doubt_since": None, "rows": 5}
        for status in ("completed", "failed", "pending")
    ]
    assert len(original.rows("select id from claim_due_sms_retries(50)")) == 5


def test_rows_without_their_text_and_customer_stop_nobody(
    original: Database, old_rows: Old
) -> None:
    """Columns that an old table lets be null (on delete set null) break no claim and no look at deliveries."""
    for column in ("send_log_id", "customer_id"):
        original.run(f"alter table sms_retry_queue alter column {column} drop not null")
    original.run(
        "update sms_retry_queue set send_log_id = null, customer_id = null where status <> 'processing'"
    )
    migrate(original.url)
    original.run(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome,
                                          settled_by, twilio_sid, delivery_ask_at)
           select gen_random_uuid(), id, 1, 99, at, at, 'accepted', 'response', 'SM' || md5(id::text), at
           from sms_retry_queue, (select smsretry.clock() - interval '1 hour' as at) an_hour_ago
           where status = 'completed'"""
    )
    [claim] = original.rows("select * from claim_due_sms_retries(10)")
    assert not Claim.model_validate(claim).send_log_found
    [delivery] = original.rows("select * from claim_sms_deliveries(10)")
    assert OpenDelivery.model_validate(delivery).moved_on


# The next one, and the books


def after_a_change() -> Migration:
    """The migration that is begun when the file of a function has changed."""
    was = "    update smsretry.runs r\n    set\n        finished_at"
    now = was.replace("update", "update only")
    changed = [
        replace(file, text=file.text.replace(was, now)) for file in schema_files()
    ]
    return next_migration("more", migrations(), changed, at="20270101000000")


def test_the_next_migration_holds_what_changed_and_who_may_call_it_and_may_be_applied_twice(
    empty: Database, migrated: Database, fresh_schema: str
) -> None:
    """On a database of the version before, and on a new one."""
    extra_migration = after_a_change()
    assert re.findall("== schemas/.*/(.*).sql ==", extra_migration.text) == [
        "finish_sms_run",
        "backend",
    ]
    every = [*migrations(), extra_migration]
    assert migrate(migrated.url, shipped=every) == [extra_migration]
    migrated.run(extra_migration.text)
    assert migrate(empty.url, shipped=every) == every
    assert whole_schema(empty.url) == whole_schema(migrated.url) != fresh_schema


def test_the_books_name_every_file_and_hold_its_statements_once(
    original: Database,
) -> None:
    """In the table and columns of the Supabase CLI; also when two machines are deployed at the same moment.

    A dry run says what it would apply. It keeps nothing, and waits for nobody who writes.
    """
    with psycopg.connect(original.url) as writer:
        for table in ("customers", "send_logs", "sms_retry_queue", "businesses"):
            writer.execute(f"lock table public.{table} in row exclusive mode")
        assert migrate(original.url, dry_run=True, pauses=()) == migrations()
    assert original.single_row("select to_regnamespace('smsretry') as there") == {
        "there": None
    }
    with ThreadPoolExecutor(4) as machines:
        applied = list(machines.map(migrate, [original.url] * 4))
    assert sorted(applied, key=len) == [[], [], [], migrations()]
    assert original.applied() == _FILES
    records = original.rows(
        "select version, statements from supabase_migrations.schema_migrations"
    )
    assert {row["version"]: "".join(row["statements"]) for row in records} == {
        migration.version: migration.text for migration in migrations()
    }


# The Supabase CLI


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """`supabase db push` of a copy of our folder, and of one more migration; returns what the CLI said."""
    executable = str(npm_tool("supabase"))
    shutil.copytree(str(files("smsretry").joinpath("supabase")), tmp_path / "supabase")
    off = dict.fromkeys(
        ("SUPABASE_TELEMETRY_DISABLED", "DO_NOT_TRACK", "SUPABASE_NO_UPDATE_NOTIFIER"),
        "1",
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **off}

    def run(database: Database, extra_migration: Migration | None = None) -> str:
        if extra_migration:
            (tmp_path / "supabase" / "migrations" / extra_migration.file).write_text(
                extra_migration.text, encoding="utf-8"
            )
        url = f"{database.url}?sslmode=disable"
        command = [
            executable,
            "db",
            "push",
            "--workdir",
            str(tmp_path),
            "--db-url",
            url,
            "--yes",
        ]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


def test_the_supabase_cli_makes_the_same_schema_and_either_goes_on_where_the_other_stopped(
    empty: Database, original: Database, old_rows: Old, push: Push, fresh_schema: str
) -> None:
    """It takes the files apart into statements in its own way. The next migration comes by `migrate`, or by it."""
    push(empty)
    assert whole_schema(empty.url) == fresh_schema
    assert empty.applied() == _FILES
    assert migrate(empty.url) == []
    push(original)
    assert complaints(original.connection) == {}
    assert original.single_row(
        "select claim_no from sms_retry_queue where id = %s", old_rows["processing"]
    ) == {"claim_no": 1}
    extra_migration = after_a_change()
    assert migrate(empty.url, shipped=[*migrations(), extra_migration]) == [
        extra_migration
    ]
    assert "up to date" in push(empty, extra_migration)
    push(original)
    of_function = "select from pg_proc where proname = 'finish_sms_run' and prosrc like '%%only smsretry.runs%%'"
    assert len(original.rows(of_function)) == 1
