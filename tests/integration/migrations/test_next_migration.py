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
from smsretry.adapters.migrations.schemas import SchemaFile, schema_files
from smsretry.adapters.migrations.sections import recorded, sections
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, Snapshot, lacking, snapshot
from tests.integration.invented import changed_files, edited, following

AT = "20261201000000"
_RIGHTS = ("schemas/rights/internal_functions.sql", "schemas/rights/public_functions.sql")
"""They say how each function is planned, too: what `create or replace` forgets."""
_RELOAD = "PostgREST learns of the change at once"


def _titles(files: list[SchemaFile]) -> list[str]:
    return [section.title for section in sections(following(files).text)]


@pytest.fixture
def invented_schema(new_database: Callable[[], Database]) -> Snapshot:
    """The schema of a database made from the changed files alone."""
    database = new_database()
    for file in changed_files():
        database.run(file.text)
    return snapshot(database)


@pytest.mark.parametrize("installation", ["empty", "original"])
def test_the_next_migration_brings_a_database_to_the_changed_files_and_may_be_applied_twice(
    installation: str, invented_schema: Snapshot, fresh_schema: Snapshot, request: pytest.FixtureRequest
) -> None:
    """A new one, and one that was adopted; before it they differ from the files."""
    database: Database = request.getfixturevalue(installation)
    every = [*migrations(), following(changed_files())]
    migrate(database.url)
    assert lacking(snapshot(database), invented_schema, fresh_schema)
    assert migrate(database.url, shipped=every) == every[-1:]
    for _ in range(2):
        found = snapshot(database)
        assert lacking(found, invented_schema, fresh_schema) == set()
        assert installation == "original" or found == invented_schema
        with database.connection.transaction():
            database.run(every[-1].text)


def test_a_new_database_takes_all_at_once_and_again_brings_back_what_was_dropped(
    empty: Database, invented_schema: Snapshot
) -> None:
    """Nothing of what an earlier file made and a later one replaced comes back."""
    every = [*migrations(), following(changed_files())]
    assert migrate(empty.url, shipped=every) == every
    empty.run("drop function end_sms_retry; drop function smsretry.put_back; drop index sms_retry_queue_turns")
    assert migrate(empty.url, again=True, shipped=every, schema=changed_files()) == []
    assert snapshot(empty) == invented_schema


def test_what_changes_otherwise_than_by_adding_is_written_by_a_person(empty: Database, fresh_schema: Snapshot) -> None:
    """`create … if not exists` would change nothing, and nobody would notice. Nothing of such a file is kept."""
    for name, change in (
        ("sms_retry_queue", ("last_error text,", "last_error varchar,")),
        ("sms_retry_queue", ("create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer",
                             "create index if not exists sms_retry_queue_customer on public.sms_retry_queue (claim")),
        ("turns", ("'doubtful', ", "")),
        ("customers", ("timezone text", "timezone text, name text")),
    ):  # fmt: skip
        made = following(edited(schema_files(), {name: change}))
        assert made.text.count(BY_HAND) == 1, name
    migrate(empty.url)
    with pytest.raises(MigrationError, match=r"public\.customers is not written yet"):
        migrate(empty.url, shipped=[*migrations(), made])
    assert snapshot(empty) == fresh_schema
    less = following([file for file in schema_files() if file.creates != "smsretry.circuit"])
    assert f"{BY_HAND} smsretry.circuit is gone" in less.text


def test_the_next_migration_holds_what_changed_and_nothing_else() -> None:
    """And what returns the changed view: a function cannot keep the old one."""
    assert _titles(changed_files()) == [
        "drop public.begin_sms_attempt",
        "drop public.claim_due_sms_retries",
        "drop public.claim_sms_retry",
        "drop public.claim_suspect_sms_retry",
        "drop public.defer_sms_retry",
        "drop smsretry.take",
        "drop public.claim_doubtful_sms_retries",
        "drop public.preview_sms_retries",
        "schemas/desk/set_sms_state_stop.sql is removed",
        "what an existing public.sms_retry_queue lacks",
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
        _RELOAD,
    ]


@pytest.mark.parametrize(
    ("name", "change", "titles"),
    [
        ("fenced", ("for update", "for no key update"), ["schemas/worker/fenced.sql"]),
        (
            "check_sms_retries",
            ("max_minutes integer default null", "max_minutes integer default 7"),
            ["schemas/checks/check_sms_retries.sql"],
        ),
        (
            "is_sent",
            ("function smsretry.is_sent(", "function smsretry.was_sent("),
            ["drop smsretry.is_sent", "schemas/helpers/is_sent.sql"],
        ),
    ],
    ids=["another body", "another default", "another name"],
)
def test_a_function_is_dropped_only_if_it_must_be(name: str, change: tuple[str, str], titles: list[str]) -> None:
    """So that its callers never miss it, and an owner's grants stay."""
    assert _titles(edited(schema_files(), {name: change})) == [*titles, *_RIGHTS, _RELOAD]


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
        may = empty.rows(
            """select r.rolname from pg_roles r join pg_proc p on p.proname = 'check_sms_retries'
               where r.rolname in ('Uptime, monitor', 'stranger', 'anon', 'service_role')
                 and has_function_privilege(r.oid, p.oid, 'execute') order by 1"""
        )
    finally:
        empty.run('drop owned by "Uptime, monitor"; drop role "Uptime, monitor"; drop role stranger')
    assert [row["rolname"] for row in may] == ["Uptime, monitor", "service_role"]


def test_what_is_recorded_is_not_written_again_and_versions_rise() -> None:
    """A section's recorded text is its latest one; where a reader finds a file is nothing of the database's."""
    every = [*migrations(), following(changed_files())]
    texts = {name: file.text for name, file in recorded(migration.text for migration in every).items()}
    assert texts == {file.name: file.text for file in changed_files()}
    assert next_migration("more", every, changed_files(), at=AT) is None
    elsewhere = [replace(file, path=f"elsewhere/{file.name}.sql") for file in schema_files()]
    assert changed(migrations(), elsewhere) == []
    back = next_migration("back", [*every, Migration("20270101000000", "last", "")], schema_files(), at=AT)
    assert back is not None
    assert back.version == "20270101000001"


def test_the_command_writes_the_file_and_says_what_to_do(tmp_path: Path) -> None:
    """In a copy of the package: a body is edited, the command run twice, and then the whole cannot be written anew."""
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
    assert run("No name")[0] == 1
    fence = folder / "schemas" / "worker" / "fenced.sql"
    fence.write_text(fence.read_text().replace("for update", "for no key update"))
    code, said = run("gentler_fence")
    assert code == 0
    [written] = folder.joinpath("migrations").glob("*_gentler_fence.sql")
    assert f"Wrote {written}." in said
    assert "for no key update" in written.read_text()
    assert run("again")[1].startswith("Nothing to do")
    assert (run("--whole")[0], "The schema was released" in run("--whole")[1]) == (1, True)
