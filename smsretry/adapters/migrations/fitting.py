"""The refusal to migrate what does not fit, before anything is changed. It names the statement that makes a thing fit.

A migration drops, replaces and changes nothing that is the application's. Its owner does, and knows why. What
PostgreSQL or the rehearsal after a migration names by itself is not looked for: a value that a column needs, a trigger
that refuses.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from smsretry import data
from smsretry.adapters.migrations.checksums import (
    Checksums,
    Misfit,
    clashes,
    read_checksums,
    recorded_checksums,
)
from smsretry.adapters.migrations.connecting import Connection, exists
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.errors import MigrationError
from smsretry.retry.before import LIFE
from smsretry.retry.models import Finding
from smsretry.vocabulary import MessageClass, Reason, RowStatus, ScheduledStatus

READ: Final = "read"
"""The type of text that smsretry only reads: any text type will do."""
LABEL: Final = "label"
"""The type of text that smsretry only reads, and that may be an enum."""
_TIME: Final = "timestamp with time zone"


def _columns(names_by_type: Mapping[str, str]) -> dict[str, str]:
    """Types by column."""
    return {
        name: type_ for type_, names in names_by_type.items() for name in names.split()
    }


COLUMNS: Final[Mapping[str, dict[str, str]]] = {
    "businesses": _columns({"uuid": "id user_id", READ: "name timezone"}),
    "customers": _columns(
        {
            "uuid": "id business_id",
            READ: "phone timezone",
            "text": "phone_status sms_consent_status sms_consent_source",
            _TIME: "sms_consent_at",
        }
    ),
    "send_logs": _columns(
        {
            "uuid": "id business_id customer_id",
            READ: "subject",
            LABEL: "channel",
            "text": "status error_message",
            "jsonb": "provider_message_id",
            _TIME: "created_at updated_at",
        }
    ),
    "scheduled_sends": _columns(
        {
            "uuid": "id business_id customer_id send_log_id created_by",
            READ: "body",
            "text": "status message_class",
            _TIME: "scheduled_for not_after created_at updated_at",
        }
    ),
    "sms_retry_queue": _columns(
        {
            "uuid": "id business_id send_log_id customer_id",
            "text": "status last_error reason",
            "integer": "attempt_count max_attempts",
            _TIME: "scheduled_for last_attempted_at created_at updated_at",
        }
    ),
}
"""The columns that smsretry needs, and their types."""
_REQUIRED: Final = {"scheduled_sends": {"id", "business_id", "scheduled_for", "status"}}
"""Columns that must exist before a migration adds the other columns of a table."""
_FILLED: Final = {
    "business_id": "delete from public.sms_retry_queue",
    "attempt_count": "update public.sms_retry_queue set attempt_count = 0",
    "max_attempts": "update public.sms_retry_queue set max_attempts = 3",
    "scheduled_for": "update public.sms_retry_queue set scheduled_for = created_at, "
    "status = case status when 'pending' then 'cancelled' else status end",
}
"""Columns of the queue that must not be null, and the statement that ends a null, without its condition. A null would
hide its row from the claim, or break the claim's answer for every row.
"""
_EMPTIED: Final = {
    "sms_retry_queue": {"last_error", "reason"},
    "send_logs": {"error_message"},
    "scheduled_sends": {"not_after", "created_by"},
}
"""Columns into which smsretry writes null."""
_ANY_SOURCE: Final = "whatever people give as a source"
"""Stands for the sources that people give. They choose the words, so that no list of sources is complete."""
_VALUES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("customers", "phone_status"): tuple(
        sorted({row["phone_status"] for row in data.table("twilio_errors")} - {""})
    ),
    ("customers", "sms_consent_status"): ("opted_in", "opted_out"),
    ("customers", "sms_consent_source"): (
        "inbound_start",
        "inbound_stop",
        "inbound_words",
        "provider_refusal",
        *(
            f"twilio_{row['code']}"
            for row in data.table("twilio_errors")
            if "opted_out" in (row["kind"], row["toll_free_kind"])
        ),
        _ANY_SOURCE,
    ),
    ("send_logs", "channel"): ("sms",),
    ("send_logs", "status"): ("sent", "failed"),
    ("scheduled_sends", "message_class"): get_args(MessageClass),
    ("scheduled_sends", "status"): get_args(ScheduledStatus),
    ("sms_retry_queue", "status"): get_args(RowStatus),
    ("sms_retry_queue", "reason"): get_args(Reason),
}
"""Values that smsretry writes into a column. A CHECK must allow them."""
_UTC: Final = ("UTC", "Etc/UTC", "GMT")
_TEXTS: Final = re.compile(
    r'(text|citext|"?extensions"?\.citext|character varying(\(\d+\))?)'
)
_EXISTING_COLUMNS: Final = """
select c.relname::text as table, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
       a.attnotnull as filled, a.attgenerated <> '' as generated,
       array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = a.atttypid) as labels,
       (select pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
        where d.adrelid = c.oid and d.adnum = a.attnum) as value,
       (select coalesce(jsonb_object_agg(quote_ident(k.conname), pg_get_constraintdef(k.oid)), '{}')
        from pg_catalog.pg_constraint k
        where k.conrelid = c.oid and k.contype = 'c' and a.attnum = any (k.conkey)) as checks,
       current_setting('timezone') as zone, c.relkind in ('r', 'p') as is_of_table
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relname = any (%s)
order by 1, 2
"""
_CHECKS: Final = """
select c.relname::text as table, a.attname::text as column, k.conname::text as name,
       format_type(a.atttypid, a.atttypmod) as type, pg_get_expr(k.conbin, k.conrelid) as rule,
       case when k.convalidated then '' else ' not valid' end as unproved
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid and c.relnamespace = 'public'::regnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and k.conkey = array[a.attnum]
where k.contype = 'c' and k.conname <> c.relname || '_' || a.attname
order by 1, 2
"""
_REFUSED_VALUES: Final = """
select v from unnest(%s::text[]) v cross join lateral (select v::{} as {}) t where ({}) is false
"""
_MISSING_OF_SUPABASE: Final = """
select r from unnest(array['anon', 'authenticated', 'service_role']) r
where not exists (select from pg_catalog.pg_roles where rolname = r)
union all select 'auth.uid()' where to_regprocedure('auth.uid()') is null
"""
# Policies of a role reach its members, too: anon and authenticated are a Supabase project's tenants.
_WIDE_POLICIES: Final = """
select p.polname::text, p.polcmd::text
from pg_catalog.pg_policy p
where p.polrelid = to_regclass('public.sms_retry_queue') and p.polpermissive and p.polcmd <> 'r'
  and p.polname <> 'Owners queue retries of their texts'
  and (0 = any (p.polroles) or exists (
      select from unnest(p.polroles) r (id) join pg_catalog.pg_roles t on t.rolname in ('anon', 'authenticated')
      where pg_catalog.pg_has_role(t.oid, r.id, 'usage')))
order by 1
"""
# The owner and whoever may pass row level security by are not shut out. Tenants are, and have policies of ours.
_SHUT_OUT: Final = """
select r.rolname::text
from pg_catalog.pg_class c
join pg_catalog.pg_roles r on not (r.rolsuper or r.rolbypassrls or pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'))
where c.oid = to_regclass('public.sms_retry_queue') and not c.relrowsecurity
  and r.rolname not in ('anon', 'authenticated') and r.rolname !~ '^pg_'
  and pg_catalog.has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
  and not exists (
      select from pg_catalog.pg_policy p cross join unnest(p.polroles) g (id)
      where p.polrelid = c.oid and p.polpermissive and g.id <> 0 and pg_catalog.pg_has_role(r.oid, g.id, 'usage'))
order by 1
"""
_INDEX: Final = re.compile(
    r"^(create (?:unique )?index if not exists (\w+)\s+on public\.(\w+)[^;]*);", re.M
)
_LARGE: Final = 16 * 2**20
"""Bytes of a table of which an index is built in some tenths of a second."""
_LACKS_AN_INDEX: Final = """
select c.oid from pg_catalog.pg_class c
where c.oid = to_regclass(%s) and c.relkind = 'r' and to_regclass(%s) is null and pg_relation_size(c.oid) > %s
"""
_COMMANDS: Final = {
    "a": "add rows of any kind",
    "w": "change rows",
    "d": "delete rows",
    "*": "add, change and delete rows",
}
_GONE: Final = (
    "is gone, and smsretry needs it. If the application renamed it: alter table … rename, to this name. If it was "
    "dropped: restore it. What else differs is told once it is back"
)
_HOURS: Final = int(LIFE.total_seconds() // 3600)
_ROWS: Final = {
    "sms_retry_queue": (
        "are for a text that another row is to send as well",
        "status in ('pending', 'processing') and send_log_id is not null and id not in (select "
        "distinct on (send_log_id) id from public.sms_retry_queue where status in ('pending', 'processing') "
        "order by send_log_id, status desc, scheduled_for, created_at, id)",
    ),
    "scheduled_sends": (
        f"are `scheduled` though their time has passed, and would become texts now, as none does after {_HOURS} hours. "
        "If they are to go out, set scheduled_for to a time that comes; otherwise",
        f"status = 'scheduled' and scheduled_for between now() - interval '{_HOURS} hours' and now()",
    ),
}
"""Rows by table that would be texts which nobody expects: what they are, and their condition."""


def refuse_what_does_not_fit(connection: Connection) -> None:
    """Name what does not fit: columns or, if those fit, values; names and policies; and if all of these fit, rows.

    Policies and rows are looked at before the first migration, and not later.

    Raises:
        MigrationError: something does not fit, or the database is no Supabase project's.
    """
    missing = [name for (name,) in connection.execute(_MISSING_OF_SUPABASE)]
    if missing:
        raise MigrationError(
            f"This is no database of a Supabase project: it has no {', no '.join(missing)}. Check the host and the "
            "name in --db-url; Supabase's own is called postgres. Nothing was changed."
        )
    [(adopts,)] = connection.execute(
        "select to_regnamespace('smsretry') is null"
    ).fetchall()
    with connection.transaction(force_rollback=True):
        # Without a path, PostgreSQL writes names with their schema.
        connection.execute("set local search_path = ''")
        misfits = list(_column_misfits(connection))
        if not misfits:
            misfits += _value_misfits(connection)
    misfits += clashes(read_checksums(connection), adopts=adopts)
    if adopts:
        misfits += _policy_misfits(connection)
    if adopts and not misfits:
        misfits += _row_misfits(connection)
    if not misfits:
        misfits += _index_misfits(connection)
    if misfits:
        raise MigrationError(
            "Some of what is in this database does not fit:\n"
            + "".join(f"  {misfit.where} {misfit.difference}\n" for misfit in misfits)
            + "Change this first, together with whatever of the application relies on it; then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def missing_parts(checksums: Checksums) -> Iterator[Finding]:
    """The application's tables and columns that smsretry needs and that were dropped or renamed since the migration."""
    for table, columns in COLUMNS.items():
        names = [f"table public.{table}"]
        if names[0] in checksums:
            names = [f"column public.{table}.{column}" for column in columns]
        for name in names:
            if name not in checksums:
                yield Finding(subject=name, ok=False, advice=_GONE)


def _column_misfits(connection: Connection) -> Iterator[Misfit]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        columns: list[Any] = cursor.execute(
            _EXISTING_COLUMNS, [list(COLUMNS)]
        ).fetchall()
    for table in sorted({column.table for column in columns}):
        existing_names = {column.name for column in columns if column.table == table}
        required_names = _REQUIRED.get(table, COLUMNS[table].keys())
        for name in sorted(required_names - existing_names):
            yield Misfit(
                f"{table}.{name}",
                f"is missing: alter table public.{table} add column {name} {_sql_type(table, name)}",
            )
    for table in sorted({column.table for column in columns if not column.is_of_table}):
        yield Misfit(table, "is a view or the like, and smsretry needs the table")
    for column in columns:
        where = f"{column.table}.{column.name}"
        if not _fits(column):
            yield Misfit(where, _describe_type(column))
        if (
            column.table == "sms_retry_queue"
            and column.name in _FILLED
            and not column.filled
        ):
            fill = f"{_FILLED[column.name]} where {column.name} is null"
            filled = f"alter table public.{column.table} alter column {column.name} set not null"
            yield Misfit(where, f"must not be null: {fill}; {filled}")
        if column.filled and column.name in _EMPTIED.get(column.table, ()):
            emptied = f"alter table public.{column.table} alter column {column.name} drop not null"
            yield Misfit(where, f"must be allowed to be null: {emptied}")


def _sql_type(table: str, column: str) -> str:
    type_ = COLUMNS[table][column]
    return "text" if type_ in (READ, LABEL) else type_


def _fits(column: Any) -> bool:
    expected_type = COLUMNS[column.table].get(column.name, column.type)
    if expected_type == LABEL and "sms" in column.labels:
        return True
    if expected_type in (READ, LABEL):
        return _TEXTS.fullmatch(column.type) is not None
    accepted_types = [expected_type]
    # A length limit may refuse a long error. Functions return the queue's columns, so their types must be exact.
    if expected_type == "text" and column.table != "sms_retry_queue":
        accepted_types.append("character varying")
    return column.type in accepted_types


def _describe_type(column: Any) -> str:
    """The column's type, and the statement that changes it.

    If something is in that statement's way, PostgreSQL names it when the statement is run.
    """
    sql_type = _sql_type(column.table, column.name)
    alter = f"alter column {column.name}"
    is_clock_time = column.type.endswith("without time zone")
    conversion = " at time zone 'UTC'" if is_clock_time else f"::{sql_type}"
    change = f"{alter} type {sql_type}"
    if not column.generated:
        change += f" using {column.name}{conversion}"
        # A default becomes text by itself.
        if column.value and sql_type != "text":
            if "AT TIME ZONE" not in column.value:
                # It is in the session's zone, as `now()` is.
                conversion = f"::{sql_type}"
            value = f"{alter} set default ({column.value}){conversion}"
            change = f"{alter} drop default, {change}, {value}"
    kind = "an enum" if column.labels else column.type
    if is_clock_time and column.zone not in _UTC:
        kind += f", here taken for UTC (if it has {column.zone}'s time, as now() writes it, say '{column.zone}')"
    if column.labels:
        # A check of an enum stands in the way, and PostgreSQL does not name it.
        drops = [f"drop constraint {name}" for name in column.checks]
        rules = [
            f"add constraint {name} {rule.replace(f'::{column.type}', '::text')}"
            for name, rule in column.checks.items()
        ]
        change = ", ".join([*drops, change, *rules])
    if kind.startswith("character varying("):
        kind += ", too short for some of what smsretry writes"
    return (
        f"is {kind}, and must be {sql_type}: alter table public.{column.table} {change}"
    )


def _value_misfits(connection: Connection) -> Iterator[Misfit]:
    """The checks of one column that refuse a value. PostgreSQL itself judges."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        checks: list[Any] = cursor.execute(_CHECKS).fetchall()
    for check in checks:
        values = _VALUES.get((check.table, check.column))
        if values is None:
            continue
        query = sql.SQL(_REFUSED_VALUES).format(
            sql.SQL(check.type), sql.Identifier(check.column), sql.SQL(check.rule)
        )
        try:
            with connection.transaction():
                refused = [
                    value for (value,) in connection.execute(query, [list(values)])
                ]
        except psycopg.Error:
            # A function of the application's raises. The rehearsal tries it with a whole row.
            continue
        if refused:
            more = ", ".join(f"'{value}'" for value in refused)
            rule = f", add constraint {check.name} check ({check.rule} or {check.column} in ({more})){check.unproved}"
            if _ANY_SOURCE in values:
                rule = ""  # a list of values would refuse people's own words
            change = (
                f"alter table public.{check.table} drop constraint {check.name}{rule}"
            )
            yield Misfit(
                f"{check.table}.{check.column}",
                f"may not be {' or '.join(refused)}: {change}",
            )


def _policy_misfits(connection: Connection) -> Iterator[Misfit]:
    """Policies that let a tenant do more than read its rows and add pending ones, which smsretry's policies allow.

    And the roles that need one as the migration switches row level security on.
    """
    for (role,) in connection.execute(_SHUT_OUT):
        name = sql.Identifier(role).as_string()
        yield Misfit(
            f"role {name}",
            "would be shut out from sms_retry_queue by row level security, which is switched on: create policy "
            f"{name} on public.sms_retry_queue to {name} using (true)",
        )
    for name, command in connection.execute(_WIDE_POLICIES):
        policy = sql.Identifier(name).as_string()
        difference = f"lets tenants {_COMMANDS[command]}"
        if command == "*":
            difference += (
                " (it lets them read, too: to keep that, make it again `for select`)"
            )
        yield Misfit(
            f"policy {policy} of sms_retry_queue",
            f"{difference}: drop policy {policy} on public.sms_retry_queue",
        )


def _index_misfits(connection: Connection) -> Iterator[Misfit]:
    """Large tables of the application that lack an index of ours, which would keep them locked while it is built."""
    schema = "".join(file.text for file in schema_files())
    for statement, name, table in _INDEX.findall(schema):
        is_of_ours = any(
            f"column public.{table}.{word}" in recorded_checksums()
            for word in re.findall(r"\w+", statement)
        )
        if table not in COLUMNS or is_of_ours:
            continue
        names = [f"public.{table}", f"public.{name}"]
        if connection.execute(_LACKS_AN_INDEX, [*names, _LARGE]).fetchone():
            change = " ".join(statement.split())
            change = change.replace("index if not exists", "index concurrently", 1)
            yield Misfit(
                f"table {table}",
                f"is large, and would be locked while an index is built: {change}",
            )


def _row_misfits(connection: Connection) -> Iterator[Misfit]:
    for table, (description, condition) in _ROWS.items():
        if not exists(connection, f"public.{table}"):
            continue
        rows = sql.SQL(table), sql.SQL(condition)
        query = sql.SQL("select count(*) from public.{} where {}")
        [(count,)] = connection.execute(query.format(*rows)).fetchall()
        if count:
            cancel = sql.SQL("update public.{} set status = 'cancelled' where {}")
            yield Misfit(
                f"rows of {table} ({count})",
                f"{description}: {cancel.format(*rows).as_string()}",
            )
