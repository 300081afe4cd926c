"""Which function a call means, and the statement that calls it, as PostgREST chooses and builds them.

Source: https://docs.postgrest.org/en/v13/references/api/functions.html. The catalog is asked on every call, so
no schema cache can be stale. Left out: unnamed and variadic parameters, filters on the result.
A function's own statement_timeout holds for the whole call (db-hoisted-tx-settings, since 12.2):
https://docs.postgrest.org/en/v13/references/transactions.html#function-settings
HEAD only counts rows (https://github.com/PostgREST/postgrest/issues/2849). For that PostgreSQL need not call a function
that is stable and answers one value: neither is it run, nor is its grant asked. Seen on PostgREST 13.0.8 and 14.17.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from psycopg import Connection, sql

from smsretry.local.postgrest.errors import refusal

Returns = Literal["nothing", "scalar", "scalars", "object", "objects"]

# Input arguments only. A type with typmod -1 is its exact name: "bpchar", where `character` would cut off.
_CATALOGUE: Final = r"""
select p.provolatile <> 'v',
       case when p.prorettype = 'void'::regtype then 'nothing'
            when t.typtype = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false)
            then case when p.proretset then 'objects' else 'object' end
            else case when p.proretset then 'scalars' else 'scalar' end end,
       a.names, a.types, p.pronargs - p.pronargdefaults,
       (select substr(c, 19) from unnest(p.proconfig) c where c like 'statement\_timeout=%%')
from pg_catalog.pg_proc p
join pg_catalog.pg_type t on t.oid = p.prorettype
cross join lateral (
    select coalesce(array_agg(coalesce(name, '') order by place), '{}') as names,
           coalesce(array_agg(pg_catalog.format_type(type, -1) order by place), '{}') as types
    from unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes)
         with ordinality as _ (name, type, mode, place)
    where type is not null and coalesce(mode, 'i') in ('i', 'b')
) a
where p.pronamespace = 'public'::regnamespace and p.proname = %s and p.prokind = 'f' and p.provariadic = 0
  and p.prorettype <> 'trigger'::regtype and not '' = any (a.names)
"""


@dataclass(frozen=True)
class RpcFunction:
    """One function of schema public. `arguments`: name to type, in order; the first `required` have no default."""

    name: str
    arguments: dict[str, str] = field(hash=False)
    required: int
    returns: Returns
    read_only: (
        bool  # stable or immutable: PostgREST calls it in a read-only transaction
    )
    statement_timeout: str | None = None
    """Its own, which holds for the whole transaction."""

    def takes(self, argument_names: Set[str]) -> bool:
        """Whether these names are its arguments; one that has a default may be missing."""
        return (
            set(list(self.arguments)[: self.required])
            <= argument_names
            <= self.arguments.keys()
        )

    @cache  # noqa: B019 - one for each function and the arguments that callers name
    def statement(
        self, argument_names: frozenset[str], *, max_rows: int, counts: bool = False
    ) -> bytes:
        """The call. Its one parameter, if anything is given, is the JSON body, which PostgreSQL itself takes apart.
        `counts`: only the rows are asked for.

        The result is one row: the answer's JSON as text, and how many rows it holds. A void function gives one column.
        """
        names = [name for name in self.arguments if name in argument_names]
        source: sql.Composable = sql.SQL("(values (1)) as _")
        if names:
            typed = [
                sql.SQL("{} {}").format(sql.Identifier(n), _type(self.arguments[n]))
                for n in names
            ]
            source = sql.SQL("json_to_record(%s::json) as _ ({})").format(
                sql.SQL(", ").join(typed)
            )
        passed = [
            sql.SQL("{} => {}").format(sql.Identifier(n), sql.Identifier("_", n))
            for n in names
        ]
        call = sql.SQL("{}({})").format(
            sql.Identifier("public", self.name), sql.SQL(", ").join(passed)
        )
        if self.returns == "nothing":
            return sql.SQL("select {} from {}").format(call, source).as_bytes()
        whole, value = self._shape()
        rows = sql.SQL(
            "select called.* from {}, lateral {} as called"
            if whole
            else "select {1} as scalar from {0}"
        )
        answer = "with called as ({}) select {}::text, count(*) from (select * from called limit {}) as row"
        if counts:
            value = "''"
        parts = rows.format(source, call), sql.SQL(value), sql.Literal(max_rows)
        return sql.SQL(answer).format(*parts).as_bytes()

    def _shape(self) -> tuple[bool, str]:
        """Whether the result is rows and not values, and the JSON made of it."""
        match self.returns:
            case "objects":
                return True, "coalesce(json_agg(row), '[]')"
            case "object":
                return True, "coalesce(json_agg(row) -> 0, 'null')"
            case "scalars":
                return False, "coalesce(json_agg(row.scalar), '[]')"
            case _:
                return False, "coalesce(json_agg(row.scalar) -> 0, 'null')"


def find_function(
    connection: Connection[Any], name: str, argument_names: Set[str]
) -> RpcFunction:
    """The one function of that name that takes these arguments. Raises Refusal: none (404), or several (300).

    PostgREST's hint, which names a function that is called nearly so, is left out.
    """
    overloads = [
        RpcFunction(
            name,
            dict(zip(names, types, strict=True)),
            required,
            returns,
            read_only,
            timeout,
        )
        for read_only, returns, names, types, required, timeout in connection.execute(
            _CATALOGUE, (name,), prepare=True
        )
    ]
    fitting = [function for function in overloads if function.takes(argument_names)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        candidates = ", ".join(
            f"public.{f.name}({', '.join(f'{arg} => {kind}' for arg, kind in f.arguments.items())})"
            for f in fitting
        )
        raise refusal(
            300, "PGRST203", f"Could not choose the best candidate function between: {candidates}",
            hint="Try renaming the parameters or the function itself in the database "
                 "so function overloading can be resolved",
        )  # fmt: skip
    listed = ", ".join(sorted(argument_names))
    called = (
        f"public.{name}({listed})"
        if argument_names
        else f"public.{name} without parameters"
    )
    searched = (
        f"with parameter{'s' if len(argument_names) > 1 else ''} {listed}"
        if argument_names
        else "without parameters"
    )
    raise refusal(
        404, "PGRST202", f"Could not find the function {called} in the schema cache",
        details=f"Searched for the function public.{name} {searched} or with a single unnamed json/jsonb parameter, "
                "but no matches were found in the schema cache.",
    )  # fmt: skip


def _type(name: str) -> sql.SQL:
    return sql.SQL(name)  # format_type's own words, quoted by it where that is needed
