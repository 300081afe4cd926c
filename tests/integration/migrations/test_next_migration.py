"""The next migration is written from what changed in supabase/schemas, and brings every database there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.adapters.migrations.next_migration import BY_HAND, changed, next_migration
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.sections import recorded, sections
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, Snapshot, same_schema, snapshot
from tests.integration.invented import changed_files, edited, following

AT = "20261201000000"
_RIGHTS = ("schemas/rights/internal_functions.sql", "schemas/rights/public_functions.sql")
"""They say how each function is planned, too: what `create or replace` forgets."""


@pytest.fixture
def invented_schema(new_database: Callable[[], Database]) -> Snapshot:
    """The schema of a database made from the changed files alone."""
    database = new_database()
    for file in changed_files():
        database.run(file.text)
    return snapshot(database)


@pytest.mark.parametrize("installation", ["empty", "original"])
def test_the_next_migration_brings_a_database_to_the_changed_files(
    installation: str, invented_schema: Snapshot, request: pytest.FixtureRequest
) -> None:
    """A new one, and one that was adopted; before it they differ from the files."""
    database: Database = request.getfixturevalue(installation)
    migrate(database.url)
    with pytest.raises(AssertionError):
        same_schema(snapshot(database), invented_schema)
    applied = migrate(database.url, shipped=[*migrations(), following(changed_files())])
    assert [migration.name for migration in applied] == ["invented"]
    same_schema(snapshot(database), invented_schema)


def test_a_new_database_takes_all_migrations_at_once(empty: Database, invented_schema: Snapshot) -> None:
    """As it does one by one."""
    migrate(empty.url, shipped=[*migrations(), following(changed_files())])
    assert snapshot(empty) == invented_schema


def test_the_next_migration_may_be_applied_twice(empty: Database, invented_schema: Snapshot) -> None:
    """Even when the history is lost."""
    migrate(empty.url)
    for _ in range(2):
        with empty.connection.transaction():
            empty.run(following(changed_files()).text)
    assert snapshot(empty) == invented_schema


def test_migrating_again_applies_no_function_or_view_that_a_later_migration_replaced(
    empty: Database, invented_schema: Snapshot
) -> None:
    """What they return cannot be changed back; everything that is missing is there again."""
    every = [*migrations(), following(changed_files())]
    migrate(empty.url, shipped=every)
    empty.run("drop function end_sms_retry; drop function smsretry.put_back; drop index sms_retry_queue_turns")
    assert migrate(empty.url, again=True, shipped=every) == every
    assert snapshot(empty) == invented_schema


def test_the_next_migration_fails_until_the_table_is_changed_by_hand(empty: Database, fresh_schema: Snapshot) -> None:
    """`create table if not exists` would change nothing, and nobody would notice. Nothing of the file is kept."""
    made = next_migration("invented", migrations(), changed_files(), at=AT)
    assert made is not None
    assert made.text.count(BY_HAND) == 1
    migrate(empty.url)
    with pytest.raises(MigrationError, match=r"public\.sms_retry_queue is not written yet"):
        migrate(empty.url, shipped=[*migrations(), made])
    assert snapshot(empty) == fresh_schema


def test_the_next_migration_holds_what_changed_and_nothing_else() -> None:
    """And what returns the changed view: a function cannot keep the old one."""
    named = [section.title for section in sections(following(changed_files()).text)]
    assert named == [
        "drop smsretry.take",
        "drop public.claim_due_sms_retries",
        "drop public.claim_sms_retry",
        "drop public.claim_suspect_sms_retry",
        "drop public.begin_sms_attempt",
        "drop public.defer_sms_retry",
        "drop public.claim_doubtful_sms_retries",
        "drop public.preview_sms_retries",
        "schemas/desk/set_sms_state_stop.sql is removed",
        "by hand: public.sms_retry_queue",
        "schemas/tables/sms_retry_queue.sql",
        "drop smsretry.claimed_retry",
        "schemas/views/claimed_retry.sql",
        "schemas/worker/admit_send.sql",
        "schemas/worker/begin_sms_attempt.sql",
        "schemas/worker/check_outcome.sql",
        "schemas/worker/claim_due_sms_retries.sql",
        "schemas/worker/claim_sms_retry.sql",
        "schemas/worker/claim_suspect_sms_retry.sql",
        "schemas/worker/defer_sms_retry.sql",
        "schemas/worker/end_sms_retry.sql",
        "schemas/worker/take.sql",
        "schemas/doubt/claim_doubtful_sms_retries.sql",
        "schemas/desk/preview_sms_retries.sql",
        "schemas/desk/sms_queue_length.sql",
        *_RIGHTS,
        "PostgREST learns of the change at once",
    ]


def test_a_changed_body_is_replaced_without_dropping_anything() -> None:
    """So that its callers never miss it."""
    files = edited(schema_files(), {"fenced": ("for update", "for no key update")})
    made = following(files)
    assert [section.title for section in sections(made.text)][:-1] == ["schemas/worker/fenced.sql", *_RIGHTS]
    assert "drop " not in made.text


def test_a_function_whose_default_changed_keeps_its_grants() -> None:
    """An owner may let a monitor's role call `check_sms_retries`. Dropping a function drops its grants."""
    files = edited(
        schema_files(), {"check_sms_retries": ("max_minutes integer default null", "max_minutes integer default 7")}
    )
    made = following(files)
    assert [section.title for section in sections(made.text)][:-1] == ["schemas/checks/check_sms_retries.sql", *_RIGHTS]


def test_a_public_function_that_is_created_anew_keeps_the_roles_of_the_owners_own_that_may_call_it(
    empty: Database,
) -> None:
    """And gives nobody back whom it must refuse."""
    signature = "max_minutes integer default null"
    files = edited(schema_files(), {"check_sms_retries": (signature, f"{signature}, more text default null")})
    migrate(empty.url)
    empty.run(
        """create role "Uptime, monitor"; create role stranger;
           grant execute on function check_sms_retries to "Uptime, monitor", anon, public"""
    )
    try:
        migrate(empty.url, shipped=[*migrations(), following(files)])
        may = [
            row["rolname"]
            for row in empty.rows(
                """select r.rolname from pg_roles r join pg_proc p on p.proname = 'check_sms_retries'
                   where r.rolname in ('Uptime, monitor', 'stranger', 'anon', 'service_role')
                     and has_function_privilege(r.oid, p.oid, 'execute') order by 1"""
            )
        ]
    finally:
        empty.run('drop owned by "Uptime, monitor"; drop role "Uptime, monitor"; drop role stranger')
    assert may == ["Uptime, monitor", "service_role"]


def test_once_it_is_recorded_a_change_is_not_written_again() -> None:
    """A section's recorded text is its latest one."""
    every = [*migrations(), following(changed_files())]
    texts = {name: file.text for name, file in recorded(migration.text for migration in every).items()}
    assert texts == {file.name: file.text for file in changed_files()}
    assert next_migration("more", every, changed_files(), at=AT) is None
    assert next_migration("back", every, schema_files(), at=AT) is not None


def test_a_file_in_another_folder_has_not_changed() -> None:
    """Where a reader finds it is nothing of the database's."""
    files = [replace(file, path=f"elsewhere/{file.name}.sql") for file in schema_files()]
    assert changed(migrations(), files) == changed(migrations(), schema_files()) == []


def test_a_function_with_another_name_is_dropped_under_the_old_one() -> None:
    """In the same file."""
    files = edited(schema_files(), {"is_sent": ("function smsretry.is_sent(", "function smsretry.was_sent(")})
    named = [section.title for section in sections(following(files).text)]
    assert named[:2] == ["drop smsretry.is_sent", "schemas/helpers/is_sent.sql"]


def test_a_removed_table_is_left_to_a_person() -> None:
    """Its rows are somebody's."""
    without = [file for file in schema_files() if file.creates != "smsretry.circuit"]
    made = next_migration("less", migrations(), without, at=AT)
    assert made is not None
    assert f"{BY_HAND} smsretry.circuit is gone" in made.text
    assert "drop table" not in made.text


def test_versions_rise() -> None:
    """Also on a machine whose clock is behind the last migration's."""
    last = Migration("20270101000000", "last", "")
    made = next_migration("next", [*migrations(), last], changed_files(), at=AT)
    assert made is not None
    assert made.version == "20270101000001"
    assert sorted(migrations(), key=lambda migration: int(migration.version)) == migrations()


def test_the_command_writes_the_file_and_says_what_to_do(tmp_path: Path) -> None:
    """In a copy of the package: a body is edited, the command run twice."""
    shutil.copytree(str(files("smsretry")), tmp_path / "smsretry", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "smsretry" / "supabase"

    def run(name: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "smsretry.adapters.migrations.next_migration", name]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return ended.returncode, ended.stdout + ended.stderr

    assert run("nothing") == (0, "Nothing to do: the migrations record every file of supabase/schemas as it is.\n")
    assert run("No name")[0] == 2
    fence = folder / "schemas" / "worker" / "fenced.sql"
    fence.write_text(fence.read_text().replace("for update", "for no key update"))
    code, said = run("gentler_fence")
    assert code == 0
    [written] = folder.joinpath("migrations").glob("*_gentler_fence.sql")
    assert f"Wrote {written}." in said
    assert "test_migrations.py" in said
    assert "for no key update" in written.read_text()
    assert run("again")[1].startswith("Nothing to do")
