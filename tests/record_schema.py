"""Write what is generated from smsretry/supabase/schemas and smsretry/vocabulary.py. After each change there:

    python -m tests.record_schema

As long as nothing is released, it writes anew the migration that makes the whole schema. From then on it begins the
next one, by the name that it is given, with each file that changed; a person adds what cannot be replaced. It also
writes the words of schemas/policy/why_code.sql and why_codes_of.sql, the minutes of retry_delay.sql, and the checksums
by which `smsretry doctor` knows what differs (smsretry/adapters/migrations/checksums.tsv).
"""

import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import psycopg

from smsretry.adapters.migrations.checksums import Checksums, read_checksums
from smsretry.adapters.migrations.fitting import COLUMNS, LABEL, READ
from smsretry.adapters.migrations.migrate import Migration, migrations
from smsretry.adapters.migrations.schemas import (
    SchemaFile,
    migration_text,
    schema_files,
    schema_text,
)
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.retry.backoff import RETRY_DELAYS
from smsretry.vocabulary import WHY_CODES_OF, WhyCode

RECORDED = ("adapters", "migrations", "checksums.tsv")
REMOVAL = ("supabase", "remove.sql")
_SCHEMA = ("20261128000100", "schema")
"""Version and name of the migration that makes the whole schema."""
_ADOPTION = "20261128000200"
"""Version of the last one before a release."""
_BY_HAND = """\
-- Write here, so that it may run twice, what the files below do not change where they exist already: `alter table`, and
-- `drop … if exists` of views, of functions with other parameters or another answer, and of what is gone.
"""
_LEAST = (
    "alter table public.sms_retry_queue alter column id set default gen_random_uuid()"
)
"""What an application's bare tables need besides."""
_Connection = psycopg.Connection[Any]


def why_codes(text: str) -> str:
    """The text of the domain's file with the words of the vocabulary."""
    words = ", ".join(f"'{word}'" for word in get_args(WhyCode))
    broken = re.sub(r"(.{1,110})(?: |$)", r"    \1\n", words)
    return re.sub(
        r"(?<=\(value in \(\n).*?(?=\)\) not valid)", broken.rstrip(), text, flags=re.S
    )


def why_codes_of(text: str) -> str:
    """The text of the function's file with the kinds of the vocabulary."""
    rows = ",\n".join(
        f"            ('{kind}', '{word}')"
        for kind, words in WHY_CODES_OF.items()
        for word in words
    )
    return re.sub(
        r"(?<=        values\n).*?(?=    \) r)", f"{rows}\n", text, flags=re.S
    )


def retry_delay(text: str) -> str:
    """The text of the function's file with the minutes of the schedule."""
    minutes = ", ".join(str(delay // timedelta(minutes=1)) for delay in RETRY_DELAYS)
    return re.sub(r"array\[[0-9, ]+]", f"array[{minutes}]", text)


def recorded(postgres: EmbeddedPostgres) -> Checksums:
    """What a fresh installation has and an application's, however bare its own tables were, has alike after it."""
    with (
        closing(_database(postgres, "fresh_schema")) as fresh,
        closing(_database(postgres, "bare_schema")) as bare,
    ):
        for table, columns in COLUMNS.items():
            types = (
                (name, "text" if type_ in (READ, LABEL) else type_)
                for name, type_ in columns.items()
            )
            bare.execute(
                f"create table public.{table} ({', '.join(map(' '.join, types))}, primary key (id))".encode()
            )
        bare.execute(_LEAST)
        before = read_checksums(bare)
        for database in (fresh, bare):
            with database.transaction():
                database.execute(schema_text(schema_files()).encode())
        after = read_checksums(bare).items()
        return {
            file: md5
            for file, md5 in read_checksums(fresh).items()
            if (file, md5) in after - before.items()
        }


def lines(checksums: Checksums) -> str:
    """The list as it is shipped, an object a line."""
    return "".join(f"{file}\t{md5}\n" for file, md5 in sorted(checksums.items()))


def removal(text: str, objects: Checksums) -> str:
    """The text of the file that removes smsretry, with the list of what smsretry made in `public`."""
    schema = schema_text(schema_files())
    names = defaultdict[str, list[str]](list)
    for object_name in sorted(objects):
        kind, _, part = object_name.partition(" ")
        part, _, table = part.partition(" on public.")
        if kind == "function" and part.startswith("public."):
            name = part.removeprefix("public.").partition("(")[0]
            names["its functions"].append(name)
        elif table and (kind == "index" or f"constraint {part} check" in schema):
            names[table].append(part)
    rows = (f"    ('{table}', '{' '.join(parts)}')" for table, parts in names.items())
    listed = "insert into listed values\n" + ",\n".join(rows) + ";"
    shipped = ", ".join(f"('{m.version}', '{m.name}')" for m in migrations())
    history = (
        "delete from supabase_migrations.schema_migrations\n"
        f"where (version, name) in ({shipped});"
    )
    head, _, after_head = text.partition("record_schema`.\n")
    tail = after_head.partition("-- The end of the list.")[2]
    return f"{head}record_schema`.\n{listed}\n{history}\n-- The end of the list.{tail}"


def path(*parts: str) -> Path:
    """Where something of the package stands."""
    return Path(str(files("smsretry").joinpath(*parts)))


def _database(postgres: EmbeddedPostgres, name: str) -> _Connection:
    postgres.create_database(name)
    connection = psycopg.connect(postgres.url(name), autocommit=True)
    connection.execute(
        files("smsretry.local.postgres").joinpath("supabase_roles.sql").read_bytes()
    )
    return connection


def next_migration(
    name: str, migrations: Sequence[Migration], schema: Sequence[SchemaFile], *, at: str
) -> Migration:
    """The files that no migration records as they are now, and who may call them; above them, place for the rest."""
    recorded = "\n".join(migration.text for migration in migrations)

    def is_recorded(file: SchemaFile) -> bool:
        title = f"-- ======== schemas/{file.path} ========\n"
        return recorded[recorded.rfind(title) :].startswith(f"{title}{file.text}\n")

    changed = [
        file.section
        for file in schema
        if file.name == "backend" or not is_recorded(file)
    ]
    return Migration(at, name, migration_text([_BY_HAND, *changed]))


def _migration(name: str | None) -> Migration:
    if name:
        return next_migration(
            name,
            migrations(),
            schema_files(),
            at=time.strftime("%Y%m%d%H%M%S", time.gmtime()),
        )
    if any(migration.version > _ADOPTION for migration in migrations()):
        sys.exit(
            "The schema was released: databases have it. Write the next migration, by a name."
        )
    return Migration(*_SCHEMA, schema_text(schema_files()))


def main(name: str | None = None) -> None:
    """Write all of it, and say what is left to do. `name`: of the next migration."""
    if name and not re.fullmatch("[a-z0-9_]+", name):
        sys.exit(f"{name!r} is no name for a migration: use a-z, 0-9 and _")
    for written in (why_codes, why_codes_of, retry_delay):
        name_of_file = f"{written.__name__.removesuffix('s')}.sql"
        file = path("supabase", "schemas", "policy", name_of_file)
        file.write_text(written(file.read_text(encoding="utf-8")), encoding="utf-8")
    migration = _migration(name)
    file = path("supabase", "migrations", migration.file)
    file.write_text(migration.text, encoding="utf-8")
    sys.stdout.write(f"Wrote {file}.\n")
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL runs as somebody else where this is root
        with EmbeddedPostgres(home / "postgres") as postgres:
            checksums = recorded(postgres)
        path(*RECORDED).write_text(lines(checksums), encoding="utf-8")
        file = path(*REMOVAL)
        text = removal(file.read_text(encoding="utf-8"), checksums)
        file.write_text(text, encoding="utf-8")
        postgres.remove()


if __name__ == "__main__":
    main(*sys.argv[1:2])
