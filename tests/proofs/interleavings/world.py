"""The database of the exploration: its clock stands still, its content can be read, and set back to what was read.

The functions are the real ones, called as PostgREST calls them, each in a transaction of its own. Only the clock is
replaced: it tells what the exploration has set.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

import psycopg

from smsretry.adapters.supabase.groups import Call
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.postgrest.functions import find_function
from smsretry.local.stack import Stack
from tests.proofs.interleavings.provider import SENDER
from tests.support.records import Record

Content: TypeAlias = tuple[str, ...]
"""What each table holds, as JSON, in one order."""

_FROZEN = """
create table smsretry_local.frozen (now timestamptz not null);
insert into smsretry_local.frozen values (%s);
grant select on smsretry_local.frozen to service_role;
create or replace function smsretry.clock() returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$ select now from smsretry_local.frozen $$;
"""
_TABLES = """
select n.nspname || '.' || c.relname,
       (select array_agg(quote_ident(a.attname) order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('public', 'smsretry')
  and n.nspname || '.' || c.relname not in ('smsretry.secret', 'smsretry.schema_files')
order by n.nspname, c.relname
"""
_HELD = "(select coalesce(json_agg(t order by t::text), '[]')::text from {} t)"
_FILL = """
insert into {table} ({columns}) overriding system value
select {columns} from json_populate_recordset(null::{table}, %s::json)
"""
_STORY = frozenset({"smsretry.events", "smsretry.runs", "smsretry.turns"})
"""What only tells, or says whose turn it is: it decides nothing about a single text, so that states need not differ.
Recovery alone asks the events whether a number changed during a claim."""
_TOLD = frozenset(
    {"updated_at", "last_attempted_at", "delivery_at", "run_id", "created_at"}
)
"""Columns of which the same holds, but for the queue's `created_at`: a text's life may count from it."""
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d(?::?\d\d)?|Z)"
)
_NAME = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|SM[0-9a-f]{32}"
)
_CLAIM_NO = re.compile(r'"(claim_no|reconciled_claim_no)":\s*(\d+)')
_SERIAL = re.compile(r'"id":\s*(\d+)')
"""Of rows that are numbered in their order, as what was said of a number is."""


class Refused(Exception):
    """A constraint or a rule of ours refuses a write or a call."""


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.DatabaseError as error:
        if (error.sqlstate or "")[:2] in ("23", "SR"):
            raise Refused(error.sqlstate) from error
        raise


class World:
    """A connection to a database that nobody else uses meanwhile."""

    def __init__(
        self, stack: Stack, connection: psycopg.Connection[Any], now: datetime
    ) -> None:
        self.connection = connection
        columns = dict(connection.execute(_TABLES).fetchall())
        self._tables = [*columns]
        self._query = "select " + ", ".join(map(_HELD.format, columns))
        self._fill = [
            _FILL.format(table=table, columns=", ".join(named))
            for table, named in columns.items()
        ]
        self._calls: dict[tuple[str, frozenset[str]], bytes] = {}
        self._now = now
        self.content: Content = ()
        of_provider = {
            "twilio_account_sid": SENDER.account,
            "twilio_from_number": SENDER.sent_by,
        }
        settings = stack.settings().model_copy(update=of_provider)
        self.queue = _Queue(settings, self)
        self.operators = _Operators(settings, self)

    def call(self, function: str, values: Mapping[str, object]) -> Any:
        """Call a function as the backend does, and return what its JSON says."""
        key = (function, frozenset(values))
        if key not in self._calls:
            function_there = find_function(self.connection, *key)
            self._calls[key] = function_there.statement(key[1], max_rows=1000)
        parameters = (json.dumps(dict(values), default=str),) if values else ()
        with _refusals():
            row = self.connection.execute(self._calls[key], parameters).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def rows(self, content: Content, name: str) -> list[Record]:
        """What a table holds."""
        return _parsed(content[self._tables.index(f"public.{name}")])

    def write(self, statement: str, *values: object) -> int:
        """Write as the application does, and return how many rows that changed."""
        with _refusals():
            return self.connection.execute(statement.encode(), values).rowcount

    def read_content(self) -> Content:
        """What every table holds now."""
        row = self.connection.execute(self._query.encode(), prepare=True).fetchone()
        assert row is not None
        self.content = tuple(row)
        return self.content

    def set_back(self, content: Content, now: datetime) -> None:
        """Make every table hold this again, at this time."""
        changed = (
            [place for place, rows in enumerate(self.content) if rows != content[place]]
            if self.content
            else []
        )
        if changed or now != self._now:
            with self.connection.pipeline(), self.connection.transaction():
                self.connection.execute("set local session_replication_role = replica")
                for place in changed:
                    self.connection.execute(
                        f"delete from {self._tables[place]}".encode()
                    )
                    if content[place] != "[]":
                        self.connection.execute(
                            self._fill[place].encode(), [content[place]]
                        )
                self.connection.execute(
                    "update smsretry_local.frozen set now = %s", [now]
                )
        self.content, self._now = content, now

    def canonical(self, content: Content, now: datetime, *extra: str) -> str:
        """The same for states that go on in the same way: times count from now, names by when they come first."""
        tables = [
            rows.replace('"created_at"', '"queued_at"')
            if table == "public.sms_retry_queue"
            else rows
            for rows, table in zip(content, self._tables, strict=True)
            if table not in _STORY
        ]
        events = _parsed(content[self._tables.index("smsretry.events")])
        tables += [event["at"] for event in events if event["code"] == "number_changed"]
        return canonical("\n".join([*tables, *extra]), now)


@lru_cache(maxsize=10_000)
def _parsed(table_text: str) -> list[Record]:
    rows: list[Record] = json.loads(table_text)
    return rows


def canonical(text: str, now: datetime) -> str:
    """A text with times that count from now, claims that count from the last one, and numbers and names in order."""
    names: dict[str, str] = {}
    latest = max((int(n) for _, n in _CLAIM_NO.findall(text)), default=0)
    order = {
        n: place for place, n in enumerate(sorted(set(_SERIAL.findall(text)), key=int))
    }
    text = re.sub(
        "|".join(rf'"{column}":("[^"]*"|null),?' for column in sorted(_TOLD)), "", text
    )
    text = _CLAIM_NO.sub(lambda match: f'"{match[1]}":{int(match[2]) - latest}', text)
    text = _SERIAL.sub(lambda match: f'"id":{order[match[1]]}', text)
    text = _INSTANT.sub(
        lambda match: str(
            round((datetime.fromisoformat(match[0]) - now).total_seconds())
        ),
        text,
    )
    return _NAME.sub(lambda match: names.setdefault(match[0], f"#{len(names)}"), text)


class _Direct:
    """Calls the function on the world's own connection."""

    _world: World

    def _request(self, function: str, values: Mapping[str, object]) -> Any:
        return self._world.call(function, values)


class _Queue(_Direct, SupabaseQueue):
    def __init__(self, settings: Any, world: World) -> None:
        SupabaseQueue.__init__(self, settings)
        self._world = world

    def call_as_group(self, calls: Sequence[Call]) -> Sequence[object]:
        """Each alone: a group would take what the database refuses for the call's own trouble."""
        return [self._request(call.function, call.arguments) for call in calls]


class _Operators(_Direct, SupabaseOperators):
    def __init__(self, settings: Any, world: World) -> None:
        SupabaseOperators.__init__(self, settings)
        self._world = world


@contextmanager
def frozen(stack: Stack, now: datetime) -> Iterator[World]:
    """A world in which time stands still, on an empty stack. Afterwards the stack's clock runs again."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        [[clock]] = connection.execute(
            "select pg_get_functiondef('smsretry.clock'::regproc)"
        ).fetchall()
        connection.execute(
            _FROZEN.replace("%s", f"'{now.astimezone(UTC).isoformat()}'").encode()
        )
        try:
            yield World(stack, connection, now)
        finally:
            connection.execute(clock.encode())
            connection.execute("drop table smsretry_local.frozen")
