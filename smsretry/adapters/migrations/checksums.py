"""Is everything as this version defines it? Each object has one checksum, which `smsretry.checksums()` tells.

`checksums.tsv` has what they are here, an object a line: `python -m tests.record_schema` writes it, and a test keeps it
true. What the application made, also in the tables that it shares, is not in it and is not judged.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from psycopg import sql
from pydantic import BaseModel

from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.schemas import query_of
from smsretry.adapters.migrations.shapes import Misfit
from smsretry.retry.models import Finding

_AGAIN: Final = "run `smsretry migrate`, with --again if it was applied before"
_FOREIGN: Final = re.compile(r"foreign function (public\.(\w+)\(.*)")
_PART: Final = re.compile(r"(?P<kind>constraint|index|trigger|policy) (?P<name>.+) on (?P<table>[\w.]+)")
_TOLD: Final = 12
"""More lines are summed up: the database is another version's."""
_PRINTED: Final = """
set local search_path = pg_catalog, pg_temp; set local timezone = 'UTC'; set local datestyle = 'ISO';
set local intervalstyle = 'postgres'; set local quote_all_identifiers = off
"""
"""As the function sets it for itself."""
Checksums = Mapping[str, str]
"""By object, such as `index steps_retry on smsretry.steps`."""


class Checksum(BaseModel):
    """A row of `smsretry.checksums()`."""

    object: str
    md5: str


@cache
def recorded() -> Checksums:
    """All that smsretry defines, as this version has it."""
    text = files("smsretry").joinpath("adapters", "migrations", "checksums.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())


def read_checksums(connection: Connection) -> Checksums:
    """What the database has now, also if nothing of smsretry's is there."""
    with connection.transaction(force_rollback=True):
        connection.execute(_PRINTED)
        return dict(connection.execute(query_of("smsretry.checksums")).fetchall())


def findings(found: Checksums) -> Iterator[Finding]:
    """Each object that is missing or otherwise, with what restores it; or that all are there."""
    wrong = [Finding(subject=one, ok=False, advice=_advice(one, found)) for one in recorded() if _is_wrong(one, found)]
    yield from wrong[:_TOLD]
    if more := len(wrong) - _TOLD if len(wrong) > _TOLD else 0:
        advice = f"are missing or otherwise, too: {_AGAIN}"
        yield Finding(subject=f"{more} of {len(recorded())} functions, tables and the like", ok=False, advice=advice)
    for misfit in clashes(found, adopts=False):
        yield Finding(subject=misfit.where, ok=False, advice=misfit.what)
    if not wrong:
        yield Finding(subject=f"functions, tables and the like ({len(recorded())})", ok=True)


def _is_wrong(one: str, found: Checksums) -> bool:
    return found.get(one) != recorded()[one]


def _advice(one: str, found: Checksums) -> str:
    if one not in found:
        return f"is missing: {_AGAIN}"
    differs, part = "differs from this version", _PART.fullmatch(one)
    if part and part["kind"] == "constraint":
        drop = f"alter table {part['table']} drop constraint {part['name']}"
        return f"{differs}. Run: {drop}; then `smsretry migrate --again`"
    if part and part["kind"] == "index":
        schema = part["table"].partition(".")[0]
        return f"{differs}. Run: drop index {schema}.{part['name']}; then `smsretry migrate --again`"
    if one.startswith(("table", "column")):
        changed = (
            "If it still differs, a column was changed: change it back to what smsretry/supabase/schemas/tables says"
        )
        return f"{differs}: {_AGAIN}. {changed}"
    return f"{differs}: {_AGAIN}"


def clashes(found: Checksums, *, adopts: bool) -> Iterator[Misfit]:
    """What of the application's has a name of ours, and the statement that renames it.

    Args:
        adopts: nothing of smsretry's is there yet. Later, what is otherwise than here is ours, and somebody changed it.
    """
    ours = {one.partition("(")[0] for one in recorded()}
    for one, md5 in sorted(found.items()):
        foreign, part = _FOREIGN.fullmatch(one), _PART.fullmatch(one)
        is_another = adopts and recorded().get(one, md5) != md5
        if foreign and f"function public.{foreign[2]}" in ours:
            yield _clash(f"function {foreign[1]}", f"routine {foreign[1]}", foreign[2])
        elif is_another and one.startswith("column"):
            table, _, name = one.removeprefix("column ").rpartition(".")
            yield _clash(one, f"table {table}", name, part=f"column {name} ")
        elif is_another and part:
            kind, name, table = part["kind"], part["name"], part["table"]
            constraint = kind == "constraint"
            altered = f"index public.{name}" if kind == "index" else f"{kind} {name} on {table}"
            yield _clash(
                one, f"table {table}" if constraint else altered, name, part=f"constraint {name} " * constraint
            )


def _clash(where: str, altered: str, name: str, *, part: str = "") -> Misfit:
    new = sql.Identifier(f"{name.strip(chr(34))} (own)").as_string() if name.startswith('"') else f"app_{name}"
    return Misfit(where, f"has a name of smsretry's, and is another: alter {altered} rename {part}to {new}")
