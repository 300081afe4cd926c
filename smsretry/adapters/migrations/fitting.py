"""Refuse to migrate what does not fit, before anything is changed: each thing with the statement that makes it fit.

A migration drops, replaces and changes nothing that is the application's. Its owner does, and knows why. What
PostgreSQL or the rehearsal after a migration names by itself is not looked for: a value that a column needs, a view in
place of a table, a trigger that refuses.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from smsretry import data
from smsretry.adapters.migrations.checksums import Checksums, clashes, read_checksums
from smsretry.adapters.migrations.connecting import Connection
from smsretry.errors import MigrationError
from smsretry.retry.before import LIFE
from smsretry.retry.models import Finding

READ: Final = "read"
"""Text that smsretry only reads: any text type will do."""
LABEL: Final = "label"
"""The same, or an enum."""


def _columns(**names: str) -> dict[str, str]:
    return {
        name: type_.replace("_", " ")
        for type_, column_names in names.items()
        for name in column_names.split()
    }


COLUMNS: Final[Mapping[str, dict[str, str]]] = {
    "businesses": _columns(uuid="id user_id", read="timezone"),
    "customers": _columns(
        uuid="id business_id",
        read="phone timezone",
        text="phone_status sms_consent_status sms_consent_source",
        timestamp_with_time_zone="sms_consent_at",
    ),
    "send_logs": _columns(
        uuid="id business_id customer_id",
        read="subject",
        label="channel",
        text="status error_message",
        jsonb="provider_message_id",
        timestamp_with_time_zone="created_at updated_at",
    ),
    "scheduled_sends": _columns(
        uuid="id business_id customer_id send_log_id created_by",
        read="body",
        text="status message_class",
        timestamp_with_time_zone="scheduled_for not_after created_at updated_at",
    ),
    "sms_retry_queue": _columns(
        uuid="id business_id send_log_id customer_id",
        text="status last_error reason",
        integer="attempt_count max_attempts",
        timestamp_with_time_zone="scheduled_for last_attempted_at created_at updated_at",
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
"""Columns of the queue in which a null would hide its row from the claim, or break the claim's answer for every row;
and what ends such a null.
"""
_ANY_SOURCE: Final = "whatever people give as a source"
"""A source of consent as smsretry keeps it: people choose its words, so that no list of sources is complete."""
VALUES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("customers", "phone_status"): tuple(
        sorted({row["phone_status"] for row in data.table("twilio_errors")} - {""})
    ),
    ("customers", "sms_consent_status"): ("opted_in", "opted_out"),
    ("customers", "sms_consent_source"): (_ANY_SOURCE,),
    ("send_logs", "channel"): ("sms",),
    ("send_logs", "status"): ("sent", "failed"),
    ("scheduled_sends", "message_class"): ("marketing", "transactional"),
    ("scheduled_sends", "status"): ("scheduled", "queued", "cancelled", "failed"),
    ("sms_retry_queue", "status"): (
        "pending",
        "processing",
        "completed",
        "failed",
        "cancelled",
    ),
    ("sms_retry_queue", "reason"): ("quiet_hours", "twilio_error", "rate_limit"),
}
"""Values that smsretry writes into a column. A CHECK must allow them."""
_TEXTS: Final = re.compile(
    r'(text|citext|"?extensions"?\.citext|character varying(\(\d+\))?)'
)
_HAS: Final = """
select c.relname::text as table, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
       a.attnotnull as filled, a.attgenerated <> '' as generated,
       array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = a.atttypid) as labels,
       (select pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
        where d.adrelid = c.oid and d.adnum = a.attnum) as value
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname = any (%s)
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
_ALLOWED: Final = "select v from unnest(%s::text[]) v cross join lateral (select v::{} as {}) t where ({}) is false"
_LACKS: Final = """
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
_MAY: Final = {
    "a": "add rows of any kind",
    "w": "change rows",
    "d": "delete rows",
    "*": "add, change and delete rows",
}
_MISSING: Final = (
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
"""Rows that would be texts which nobody expects: what they are, and which. Their statement cancels them."""


class Misfit(NamedTuple):
    """Something that does not fit, and what to do about it."""

    where: str
    difference: str


def refuse_what_does_not_fit(connection: Connection) -> None:
    """Name all that does not fit in what exists: columns, values, names and policies; and if those fit, rows.

    Raises:
        MigrationError: something does not fit, or the database is no Supabase project's.
    """
    if lacks := [name for (name,) in connection.execute(_LACKS)]:
        raise MigrationError(
            f"This is no database of a Supabase project: it has no {', no '.join(lacks)}. Check the host and the name "
            "in --db-url; Supabase's own is called postgres. Nothing was changed."
        )
    adopts = connection.execute(
        "select to_regnamespace('smsretry') is null"
    ).fetchone() == (True,)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "set local search_path = ''"
        )  # so that names come with their schema
        misfits = list(_columns_that_differ(connection))
        misfits = misfits or list(_values_that_are_refused(connection))
    misfits += [
        Misfit(*clash) for clash in clashes(read_checksums(connection), adopts=adopts)
    ]
    if adopts:
        misfits += _policies(connection)
    if adopts and not misfits:
        misfits += _rows(connection)
    if misfits:
        raise MigrationError(
            "Some of what is in this database does not fit:\n"
            + "".join(f"  {misfit.where} {misfit.difference}\n" for misfit in misfits)
            + "Change this first, together with whatever of the application relies on it; then run `smsretry migrate` "
            "again. Nothing was changed."
        )


def missing_parts(checksums: Checksums) -> Iterator[Finding]:
    """What smsretry needs of the application's tables, and was dropped or renamed since the migration."""
    for table, columns in COLUMNS.items():
        whole = f"table public.{table}"
        parts = [f"column public.{table}.{name}" for name in columns]
        for part in parts if whole in checksums else [whole]:
            if part not in checksums:
                yield Finding(subject=part, ok=False, advice=_MISSING)


def _columns_that_differ(connection: Connection) -> Iterator[Misfit]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        has: list[Any] = cursor.execute(_HAS, [list(COLUMNS)]).fetchall()
    for table in sorted({column.table for column in has}):
        there = {column.name for column in has if column.table == table}
        required = _REQUIRED.get(table, COLUMNS[table].keys())
        for name in sorted(required - there):
            yield Misfit(
                f"{table}.{name}",
                f"is missing: alter table public.{table} add column {name} {_plain(table, name)}",
            )
    for column in has:
        where = f"{column.table}.{column.name}"
        if not _fits(column):
            yield Misfit(where, _retyped(column))
        if (
            column.table == "sms_retry_queue"
            and column.name in _FILLED
            and not column.filled
        ):
            fill = f"{_FILLED[column.name]} where {column.name} is null"
            filled = f"alter table public.{column.table} alter column {column.name} set not null"
            yield Misfit(where, f"must not be null: {fill}; {filled}")


def _plain(table: str, column: str) -> str:
    type_ = COLUMNS[table][column]
    return "text" if type_ in (READ, LABEL) else type_


def _fits(column: Any) -> bool:
    expected_type = COLUMNS[column.table].get(column.name, column.type)
    if expected_type in (READ, LABEL):
        return (expected_type == LABEL and "sms" in column.labels) or bool(
            _TEXTS.fullmatch(column.type)
        )
    # A length limit may refuse a long error. Functions return the queue's columns, so their types must be exact.
    varying = (
        expected_type == "text"
        and column.type == "character varying"
        and column.table != "sms_retry_queue"
    )
    return bool(column.type == expected_type or varying)


def _retyped(column: Any) -> str:
    """Its type, and the statement that changes it. What is in that statement's way PostgreSQL names when it is run."""
    plain, alter = _plain(column.table, column.name), f"alter column {column.name}"
    change = f"{alter} type {plain}"
    if not column.generated:
        change += f" using {column.name}::{plain}"
        if column.value and plain != "text":  # to a text PostgreSQL casts it by itself
            value = f"{alter} set default ({column.value})::{plain}"
            change = f"{alter} drop default, {change}, {value}"
    kind = "an enum" if column.labels else column.type
    if kind.startswith("character varying("):
        kind += ", too short for some of what smsretry writes"
    return f"is {kind}, and must be {plain}: alter table public.{column.table} {change}"


def _values_that_are_refused(connection: Connection) -> Iterator[Misfit]:
    """PostgreSQL itself judges the values by each check of one column."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        checks: list[Any] = cursor.execute(_CHECKS).fetchall()
    for check in (check for check in checks if (check.table, check.column) in VALUES):
        query = sql.SQL(_ALLOWED).format(
            sql.SQL(check.type), sql.Identifier(check.column), sql.SQL(check.rule)
        )
        try:
            with connection.transaction():
                refused = [
                    value
                    for (value,) in connection.execute(
                        query, [list(VALUES[check.table, check.column])]
                    )
                ]
        except psycopg.Error:  # a function of the application's raises; the rehearsal tries it with a whole row
            continue
        if refused:
            values = ", ".join(f"'{value}'" for value in refused)
            rule = f", add constraint {check.name} check ({check.rule} or {check.column} in ({values})){check.unproved}"
            if refused == [_ANY_SOURCE]:
                rule = ""
            change = (
                f"alter table public.{check.table} drop constraint {check.name}{rule}"
            )
            yield Misfit(
                f"{check.table}.{check.column}",
                f"may not be {' or '.join(refused)}: {change}",
            )


def _policies(connection: Connection) -> Iterator[Misfit]:
    """A tenant reads its own rows and adds pending ones. What else a policy lets it do is not kept in order by us."""
    for name, command in connection.execute(_WIDE_POLICIES):
        policy = sql.Identifier(name).as_string()
        reads = (
            " (it lets them read, too: to keep that, make it again `for select`)"
            if command == "*"
            else ""
        )
        drop = f"drop policy {policy} on public.sms_retry_queue"
        yield Misfit(
            f"policy {policy} of sms_retry_queue",
            f"lets tenants {_MAY[command]}{reads}: {drop}",
        )


def _rows(connection: Connection) -> Iterator[Misfit]:
    for table, (are, condition) in _ROWS.items():
        if connection.execute(
            "select to_regclass(%s)", [f"public.{table}"]
        ).fetchone() == (None,):
            continue
        names = sql.SQL(table), sql.SQL(condition)
        [(rows,)] = connection.execute(
            sql.SQL("select count(*) from public.{} where {}").format(*names)
        ).fetchall()
        if rows:
            cancel = (
                sql.SQL("update public.{} set status = 'cancelled' where {}")
                .format(*names)
                .as_string()
            )
            yield Misfit(f"rows of {table} ({rows})", f"{are}: {cancel}")
