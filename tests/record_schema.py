"""Write what is generated from smsretry/supabase/schemas. After each change there, as long as nothing is released:

    python -m tests.record_schema

It writes the migration that makes the whole schema, and smsretry/adapters/migrations/checksums.tsv, which has what a
new installation has, by object.
"""

import sys
import tempfile
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg

from smsretry.adapters.migrations.checksums import Checksums, read_checksums
from smsretry.adapters.migrations.next_migration import main as write_migration
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.migrations.sections import whole
from smsretry.adapters.migrations.shapes import COLUMNS, LABEL, READ
from smsretry.local.postgres.server import EmbeddedPostgres

_LEAST: Final = """
alter table public.businesses add column name text;
alter table public.sms_retry_queue alter column id set default gen_random_uuid()
"""
"""What an application's bare tables need besides."""
_Connection = psycopg.Connection[Any]


def recorded(postgres: EmbeddedPostgres) -> Checksums:
    """What a fresh installation has and an application's, however bare its own tables were, has alike after it."""
    with closing(_database(postgres, "fresh_schema")) as fresh, closing(_database(postgres, "bare_schema")) as bare:
        for table, columns in COLUMNS.items():
            types = ((name, "text" if type_ in (READ, LABEL) else type_) for name, type_ in columns.items())
            bare.execute(f"create table public.{table} ({', '.join(map(' '.join, types))}, primary key (id))".encode())
        bare.execute(_LEAST)
        before = read_checksums(bare)
        for database in (fresh, bare):
            with database.transaction():
                database.execute(whole(schema_files()).encode())
        after = read_checksums(bare).items()
        return {one: md5 for one, md5 in read_checksums(fresh).items() if (one, md5) in after - before.items()}


def lines(checksums: Checksums) -> str:
    """The list as it is shipped, an object a line."""
    return "".join(f"{one}\t{md5}\n" for one, md5 in sorted(checksums.items()))


def path() -> Path:
    """Where it stands."""
    return Path(str(files("smsretry").joinpath("adapters", "migrations", "checksums.tsv")))


def _database(postgres: EmbeddedPostgres, name: str) -> _Connection:
    postgres.create_database(name)
    connection = psycopg.connect(postgres.url(name), autocommit=True)
    connection.execute(files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes())
    return connection


def main() -> int:
    """Write both. Returns the exit code."""
    if code := write_migration("--whole"):
        return code
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL runs as somebody else where this is root
        with EmbeddedPostgres(home / "postgres") as postgres:
            path().write_text(lines(recorded(postgres)), encoding="utf-8")
        postgres.remove()
    sys.stdout.write(f"Wrote {path()}.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
