"""The tables and views of schema public, and the statements that read and write them as PostgREST's do.

Each statement answers one row: the rows as JSON text, how many there are, and a total: of a read that asks for it, how
many there are in all; of an insert, how many were inserted. The catalog is asked on every call, so no schema cache can
be stale.
Sources: https://docs.postgrest.org/en/v13/references/api/tables_views.html, .../errors.html, .../pagination_count.html
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from psycopg import Connection, sql

from smsretry.local.postgrest.asked import Asked
from smsretry.local.postgrest.errors import refusal
from smsretry.local.postgrest.filters import condition, ordering, selected
from smsretry.local.postgrest.headers import SCHEMA

_RELATIONS: Final = """
select c.relname from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'f', 'p')
"""
_COLUMNS: Final = """
select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       coalesce(array_position(i.indkey::int2[], a.attnum) is not null, false)
from pg_catalog.pg_attribute a
left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = pg_catalog.to_regclass(pg_catalog.format('public.%%I', %s::text)) and a.attnum > 0
  and not a.attisdropped
order by a.attnum
"""
# How many rows an upsert inserted, and did not update, counted as PostgREST counts them. Each is true.
_COUNTED: Final = """
set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), ''), '0')::int + {})::text, true)
is not null"""
_INSERTED: Final = "nullif(current_setting('pgrst.inserted', true), '')::int"


@dataclass(frozen=True)
class Table:
    """One table or view. `columns`: name to type; `key`: those of its primary key."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def statement(self, asked: Asked, *, max_rows: int) -> sql.Composed:
        """What the request asks for. Raises Refusal."""
        if asked.method in ("GET", "HEAD"):
            return self._read(asked, max_rows)
        change = {"POST": self._insert, "PATCH": self._update, "DELETE": self._delete}[asked.method](asked)
        returning = selected(self.name, asked.select) if asked.returns_rows else sql.SQL("1")
        rows = sql.SQL("{} returning {}").format(change, returning)
        return _as_json(rows, total=sql.SQL(_INSERTED), values=asked.returns_rows)

    def _read(self, asked: Asked, max_rows: int) -> sql.Composed:
        where = self._where(asked)
        rows = sql.SQL("select {} from {}{}").format(selected(self.name, asked.select), self._relation, where)
        if asked.order is not None:
            rows = sql.SQL("{} order by {}").format(rows, ordering(self.name, asked.order))
        limit = max_rows if asked.limit is None else min(asked.limit, max_rows)
        rows = sql.SQL("{} limit {} offset {}").format(rows, sql.Literal(limit), sql.Literal(asked.offset))
        count = sql.SQL("(select count(*) from {}{})").format(self._relation, where)
        return _as_json(rows, total=count if asked.counts else sql.SQL("null"), values=asked.returns_rows)

    def _insert(self, asked: Asked) -> sql.Composed:
        into = sql.SQL("insert into {}").format(self._relation)
        if asked.rows.defaults:
            return sql.SQL("{} default values{}").format(into, self._on_conflict(asked))
        names = self._known(asked.rows.columns or tuple(self.columns)[:1])  # an empty array has no columns
        counted = sql.SQL(_COUNTED).format(sql.Literal(1))
        return sql.SQL("{} ({}) select {} from {} where {}{}").format(
            into, _listed(names), _listed(names), self._sent(asked, names), counted, self._on_conflict(asked)
        )

    def _on_conflict(self, asked: Asked) -> sql.Composable:
        target = self._known(asked.on_conflict) or self.key
        if asked.resolution is None or not target:
            return sql.SQL("")
        sets = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in asked.rows.columns]
        does: sql.Composable = sql.SQL("nothing")
        if asked.resolution == "merge-duplicates" and sets:
            counted = sql.SQL(_COUNTED).format(sql.Literal(-1))
            does = sql.SQL("update set {} where {}").format(sql.SQL(", ").join(sets), counted)
        return sql.SQL(" on conflict ({}) do {}").format(_listed(target), does)

    def _update(self, asked: Asked) -> sql.Composed:
        names = self._known(asked.rows.columns)
        where = self._where_of_write(asked)
        if not names:  # there is nothing to set
            return sql.SQL("update {0} set {1} = {1} where false").format(
                self._relation, sql.Identifier(next(iter(self.columns)))
            )
        sets = sql.SQL(", ").join([sql.SQL("{0} = _body.{0}").format(sql.Identifier(name)) for name in names])
        return sql.SQL("update {} set {} from {}{}").format(self._relation, sets, self._sent(asked, names), where)

    def _delete(self, asked: Asked) -> sql.Composed:
        return sql.SQL("delete from {}{}").format(self._relation, self._where_of_write(asked))

    def _where_of_write(self, asked: Asked) -> sql.Composable:
        if not asked.filters:  # Supabase's extension pg-safeupdate, at its API's login
            verb = "UPDATE" if asked.method == "PATCH" else "DELETE"
            raise refusal(400, "21000", f"{verb} requires a WHERE clause")
        return self._where(asked)

    def _where(self, asked: Asked) -> sql.Composable:
        conditions = [condition(self.name, column, filtered) for column, filtered in asked.filters]
        return sql.SQL(" where {}").format(sql.SQL(" and ").join(conditions)) if conditions else sql.SQL("")

    def _sent(self, asked: Asked, names: tuple[str, ...]) -> sql.Composed:
        typed = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(self.columns[name])) for name in names]
        body = sql.Literal(asked.rows.json)
        return sql.SQL("json_to_recordset({}::json) as _body ({})").format(body, sql.SQL(", ").join(typed))

    def _known(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """These columns. Raises Refusal: the table has no such column."""
        for name in names:
            if name not in self.columns:
                said = f"Could not find the '{name}' column of '{self.name}' in the schema cache"
                raise refusal(400, "PGRST204", said)
        return names

    @property
    def _relation(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.name)


def find_table(connection: Connection[Any], name: str) -> Table:
    """The table or view of that name. Raises Refusal: there is none (404)."""
    relations = [row[0] for row in connection.execute(_RELATIONS)]
    if name not in relations:
        close = get_close_matches(name, relations, n=1, cutoff=0.75)
        raise refusal(
            404, "PGRST205", f"Could not find the table '{SCHEMA}.{name}' in the schema cache",
            hint=f"Perhaps you meant the table '{SCHEMA}.{close[0]}'" if close else None,
        )  # fmt: skip
    columns = connection.execute(_COLUMNS, (name,), prepare=True).fetchall()
    return Table(name, {column: kind for column, kind, _ in columns}, tuple(c for c, _, in_key in columns if in_key))


def _as_json(rows: sql.Composable, *, total: sql.Composable, values: bool) -> sql.Composed:
    content = sql.SQL("coalesce(json_agg(_row), '[]')::text" if values else "''")
    return sql.SQL("with _row as ({}) select {}, count(*), {} from _row").format(rows, content, total)


def _listed(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join([sql.Identifier(name) for name in names])
