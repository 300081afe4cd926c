"""The next migration brings every database to the changed files of supabase/schemas."""

from collections.abc import Callable

import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.migrations.schemas import schema_files
from tests.integration.catalog import Database, Snapshot, lacking, snapshot
from tests.integration.invented import changed_files, edited, following
from tests.record_schema import next_migration, path, why_codes


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


def test_the_next_migration_is_begun_with_what_changed_since_the_last_record_of_it() -> None:
    """And with who may call it, and how a function is planned: what `create or replace` forgets."""
    [backend] = [file for file in schema_files() if file.name == "backend"]
    assert why_codes(text := path("supabase", "schemas", "policy", "why_code.sql").read_text()) == text
    changed = edited(schema_files(), {"why_code": ("'unforeseen'", "'unforeseen', 'of_tomorrow'")})
    [words] = [file for file in changed if file.name == "why_code"]
    first = next_migration("first", migrations(), changed, at="20261201000000")
    back = next_migration("back", [*migrations(), first], schema_files(), at="20261202000000")
    for made in (first, back):
        assert made.text.count("-- ======== schemas/") == 2
        assert backend.section in made.text
    assert words.section in first.text
    assert "of_tomorrow" not in back.text
