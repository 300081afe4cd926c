"""The small languages of a table's address: columns, filters and an order, as SQL.

Values become literals that PostgreSQL reads as the column's type, and names become identifiers, whatever they hold.
Source: https://docs.postgrest.org/en/v13/references/api/tables_views.html. Left out, and refused: `and` and `or`,
embedded tables, paths into JSON, casts, aliases, aggregates, and the operators that are not listed here.
"""

import re
from typing import Final

from psycopg import sql

from smsretry.local.postgrest.errors import Refusal, refusal
from smsretry.local.postgrest.headers import SCHEMA, not_here

_COMPARISONS: Final = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "ilike": "ilike",
}  # fmt: skip
_IS: Final = ("null", "not_null", "true", "false", "unknown")
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_ITEM: Final = re.compile(rf"({_QUOTED}|[^,]*)(,|$)", re.DOTALL)
_PLAIN_NAME: Final = re.compile(r"[\w $%-]+")
_TERM: Final = re.compile(rf"({_QUOTED}|[^.]+?)(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?", re.DOTALL)
_ORDERS: Final = {"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}


def names_in(listed: str, *, of: str) -> list[str]:
    """The columns in a list such as `id,"in quotes"`. `of`: which part of the request has it. Raises Refusal."""
    return [_name(item, of=of) for item in _items(listed)]


def selected(table: str, listed: str) -> sql.Composable:
    """The columns of a `select`. Raises Refusal."""
    items = _items(listed) or [""]
    names = [item if item == "*" else _name(item, of="select") for item in items]
    return sql.SQL(", ").join([qualified(table, name) for name in names])


def qualified(table: str, column: str) -> sql.Composable:
    """The column, or all of them for `*`."""
    if column == "*":
        return sql.SQL("{}.*").format(sql.Identifier(SCHEMA, table))
    return sql.Identifier(SCHEMA, table, column)


def condition(table: str, column: str, filtered: str) -> sql.Composable:
    """One filter, such as `not.in.(1,2)` of a column. Raises Refusal."""
    target = qualified(table, _name(column, of="the filter"))
    rest = filtered.removeprefix("not.")
    operator, dot, value = rest.partition(".")
    if not dot:
        raise _unreadable(f'"failed to parse filter ({filtered})"')
    found = _condition(target, operator, value)
    return found if rest == filtered else sql.SQL("not ({})").format(found)


def _condition(target: sql.Composable, operator: str, value: str) -> sql.Composable:
    if operator in _COMPARISONS:
        if operator in ("like", "ilike"):
            value = value.replace("*", "%")
        return sql.SQL("{} {} {}").format(target, sql.SQL(_COMPARISONS[operator]), sql.Literal(value))
    if operator == "is" and value.lower() in _IS:
        return sql.SQL("{} is {}").format(target, sql.SQL(value.lower().replace("_", " ")))
    if operator == "in" and value.startswith("(") and value.endswith(")"):
        values = [sql.Literal(_unquoted(item)) for item in _items(value[1:-1])]
        return sql.SQL("{} in ({})").format(target, sql.SQL(", ").join(values)) if values else sql.SQL("false")
    if operator in ("is", "in"):
        raise _unreadable(f'"failed to parse filter ({operator}.{value})"')
    raise not_here(f"the operator {operator}")


def ordering(table: str, listed: str) -> sql.Composable:
    """An `order by` of `created_at.desc.nullslast,id`. Raises Refusal."""
    return sql.SQL(", ").join([_term(table, item) for item in _items(listed) or [""]])


def _term(table: str, item: str) -> sql.Composable:
    found = _TERM.fullmatch(item)
    if found is None:
        raise not_here(f"the order {item}")
    name, direction, nulls = found.groups()
    words = [sql.SQL(_ORDERS[word]) for word in (direction, nulls) if word]
    return sql.SQL(" ").join([qualified(table, _name(name, of="the order")), *words])


def _items(listed: str) -> list[str]:
    """What commas separate, save those in double quotes."""
    items, place = [], 0
    while listed:
        found = _ITEM.match(listed, place)
        if found is None:
            raise _unreadable(f'"failed to parse list ({listed})"')
        items.append(found[1])
        if not found[2]:
            break
        place = found.end()
    return items


def _name(written: str, *, of: str) -> str:
    if _PLAIN_NAME.fullmatch(written):
        return written
    if re.fullmatch(_QUOTED, written, re.DOTALL):
        return _unquoted(written)
    raise not_here(f"{written or 'an empty name'} in {of}")


def _unquoted(item: str) -> str:
    return re.sub(r"\\(.)", r"\1", item[1:-1], flags=re.DOTALL) if re.fullmatch(_QUOTED, item, re.DOTALL) else item


def _unreadable(message: str) -> Refusal:
    return refusal(400, "PGRST100", message)
