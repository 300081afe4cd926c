"""A database that was made by a version which was never released is brought to this one with its rows, or refused.

Every state that the migrations ever had was tried once; what differed among them is planted here.
"""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.migrations.next_migration import next_migration
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.unreleased import BROUGHT_UP, RENAMED, applied_in_another_form
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, Snapshot, same_schema, snapshot

OLDER = """
-- a column, a table and an index that were added later
alter table public.sms_send_attempts drop column delivery_looks;
drop table smsretry.inbound_texts;
drop index public.sms_retry_queue_next;
create index if not exists sms_retry_queue_next on public.sms_retry_queue (id);
-- rules that were others, or are gone
alter table smsretry.steps drop constraint steps_step, add constraint steps_step check (step in ('requeued'));
alter table public.sms_retry_queue add constraint sms_retry_queue_in_doubt check (in_doubt_since is null);
alter table public.sms_retry_queue
    alter column expires_at set default smsretry.clock() + interval '48 hours', alter column expires_at set not null;
-- functions with other parameters, or that are gone
drop function public.next_sms_due;
create or replace function public.next_sms_due(within_minutes integer)
returns integer language sql set search_path = pg_catalog, pg_temp as $$ select within_minutes $$;
create or replace function public.sms_of_old()
returns setof smsretry.claimed_retry language sql set search_path = pg_catalog, pg_temp as $$
    select * from smsretry.claimed_retry
$$;
create or replace function smsretry.of_old()
returns bigint language sql set search_path = pg_catalog, pg_temp as $$ select count(*) from public.sms_of_old() $$;
"""
NUMBER = "+12125550123"


@pytest.fixture(params=["the numbers of today", "the first numbers"])
def older(request: pytest.FixtureRequest, original: Database) -> Database:
    """An installation with a text, made by an older form of the migrations under today's numbers, or the first ones."""
    migrate(original.url)
    business, customer, log, retry = (uuid4() for _ in range(4))
    original.one("insert into businesses (id, user_id, name) values (%s, %s, 'Maple') returning 1", business, uuid4())
    for statement, *values in (
        ("customers (id, business_id, phone) values (%s, %s, %s)", customer, business, NUMBER),
        ("send_logs (id, business_id, customer_id, channel) values (%s, %s, %s, 'sms')", log, business, customer),
        (
            "sms_retry_queue (id, business_id, send_log_id, customer_id, scheduled_for, expires_at)"
            " values (%s, %s, %s, %s, now(), now())",
            retry, business, log, customer,
        ),
        (
            "sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at) values (%s, %s, 1, 1, now())",
            uuid4(), retry,
        ),
    ):  # fmt: skip
        original.one(f"insert into {statement} returning 1", *values)
    original.run(OLDER)
    if request.param == "the first numbers":
        original.run("delete from supabase_migrations.schema_migrations")
        for version, name in RENAMED.items():
            original.one(
                "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s) returning 1",
                version, name,
            )  # fmt: skip
    version = min(original.applied()).partition("_")[0]
    original.one(
        "update supabase_migrations.schema_migrations set statements = array[%s, %s] where version = %s returning 1",
        migrations()[0].text, OLDER, version,
    )  # fmt: skip
    return original


def _rows(database: Database) -> list[list[dict[str, Any]]]:
    queries = (
        "select to_jsonb(q) as row from sms_retry_queue q",
        "select to_jsonb(a) - 'delivery_looks' as row from sms_send_attempts a",
        "select * from supabase_migrations.schema_migrations order by version",
    )
    return [database.rows(query) for query in queries]


def test_it_becomes_as_this_version_makes_it_and_keeps_its_rows(older: Database, fresh_schema: Snapshot) -> None:
    """To the last parameter and rule, with one warning; the second time there is nothing to do."""
    said: list[str] = []
    before = _rows(older)
    assert migrate(older.url, warn=said.append) == migrations()
    assert said == [BROUGHT_UP]
    same_schema(snapshot(older), fresh_schema)
    assert "sms_retry_queue_in_doubt" not in str(snapshot(older)["constraints"])
    assert _rows(older)[:2] == before[:2]
    assert older.applied() == [f"{migration.version}_{migration.name}" for migration in migrations()]
    assert migrate(older.url) == []


def test_it_takes_the_next_migration_with_the_others(older: Database) -> None:
    """What an old migration made and the next one makes anew is there in between, for what calls it."""
    called = {"smsretry.may_have_arrived", "smsretry.before_insert"}  # the second by a trigger
    anew = [replace(file, text=f"-- Anew.\n{file.text}") if file.creates in called else file for file in schema_files()]
    following = next_migration("anew", migrations(), anew, at="20270101000000")
    assert following
    every = [*migrations(), following]
    assert migrate(older.url, shipped=every) == every
    older.run("drop function smsretry.may_have_arrived")
    assert migrate(older.url, shipped=every, again=True) == every
    assert older.one("select to_regproc('smsretry.may_have_arrived') is not null as there")["there"]


@pytest.mark.parametrize(
    ("obstacle", "told"),
    [
        ("create view mine as select * from smsretry.text_on_record", "mine depends on view smsretry.text_on_record"),
        (
            "alter table sms_send_attempts drop constraint sms_send_attempts_private;"
            f"update sms_send_attempts set outcome = 'not_sent', finished_at = now(), sent_to = '{NUMBER}'",
            '"sms_send_attempts_private" of relation "sms_send_attempts" is violated by some row',
        ),
    ],
    ids=["the application's own", "a row"],
)  # fmt: skip
def test_what_stands_in_the_way_is_told_and_nothing_is_changed(older: Database, obstacle: str, told: str) -> None:
    """With what to do, and without quoting a row."""
    older.run(obstacle)
    schema, rows = snapshot(older), _rows(older)
    with pytest.raises(MigrationError, match="made by a version that was never released") as refused:
        migrate(older.url)
    assert told in str(refused.value)
    assert "Then run `smsretry migrate` again. Nothing was changed." in str(refused.value)
    assert NUMBER not in str(refused.value)
    assert (snapshot(older), _rows(older)) == (schema, rows)


def test_of_a_file_whose_statements_are_not_kept_nothing_is_known() -> None:
    """Nor is a file another's because the Supabase CLI cut it into statements, nor the application's own ours."""
    shipped = {"20261125000100": "select 1;\n\nselect 2;\n"}
    assert not applied_in_another_form({"20261125000100": ("", "")}, shipped)
    assert not applied_in_another_form({"20261125000100": ("a", "select 1;\nselect 2")}, shipped)
    assert not applied_in_another_form({"20260101000000": ("mine", "select 3")}, shipped)
    assert applied_in_another_form({"20261125000100": ("a", "select 1;\nselect 3")}, shipped)
