"""What of the application's a migration takes or changes, told by the catalog and by no list kept by hand.

The catalog of the shared tables is read before and after, in the migration's own transaction. What was there before and
is gone or different is announced. Policies are not here: see policies.py.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Final, NamedTuple

import psycopg

from smsretry.adapters.migrations.catalog import fresh_catalog, public_functions
from smsretry.adapters.migrations.connecting import Connection
from smsretry.adapters.migrations.locks import TABLES
from smsretry.adapters.migrations.wanted_shapes import COLUMNS
from smsretry.errors import MigrationError

_REPLACED: Final = ("claim_due_sms_retries", "recover_stuck_sms_retries", "queue_sms_retry")
"""The calls of an older installation, whose place ours take. Any other function of a name of ours is in the way."""
# Ours are known by their search_path, as the migration that adopts an installation knows them.
_FUNCTIONS: Final = """
select 'function', 'public', p.oid::regprocedure::text, md5(pg_catalog.pg_get_functiondef(p.oid))
from pg_catalog.pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p') and p.proname = any ($1)
  and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
"""
_INSTALLED: Final = """
select to_regclass('smsretry.suppressions') is not null or exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass('public.sms_retry_queue') and a.attname = 'claim_no' and not a.attisdropped)
"""
_DUPLICATES: Final = """
select count(*) - count(distinct q.send_log_id) from public.sms_retry_queue q
where q.status in ('pending', 'processing') and q.send_log_id is not null
"""


class Thing(NamedTuple):
    """What can be lost. A grantee's privileges are things of one name."""

    kind: str
    relation: str
    name: str


Belongings = Mapping[Thing, frozenset[str]]
"""How each of them is."""


def read_belongings(connection: Connection) -> Belongings:
    """All of it in the shared tables, and the functions that have a name of ours and are not ours."""
    found = defaultdict[Thing, set[str]](set)
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path = ''")  # so that names come with their schema
        of_tables = files(__package__).joinpath("belongings.sql").read_bytes()
        with psycopg.RawCursor(connection) as cursor:
            for query, names in ((of_tables, list(TABLES)), (_FUNCTIONS.encode(), public_functions())):
                for kind, relation, name, said in cursor.execute(query, [names]):
                    found[Thing(kind, relation, name)].add(said)
    return {thing: frozenset(said) for thing, said in found.items()}


def is_installed(connection: Connection) -> bool:
    """Whether there is an installation of smsretry's, or what is left of one: what has its names is its own then."""
    return connection.execute(_INSTALLED).fetchone() == (True,)


def count_duplicates(connection: Connection) -> int:
    """How many live rows of the queue are for a text that has another one. Adoption cancels them."""
    if connection.execute("select to_regclass('public.sms_retry_queue')").fetchone() == (None,):
        return 0
    [(duplicates,)] = connection.execute(_DUPLICATES).fetchall()
    return int(duplicates)


def refuse_clashes(before: Belongings, *, adopts: bool) -> None:
    """Refuse to replace a function of the application's that only happens to have a name of ours.

    Args:
        adopts: whether this database has nothing of smsretry's yet. Later, what has our parameters, too, is ours, and
            somebody changed its settings.

    Raises:
        MigrationError: names each, and the statement that renames it.
    """
    ours = set() if adopts else {one.said("signature") for one in fresh_catalog() if one.kind == "function"}
    names = sorted(thing.name for thing in before if thing.kind == "function" and thing.name not in ours)
    clashes = [name for name in names if _bare(name) not in _REPLACED]
    if clashes:
        raise MigrationError(
            "Functions of the application's have names that smsretry's own functions need:\n"
            + "".join(f"  alter function {name} rename to app_{_bare(name)};\n" for name in clashes)
            + "Rename them, and what calls them; then run `smsretry migrate` again. Nothing was changed."
        )


def _bare(function: str) -> str:
    return function.partition("(")[0].removeprefix("public.")


def changes(before: Belongings, after: Belongings, *, ours: Sequence[str]) -> Iterator[str]:
    """A sentence about each thing of the application's that is gone or different.

    Args:
        ours: SQL of smsretry's that was applied before. What it names is smsretry's own, but for the original columns.
    """
    named = set(re.findall(r"\w+", "\n".join(ours)))
    for thing, was in sorted(before.items()):
        now = after.get(thing, frozenset())
        if was - now and not _is_ours(thing, named):
            yield _said(thing, was, now)


def _is_ours(thing: Thing, named: set[str]) -> bool:
    if thing.kind in ("column", "comment"):
        return thing.name in named and thing.name not in COLUMNS.get(thing.relation, ())
    return thing.kind in ("constraint", "index", "trigger") and thing.name in named


def _said(thing: Thing, was: frozenset[str], now: frozenset[str]) -> str:
    kind, relation, name = thing
    old, new = ", ".join(sorted(was - now)), ", ".join(sorted(now - was))
    match kind:
        case "grant":
            keeps = "INSERT" in was - now and any(one.startswith("INSERT (") for one in now)
            return f"{name} loses on {relation}: {old}" + (". It still inserts rows, in the original columns" * keeps)
        case "function":
            return f"function {name} is replaced by smsretry's, which service_role alone may call"
        case "table":
            return f"{name} of {relation}, from {old} to {new or 'what it is by default'}"
        case "comment":
            return f"the comment on {name} of {relation} is {'replaced' if now else 'dropped'}: {old}"
    if not new:
        return f"{kind} {name} of {relation} is dropped: {old}"
    return f"{kind} {name} of {relation}, from {old} to {new}"
