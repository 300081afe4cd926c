"""What a database has of everything that smsretry defines, so that two databases can be compared."""

from typing import Any, Final, NamedTuple

import psycopg

from smsretry.adapters.migrations.checksums import findings
from smsretry.adapters.migrations.schemas import schema_files

Snapshot = frozenset[tuple[str, str]]
"""Each object with how it is defined, each grant and each comment, in words that depend on no object id."""
Connection = psycopg.Connection[dict[str, Any]]


class Database(NamedTuple):
    """A database: its URL, and a connection of its owner's in autocommit."""

    url: str
    connection: Connection

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        return self.connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object) -> dict[str, Any]:
        """The one row of a query."""
        [row] = self.rows(query, *values)
        return row

    def run(self, statements: str | bytes) -> None:
        """Statements without a result."""
        self.connection.execute(statements.encode() if isinstance(statements, str) else statements)

    def applied(self) -> list[str]:
        """What the history says was applied."""
        history = self.rows(
            "select version || '_' || name as file from supabase_migrations.schema_migrations order by 1"
        )
        return [row["file"] for row in history]


_SNAPSHOT: Final = """
with ours (class, id, named) as (
    select 'pg_class'::regclass, c.oid, c.oid::regclass::text from pg_class c
    where c.relkind in ('r', 'v') and (c.relnamespace = 'smsretry'::regnamespace
          or c.oid in ('scheduled_sends'::regclass, 'sms_retry_queue'::regclass, 'sms_send_attempts'::regclass))
    union all
    select 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text from pg_proc p
    where p.pronamespace in ('smsretry'::regnamespace, 'public'::regnamespace) and p.proname <> 'set_updated_at'
      and p.proname not like 'app\\_%'
    union all
    select 'pg_namespace'::regclass, n.oid, n.nspname from pg_namespace n where n.nspname = 'smsretry'
)
select key as what, value as said from jsonb_each_text(examine_sms_retries())
union all
select 'comment on ' || o.named || coalesce('.' || a.attname, ''), d.description
from ours o join pg_description d on d.classoid = o.class and d.objoid = o.id
left join pg_attribute a
    on o.class = 'pg_class'::regclass and a.attrelid = o.id and a.attnum = d.objsubid and d.objsubid > 0
union all
select format('%s of %s', g.privilege_type, coalesce(o.named || '.' || a.attname, o.named)),
       case g.grantee when 0 then 'public' else g.grantee::regrole::text end || g.is_grantable
from ours o
left join pg_class c on o.class = 'pg_class'::regclass and c.oid = o.id
left join pg_proc p on o.class = 'pg_proc'::regclass and p.oid = o.id
left join pg_namespace n on o.class = 'pg_namespace'::regclass and n.oid = o.id
left join lateral (
    select null::name as attname, coalesce(c.relacl, p.proacl, n.nspacl, acldefault(
        case when p.oid is not null then 'f' when n.oid is not null then 'n' else 'r' end::"char", 10)) as acl
    union all
    select t.attname, t.attacl from pg_attribute t where t.attrelid = c.oid and t.attacl is not null) a on true
cross join lateral aclexplode(a.acl) g
"""


def snapshot(database: Database) -> Snapshot:
    """Everything the migrations define, and what of an application's is on the tables that it shares."""
    rows = database.connection.execute(_SNAPSHOT.encode()).fetchall()
    return frozenset((row["what"], row["said"]) for row in rows)


def api_functions() -> list[str]:
    """The names of the functions that PostgREST offers: those of the schema `public`."""
    names = [file.creates.split(".") for file in schema_files() if file.kind == "function"]
    return [name for schema, name in names if schema == "public"]


def complaints(connection: Connection) -> dict[str, str]:
    """What the doctor says of our objects that is wrong, or a warning, by subject."""
    [row] = connection.execute("select examine_sms_retries() as said").fetchall()
    return {one.subject: one.advice for one in findings(row["said"]) if one.advice}
