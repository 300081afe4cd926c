"""What a request asks of a table. Whatever this endpoint does not know is refused by name.

Source: https://docs.postgrest.org/en/v13/references/api/tables_views.html. PUT, ranges in a header, bodies other than
JSON, limits and orders of a write, and estimated counts are left out.
"""

from dataclasses import dataclass
from typing import Final, Literal, Self

from starlette.requests import Request

from smsretry.local.postgrest.errors import refusal
from smsretry.local.postgrest.filters import names_in
from smsretry.local.postgrest.headers import ONE_OBJECT, READS, check_schema, media_type, not_here, preferences
from smsretry.local.postgrest.request import json_of

Resolution = Literal["merge-duplicates", "ignore-duplicates"]
_OF_READS: Final = {"select", "order", "limit", "offset"}
_OF_WRITES: Final = {"POST": {"select", "columns", "on_conflict"}, "PATCH": {"select", "columns"}, "DELETE": {"select"}}
_KNOWN: Final = {
    "return": ("minimal", "representation"), "count": ("none", "exact"), "missing": ("null",),
    "resolution": ("merge-duplicates", "ignore-duplicates"), "handling": ("lenient", "strict"),
}  # fmt: skip
_EMPTY: Final = "[]"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request for a table."""

    method: str
    select: str
    filters: tuple[tuple[str, str], ...]
    order: str | None
    limit: int | None
    offset: int
    rows: "Rows"
    resolution: Resolution | None
    on_conflict: tuple[str, ...]
    returns_rows: bool
    counts: bool
    one: bool
    """Exactly one row is asked for, as an object."""

    @classmethod
    def of(cls, request: Request, sent: bytes) -> Self:
        """What it asks for. Raises Refusal."""
        method = request.method
        parameters, filters = _address(request)
        check_schema(request)
        prefers = _preferences(request)
        return cls(
            method=method,
            select=parameters.get("select", "*"),
            filters=filters,
            order=parameters.get("order"),
            limit=_number(parameters, "limit"),
            offset=_number(parameters, "offset") or 0,
            rows=Rows.of(request, sent, parameters.get("columns")),
            resolution=prefers.get("resolution") if method == "POST" else None,  # type: ignore[arg-type]
            on_conflict=tuple(names_in(parameters.get("on_conflict", ""), of="on_conflict")),
            returns_rows=method == "GET" or prefers.get("return") == "representation",
            counts=prefers.get("count") == "exact",
            one=media_type(request, ONE_OBJECT) == ONE_OBJECT,
        )


@dataclass(frozen=True)
class Rows:
    """What a write brings: `json` is an array, which PostgreSQL itself takes apart."""

    json: str = _EMPTY
    columns: tuple[str, ...] = ()
    defaults: bool = False
    """One row without any column."""

    @classmethod
    def of(cls, request: Request, sent: bytes, columns: str | None) -> Self:
        """The rows of a request, and their columns: those it lists, or the keys, which all rows share."""
        if request.method not in ("POST", "PATCH"):
            return cls()
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
        if kind != "application/json":
            raise not_here(f"a body of the type {kind}")
        body = json_of(sent)
        several = isinstance(body, list)
        rows = body if several else [body]
        if not all(isinstance(row, dict) for row in rows):
            raise not_here("a body that is neither an object nor an array of objects")
        if several and request.method == "PATCH":
            raise not_here("a PATCH with an array")
        if columns is not None:
            keys = tuple(names_in(columns, of="columns"))
        else:
            keys = tuple(rows[0]) if rows else ()
            if any(row.keys() != rows[0].keys() for row in rows):
                raise refusal(400, "PGRST102", "All object keys must match")
        if several and rows and not keys:
            raise not_here("an array of empty objects")
        text = sent.decode()
        return cls(text if several else f"[{text}]", keys, defaults=bool(rows) and not keys)


def _address(request: Request) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """The parameters of the address, and its filters. Raises Refusal."""
    method = request.method
    if method not in (*READS, *_OF_WRITES):
        raise not_here(f"the method {method} on a table")
    if "range" in request.headers:
        raise not_here("the header Range: ask with limit and offset")
    ours = _OF_READS if method in READS else _OF_WRITES[method]
    parameters: dict[str, str] = {}
    filters = []
    for name, value in request.query_params.multi_items():
        if "\0" in name + value:
            raise refusal(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
        if name in ours:
            parameters[name] = value
        elif name in _OF_READS or name in ("columns", "on_conflict", "and", "or", "not.and", "not.or"):
            raise not_here(f"{name} with {method}")
        elif method == "POST" and name != "apikey":
            raise not_here(f"the filter {name} with POST")
        elif name != "apikey":
            filters.append((name, value))
    return parameters, tuple(filters)


def _preferences(request: Request) -> dict[str, str]:
    asked = preferences(request)
    for name, value in asked.items():
        if name != "tx" and value not in _KNOWN.get(name, ()):
            raise not_here(f"the preference {name}={value}")
    return asked


def _number(parameters: dict[str, str], name: str) -> int | None:
    written = parameters.get(name)
    if written is None:
        return None
    if not written.isascii() or not written.isdigit():
        raise not_here(f"{name}={written}")
    return int(written)
