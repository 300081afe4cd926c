"""The next migration is written from what changed in supabase/schemas, and brings every database there."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.adapters.migrations.schemas import SchemaFile, schema_files
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, Snapshot, lacking, snapshot
from tests.integration.invented import changed_files, edited, following
from tests.next_migration import BY_HAND, next_migration, recorded, titles
from tests.record_schema import path, why_codes

AT = "20261201000000"
_ALWAYS = (
    "all locks at once, in the order in which a claim takes them",
    "schemas/rights/backend.sql",
    "PostgREST learns of the change at once",
)
"""The rights say how each function is planned, too: what `create or replace` forgets."""


def _titles(files: list[SchemaFile]) -> list[str]:
    return [title for title in titles(following(files).text) if title not in _ALWAYS]


@pytest.fixture
def invented_schema(new_database: Callable[[], Database]) -> Snapshot:
    """The schema of a database made from the changed files alone."""
    database = new_database()
    for file in changed_files():
        database.run(file.text)
    return snapshot(database)


def test_the_next_migration_brings_a_database_to_the_changed_files_and_may_be_applied_twice(
    empty: Database, original: Database, invented_schema: Snapshot, fresh_schema: Snapshot
) -> None:
    """A new one, and one that was adopted. `--again` brings back what was dropped, and nothing that was replaced."""
    every = [*migrations(), following(changed_files())]
    migrate(original.url)
    assert lacking(snapshot(original), invented_schema, fresh_schema)
    assert migrate(original.url, shipped=every) == every[-1:]
    for _ in range(2):
        assert lacking(snapshot(original), invented_schema, fresh_schema) == set()
        with original.connection.transaction():
            original.run(every[-1].text)
    assert migrate(empty.url, shipped=every) == every
    assert snapshot(empty) == invented_schema
    empty.run("drop function end_sms_retry; drop function smsretry.note_served; drop index sms_retry_queue_work")
    assert migrate(empty.url, again=True, shipped=every, schema=changed_files()) == []
    assert snapshot(empty) == invented_schema


def _made(name: str, text: str, *, folder: str = "helpers") -> SchemaFile:
    return SchemaFile(f"{folder}/{name}.sql", text)


_HELPER = """create or replace function smsretry.halved(n {type})
returns numeric language sql immutable set search_path = pg_catalog, pg_temp as $$ select n / 2 $$;
"""
_VIEW = """create or replace view smsretry.halves with (security_invoker = true) as
select q.id, smsretry.{function} as half from public.sms_retry_queue q;
"""
_ANSWER = """create or replace function smsretry.halves_of(id uuid)
returns setof smsretry.halves language sql stable set search_path = pg_catalog, pg_temp as $$
    select * from smsretry.halves h where h.id = halves_of.id $$;
"""
_TRIGGER = """create or replace function smsretry.{name}()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$ begin return new; end $$;
"""
_ON = """drop trigger if exists smsretry_noticed on public.send_logs;
create trigger smsretry_noticed before update on public.send_logs for each row execute function smsretry.{name}();
"""
_RESTING = [
    _made("halved", _HELPER.format(type="integer")),
    _made("noticed", _TRIGGER.format(name="noticed")),
    _made("halves", _VIEW.format(function="halved(q.attempt_count)"), folder="views"),
    _made("halves_of", _ANSWER),
    _made("on_send_logs", _ON.format(name="noticed"), folder="triggers"),
]
"""A view that rests on a function, a function that rests on the view, a trigger that rests on a function."""
_CHANGES = {
    "one after the other": {"halved": "", "halves": _VIEW.format(function="retry_delay(q.attempt_count)")},
    "all at once": {
        "halved": _HELPER.format(type="numeric"), "halves": "", "halves_of": "", "noticed": "",
        "on_send_logs": _ON.format(name="seen"),
    },
}  # fmt: skip


@pytest.mark.parametrize("what", _CHANGES)
def test_what_rests_on_something_is_dropped_before_it_and_made_after_it(empty: Database, what: str) -> None:
    """PostgreSQL drops nothing on which something rests. What is gone waits until nothing rests on it any more."""
    change, seen = _CHANGES[what], _made("seen", _TRIGGER.format(name="seen"))
    with_them = [*schema_files(), *_RESTING]
    first = following(with_them)
    changed = [replace(file, text=change.get(file.name, file.text)) for file in _RESTING]
    later = [*schema_files(), seen, *(file for file in changed if file.text)]
    second = next_migration("second", [*migrations(), first], later, at=AT)
    assert second
    every = [*migrations(), first, second]
    assert migrate(empty.url, shipped=every) == every
    for file in later:
        kind = {"function": "to_regproc", "view": "to_regclass"}.get(file.kind)
        assert kind is None or empty.one(f"select {kind}('{file.creates}') is not null as there")["there"]
    left = empty.rows(
        """select proname as name from pg_proc where proname in ('halved', 'halves_of', 'noticed')
           union all select relname from pg_class where relname = 'halves'"""
    )
    assert {row["name"] for row in left} == {file.name for file in changed if file.text} - {"on_send_logs"}


def test_a_new_code_is_a_line_of_the_vocabulary_and_a_migration_of_one_list(empty: Database) -> None:
    """`python -m tests.record_schema` writes the list. Rows that were there are not looked at."""
    domain = path("supabase", "schemas", "policy", "why_code.sql").read_text(encoding="utf-8")
    assert why_codes(domain) == domain, "run: python -m tests.record_schema"
    one_more = edited(schema_files(), {"why_code": ("'unforeseen'", "'unforeseen', 'of_tomorrow'")})
    assert _titles(one_more) == ["schemas/policy/why_code.sql"]
    migrate(empty.url)
    with pytest.raises(psycopg.errors.CheckViolation):
        empty.rows("select 'of_tomorrow'::smsretry.why_code")
    migrate(empty.url, shipped=[*migrations(), following(one_more)])
    assert empty.one("select 'of_tomorrow'::smsretry.why_code as why_code") == {"why_code": "of_tomorrow"}


def test_what_changes_otherwise_than_by_adding_is_written_by_a_person(empty: Database, fresh_schema: Snapshot) -> None:
    """`create … if not exists` would change nothing, and nobody would notice. Nothing of such a file is kept."""
    for name, change in (
        ("sms_retry_queue", ("last_error text,", "last_error varchar,")),
        ("sms_retry_queue", ("(customer_id)", "(claim_no)")),
        ("customers", ("timezone text", "timezone text, name text")),
    ):
        made = following(edited(schema_files(), {name: change}))
        assert made.text.count(BY_HAND) == 1, name
    migrate(empty.url)
    with pytest.raises(MigrationError, match=r"public\.customers is not written yet"):
        migrate(empty.url, shipped=[*migrations(), made])
    assert snapshot(empty) == fresh_schema
    less = following([file for file in schema_files() if file.creates != "smsretry.imported_files"])
    assert f"{BY_HAND} smsretry.imported_files is gone" in less.text


def test_the_next_migration_holds_what_changed_and_nothing_else() -> None:
    """A function is dropped only if it must be, so that its callers never miss it, and an owner's grants stay."""
    for name, change, dropped in (
        ("fenced", ("for update", "for no key update"), []),
        ("check_sms_retries", ("max_minutes integer default null", "max_minutes integer default 7"), []),
        ("is_sent", ("function smsretry.is_sent(", "function smsretry.was_sent("), ["drop smsretry.is_sent"]),
    ):
        files = edited(schema_files(), {name: change})
        [made] = [file for file in files if file.name == name]
        told = _titles(files)
        assert [title for title in told if title.startswith("drop")][-1:] == dropped
        assert f"schemas/{made.path}" in told
        assert len(told) == 1 or dropped


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
    assert next_migration("moved", migrations(), elsewhere, at=AT) is None
    back = next_migration("back", [*every, Migration("20270101000000", "last", "")], schema_files(), at=AT)
    assert back is not None
    assert back.version == "20270101000001"
