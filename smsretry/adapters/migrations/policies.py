"""The application's own row level security policies on the queue and its attempts.

The migration that adopts an installation drops every policy of the two tables. Here they are read before it runs and
made again after it, in the same transaction. Only those that let a tenant do more than the contract allows stay away,
and their owner says so first.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from psycopg import sql
from psycopg.rows import class_row
from pydantic import BaseModel

from smsretry.adapters.migrations.connecting import Connection
from smsretry.errors import MigrationError

ADOPTION: Final = "20261125000200"
"""The migration that drops all policies of the two tables. It is released, and so it stays as it is."""
_COMMANDS: Final = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}
_OURS: Final = {
    "sms_retry_queue": ("Owners read their retries", "Owners queue retries of their texts"),
    "sms_send_attempts": ("Owners read their attempts",),
}
"""By table. Each file that records a table makes its policies anew."""
_ADDED: Final = (
    "policies of sms_retry_queue: smsretry adds its own, "
    '"Owners read their retries" and "Owners queue retries of their texts". By them the user of a business '
    "(businesses.user_id) reads its rows and adds pending ones. To close rows to that user, add a restrictive policy"
)
# Names come with their schema, so that the search_path of whoever makes them again does not matter. Policies of a
# role reach its members, too: anon and authenticated are a Supabase project's tenants.
_READ: Final = """
select c.relname::text as relation, p.polname::text as name, p.polpermissive as permissive, p.polcmd::text as command,
       array(select case r.id when 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(r.id)) end
             from unnest(p.polroles) with ordinality as r (id, place) order by r.place) as roles,
       pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_,
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_,
       pg_catalog.obj_description(p.oid, 'pg_policy') as comment,
       0 = any (p.polroles) or exists (
           select from unnest(p.polroles) as r (id)
           join pg_catalog.pg_roles t on t.rolname in ('anon', 'authenticated')
           where pg_catalog.pg_has_role(t.oid, r.id, 'usage')) as tenants
from pg_catalog.pg_policy p
join pg_catalog.pg_class c on c.oid = p.polrelid and c.relnamespace = 'public'::regnamespace
where c.relname = any (%s)
order by c.relname, p.polname
"""


class Policy(BaseModel, frozen=True):
    """A policy, with all that makes it again."""

    relation: str
    name: str
    permissive: bool
    command: str
    """`r`, `a`, `w`, `d` or `*`, as in pg_policy."""
    roles: tuple[str, ...]
    using_: str | None
    check_: str | None
    comment: str | None
    tenants: bool
    """Whether it holds for somebody who is signed in, or for everybody."""

    def __str__(self) -> str:
        return f"policy {_quoted(self.name)} of {self.relation}"

    @property
    def key(self) -> tuple[str, str]:
        """Its table and its name."""
        return self.relation, self.name

    @property
    def is_named_as_ours(self) -> bool:
        """Whether smsretry makes a policy of this name."""
        return self.name in _OURS[self.relation]

    @property
    def is_wide(self) -> bool:
        """Whether it lets a tenant do more than read. A tenant's new rows are the business of smsretry's own policy."""
        return self.permissive and self.tenants and self.command != "r" and not self.is_named_as_ours

    @property
    def dropped(self) -> str:
        """The statement that drops it."""
        return f"drop policy {_quoted(self.name)} on public.{self.relation}"

    @property
    def made(self) -> str:
        """The statements that make it."""
        on = f"policy {_quoted(self.name)} on public.{self.relation}"
        parts = [
            f"create {on} as {'permissive' if self.permissive else 'restrictive'}",
            f"for {_COMMANDS[self.command]} to {', '.join(self.roles)}",
            f"using ({_on_one_line(self.using_)})" if self.using_ else "",
            f"with check ({_on_one_line(self.check_)})" if self.check_ else "",
        ]
        said = "" if self.comment is None else f"; comment on {on} is {sql.Literal(self.comment).as_string()}"
        return " ".join(part for part in parts if part) + said

    @property
    def narrowed(self) -> "Policy | None":
        """What of it may stay: of a policy for all commands, the reading."""
        return self.model_copy(update={"command": "r", "check_": None}) if self.command == "*" else None

    @property
    def narrowing(self) -> str:
        """The statements that leave of it what may stay."""
        return "; ".join([self.dropped, *([self.narrowed.made] if self.narrowed else [])])


def read_policies(connection: Connection) -> list[Policy]:
    """All policies of the two tables, ours included."""
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=class_row(Policy)) as cursor:
        cursor.execute("set local search_path = ''")
        return cursor.execute(_READ, [list(_OURS)]).fetchall()


def judge_policies(
    before: Sequence[Policy], *, adopts: bool, drops_all: bool, drop: bool
) -> tuple[list[Policy], list[str]]:
    """The policies to narrow, and sentences about those that let tenants do more and stay.

    Args:
        adopts: whether this database has nothing of smsretry's yet.
        drops_all: whether the migration that drops every policy will run.
        drop: whether the owner said to drop what is too wide.

    Raises:
        MigrationError: names each policy that would be lost, with the statements that decide about it.
    """
    wide = [one for one in before if one.is_wide]
    refused = [f"{one} {_lets(one)}: {one.narrowing};" for one in wide if drops_all and not drop]
    refused += [
        f"{one} has the name of one of smsretry's: alter policy {_quoted(one.name)} on public.{one.relation} "
        f"rename to {_quoted(f'{one.name} (own)')};"
        for one in before
        if adopts and one.is_named_as_ours
    ]
    if refused:
        raise MigrationError(
            "Some policies of the application's cannot stay as they are:\n"
            + "".join(f"  {line}\n" for line in refused)
            + "A tenant reads its own rows and adds new ones; all else is done by the backend, which calls "
            "cancel_sms_retries for a tenant that wants a text no more. Run these statements, or let `smsretry migrate "
            "--drop-policies` drop what is too wide. Policies that only read, and restrictive ones, are kept. Nothing "
            "was changed."
        )
    said = [] if drop else [f"{one} {_lets(one)}. To narrow it: {one.narrowing}, or `--drop-policies`" for one in wide]
    if adopts and before:
        said.append(_ADDED)
    return wide if drop else [], said


def restore_policies(connection: Connection, before: Sequence[Policy], narrow: Sequence[Policy]) -> Iterator[str]:
    """Make again what the migration dropped, but for what is to be narrowed; yield what became of that.

    `smsretry migrate --again` makes ours as a fresh installation has them.
    """
    now = {one.key: one for one in read_policies(connection)}
    for old in before:
        wanted = old.narrowed if old in narrow else old
        there = now.get(old.key)
        if old.is_named_as_ours:
            if there != old:
                yield f"{old} is made anew as smsretry has it. To close rows, add a restrictive policy of your own"
            continue
        if there is not None and there != wanted:
            connection.execute(sql.SQL(old.dropped))
        if wanted is not None and there != wanted:
            connection.execute(sql.SQL(wanted.made))
        if old in narrow:
            yield f"{old} {'now only lets people read' if wanted else 'is dropped: it ' + _lets(old)}"


def _lets(one: Policy) -> str:
    does = {"a": "add rows of any kind", "w": "change rows", "d": "delete rows", "*": "add, change and delete rows"}
    return f"lets tenants {does[one.command]}"


def _on_one_line(expression: str) -> str:
    """PostgreSQL breaks the lines of a query in an expression. What stands in quotes stays as it is."""
    return re.sub(r"""('(?:[^']|'')*')|\s*\n\s*""", lambda found: found[1] or " ", expression)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
