"""What a database's catalog says of everything that smsretry defines, so that two databases can be compared."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg

from smsretry.adapters.migrations.catalog import Entry, differences, fresh_catalog, public_functions
from smsretry.adapters.migrations.restoring import findings
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.retry.models import Finding

Snapshot = Mapping[str, frozenset[str]]
"""Each part of the catalog, in words that depend on no order and no object id."""


Connection = psycopg.Connection[dict[str, Any]]
_ADVISED: Final = re.compile(r"Run: (.*?)(?:; then `smsretry migrate --again`)?$", re.S)


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


# Of the application's tables only what is named is ours. Of the functions all are but the application's trigger, so
# that a version which should be gone is seen.
_OURS: Final = """
with tables (id) as (
    select oid from pg_class
    where relkind = 'r' and (relnamespace = 'smsretry'::regnamespace
          or oid::regclass::text in ('scheduled_sends', 'sms_retry_queue', 'sms_send_attempts'))
),
relations (id) as (
    select id from tables
    union all select oid from pg_class where relkind = 'v' and relnamespace = 'smsretry'::regnamespace
),
functions (id) as (
    select oid from pg_proc
    where pronamespace = 'smsretry'::regnamespace
       or pronamespace = 'public'::regnamespace and proname <> 'set_updated_at'
)
"""
_CATALOG: Final = {
    "columns": """
        select format('%s.%s %s default=%s notnull=%s generated=%s%s', a.attrelid::regclass, a.attname,
                      format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull,
                      a.attgenerated, a.attidentity) as said
        from pg_attribute a
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attnum > 0 and not a.attisdropped
          and (a.attrelid in (select id from relations) or a.attname = 'sms_hours')""",
    "comments": """
        select format('%s %s: %s', d.classoid::regclass,
                      coalesce(c.relname || '.' || a.attname, c.relname, n.nspname), d.description) as said
        from pg_description d
        left join pg_class c on d.classoid = 'pg_class'::regclass and c.oid = d.objoid
        left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
        left join pg_namespace n on d.classoid = 'pg_namespace'::regclass and n.oid = d.objoid
        where c.oid in (select id from relations) or n.nspname = 'smsretry' or a.attname = 'sms_hours'""",
    "constraints": """
        select format('%s %s %s valid=%s', conrelid::regclass, conname, pg_get_constraintdef(oid),
                      convalidated) as said
        from pg_constraint
        where (conrelid in (select id from tables) or conname = 'businesses_sms_hours') and contype <> 'n'""",
    "indexes": """
        select pg_get_indexdef(indexrelid) || ' valid=' || indisvalid as said
        from pg_index
        where indrelid in (select id from tables)
           or indexrelid::regclass::text in ('customers_phone', 'send_logs_customer_changed')""",
    "policies": """
        select format('%s %s', tablename, p) as said from pg_policies p
        where format('%I.%I', schemaname, tablename)::regclass in (select id from tables)""",
    "tables": """
        select format('%s kind=%s rls=%s,%s %s', oid::regclass, relkind, relrowsecurity, relforcerowsecurity,
                      (select array_agg(o order by o) from unnest(reloptions) o)) as said
        from pg_class where oid in (select id from relations)""",
    "views": """
        select pg_get_viewdef(oid) as said from pg_class where oid in (select id from relations) and relkind = 'v'""",
    "triggers": "select pg_get_triggerdef(oid) as said from pg_trigger where tgname like 'smsretry%'",
    "functions": "select pg_get_functiondef(id) as said from functions",
    "grants": """
        select format('%s: %s %s to %s grantable=%s', g.what, g.named, a.privilege_type,
                      case a.grantee when 0 then 'public' else a.grantee::regrole::text end, a.is_grantable) as said
        from (
            select 'table' as what, oid::regclass::text as named, coalesce(relacl, acldefault('r', relowner)) as acl
            from pg_class where oid in (select id from relations)
            union all
            select 'column', attrelid::regclass || '.' || attname, attacl
            from pg_attribute where attrelid in (select id from relations)
            union all
            select 'function', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
            from pg_proc where oid in (select id from functions)
            union all
            select 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner))
            from pg_namespace where nspname = 'smsretry'
        ) g cross join lateral aclexplode(g.acl) a""",
}  # fmt: skip
_MAY_HAVE_MORE: Final = ("constraints", "indexes", "policies")
"""Where an existing installation keeps what is its own."""


def snapshot(database: Database) -> Snapshot:
    """Everything the migrations define."""
    return {
        part: frozenset(row["said"] for row in database.connection.execute((_OURS + query).encode()).fetchall())
        for part, query in _CATALOG.items()
    }


def same_schema(found: Snapshot, wanted: Snapshot) -> None:
    """Assert that nothing is missing, and nothing is there beyond an installation's own constraints, indexes and
    policies.
    """
    for part, definitions in wanted.items():
        assert definitions, f"the snapshot sees no {part}"
        assert definitions - found[part] == set(), f"missing {part}"
        if part not in _MAY_HAVE_MORE:
            assert found[part] - definitions == set(), f"unexpected {part}"


def api_functions() -> list[str]:
    """The names of the functions that PostgREST offers: those of the schema `public`."""
    names = [file.creates.split(".") for file in schema_files() if file.kind == "function"]
    return [name for schema, name in names if schema == "public"]


def compared(connection: Connection) -> list[Finding]:
    """What the doctor says of the catalog and of the roles of a request."""
    told = connection.execute("select examine_sms_retries('catalog', %s) as said", [public_functions()]).fetchall()
    access = connection.execute("select examine_sms_retries('access') as said").fetchall()
    entries = [Entry.model_validate(row) for row in told[0]["said"]]
    found = findings(differences(entries), fresh_catalog())
    return [*found, *(Finding.model_validate(row) for row in access[0]["said"])]


def complaints(connection: Connection) -> dict[str, str]:
    """What of it is wrong, or a warning, by subject."""
    return {one.subject: one.advice for one in compared(connection) if one.advice}


def restoring_statements(connection: Connection) -> list[str]:
    """Those that the lines give. What has none, or not only one, is restored by `smsretry migrate --again`."""
    try:
        told = complaints(connection).values()
    except psycopg.Error:  # what it needs is gone, and a migration brings it back
        return []
    return [found[1] for advice in told if (found := _ADVISED.search(advice))]
