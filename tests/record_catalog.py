"""Write smsretry/adapters/migrations/catalog.json, the catalog of a fresh installation. After each change of schemas/:

python -m tests.record_catalog
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg

from smsretry.adapters.migrations.catalog import OF_OTHERS, Entry
from smsretry.adapters.migrations.migrate import migrate
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.wanted_shapes import COLUMNS, LABEL, READ
from smsretry.local.postgres.server import EmbeddedPostgres

NAMES: Final = [file.creates.removeprefix("public.") for file in schema_files() if file.creates.startswith("public.")]
_NO_MORE_THAN_IS_GRANTED: Final = """
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role
"""
_LEAST: Final = """
alter table public.businesses add column name text;
alter table public.sms_retry_queue alter column id set default gen_random_uuid()
"""
"""What the tables need besides."""
_BARE: Final = {READ: "text", LABEL: "text"}
_Connection = psycopg.Connection[Any]


def recorded(postgres: EmbeddedPostgres) -> list[Entry]:
    """What a fresh installation has and an application's, however bare its own tables were, has alike after it.

    A foreign key of the queue is only in a table that smsretry makes itself.
    """
    with closing(_database(postgres, "catalog_fresh")) as fresh, closing(_database(postgres, "catalog_bare")) as bare:
        for table, columns in COLUMNS.items():
            written = ", ".join(f"{name} {_BARE.get(type_, type_)}" for name, type_ in columns.items())
            bare.execute(f"create table public.{table} ({written}, primary key (id))".encode())
        bare.execute(_LEAST)
        migrate(postgres.url("catalog_fresh"))
        before_migration = _bare_columns(bare)
        migrate(postgres.url("catalog_bare"))
        shared = [Entry(kind="table", part_of="public", name=table.removeprefix("public.")) for table in OF_OTHERS]
        adopted = {entry.model_dump_json() for entry in described(bare)}
        ours = [
            entry
            for entry in described(fresh)
            if (entry.model_dump_json() in adopted and entry.model_dump_json() not in before_migration)
            or (entry.kind == "constraint" and entry.part_of not in OF_OTHERS and "FOREIGN" in entry.said("definition"))
        ]
        return [*shared, *ours]


def described(connection: _Connection) -> list[Entry]:
    """What the database says of itself, in a fixed order."""
    [[found]] = connection.execute("select examine_sms_retries('catalog', %s)", [NAMES]).fetchall()
    return sorted((Entry.model_validate(row) for row in found), key=lambda entry: (entry.key, entry.said("signature")))


def lines(entries: Sequence[Entry]) -> str:
    """The list as it is shipped, an object a line."""
    rows = (json.dumps([*entry.key, entry.facts], ensure_ascii=False, sort_keys=True) for entry in entries)
    return "[\n" + ",\n".join(rows) + "\n]\n"


def path() -> Path:
    """Where it stands."""
    return Path(str(files("smsretry").joinpath("adapters", "migrations", "catalog.json")))


def _bare_columns(connection: _Connection) -> set[str]:
    """What the application's tables had before, as it is described afterwards: the same functions, in a transaction."""
    with connection.transaction(force_rollback=True):
        for file in schema_files():
            if file.path.startswith("schema/") or file.name in (
                "our_relations",
                "catalog_of_tables",
                "catalog_of_parts",
            ):
                connection.execute(file.text.encode())
        rows = connection.execute(
            """select to_jsonb(t) from smsretry.catalog_of_tables() t
               union all select to_jsonb(p) from smsretry.catalog_of_parts() p"""
        ).fetchall()
    return {Entry.model_validate(row).model_dump_json() for [row] in rows}


def _database(postgres: EmbeddedPostgres, name: str) -> _Connection:
    postgres.create_database(name)
    connection = psycopg.connect(postgres.url(name), autocommit=True)
    connection.execute(files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes())
    connection.execute(_NO_MORE_THAN_IS_GRANTED)
    return connection


def main() -> int:
    """Write the list. Returns the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL runs as somebody else where this is root
        with EmbeddedPostgres(home / "postgres") as postgres:
            path().write_text(lines(recorded(postgres)), encoding="utf-8")
        postgres.remove()
    sys.stdout.write(f"Wrote {path()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
