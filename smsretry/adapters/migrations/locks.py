"""The locks of a migration. It takes all of them at the start, so that nobody waits behind one that waits itself."""

from typing import Final

import psycopg
from psycopg import sql

from smsretry.adapters.migrations.connecting import Connection

TABLES: Final = (
    "scheduled_sends",
    "sms_retry_queue",
    "sms_send_attempts",
    "customers",
    "businesses",
    "send_logs",
)
"""The tables, in the order in which a claim and a begin lock them."""
_READ_ON: Final = ("customers", "send_logs")
"""Large tables, which get nothing but a trigger and indexes: readers go on."""
_MOST_SECONDS: Final = 3
"""How long a migration waits for a lock."""
_BLOCKERS: Final = """
select l.pid, string_agg(distinct c.relname::text, ', '),
       coalesce(a.state, 'state unknown'), coalesce(nullif(a.application_name, ''), 'no application name'),
       round(extract(epoch from clock_timestamp() - a.xact_start))::integer
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation and c.relnamespace = 'public'::regnamespace
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where c.relname = any (%s) and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
group by l.pid, a.state, a.application_name, a.xact_start
order by a.xact_start limit 5
"""
"""The sessions that hold a lock on one of these tables, the oldest ones."""


def limit_lock_wait(connection: Connection) -> None:
    """Limit this transaction's wait for a lock to a few seconds, unless its connection sets another limit."""
    connection.execute(
        """select set_config('lock_timeout', case current_setting('lock_timeout') when '0' then %s
                                             else current_setting('lock_timeout') end, true)""",
        [f"{_MOST_SECONDS}s"],
    )


def lock_tables(connection: Connection) -> None:
    """Lock those of the tables that exist.

    Everybody waits behind the locks that it holds already, so that all of them together may take no longer than one.

    Raises:
        psycopg.errors.LockNotAvailable: they took longer than this transaction waits for a lock.
    """
    tables = connection.execute(
        """select t.name from unnest(%s::text[]) with ordinality as t (name, place)
           join pg_catalog.pg_class c on c.relname = t.name and c.relnamespace = 'public'::regnamespace
           where c.relkind in ('r', 'p') order by t.place""",
        [list(TABLES)],
    ).fetchall()
    if not tables:
        return
    # lock_timeout bounds each lock alone; statement_timeout bounds all of them together.
    [(statement_timeout, _)] = connection.execute(
        """select current_setting('statement_timeout'),
                  set_config('statement_timeout', current_setting('lock_timeout'), true)"""
    ).fetchall()
    locks = "; ".join(
        f"lock table public.{name} in "
        f"{'share row' if name in _READ_ON else 'access'} exclusive mode"
        for (name,) in tables
    )
    try:
        connection.execute(sql.SQL(f"do $$ begin {locks}; end $$"))
    except psycopg.errors.QueryCanceled as error:
        raise psycopg.errors.LockNotAvailable from error
    connection.execute(
        "select set_config('statement_timeout', %s, true)", [statement_timeout]
    )


def describe_blockers(connection: Connection) -> str:
    """Sentences that say who holds these tables now, each followed by a space. Empty if nobody does."""
    return "".join(
        f"Session {pid} ({application}, {state}, open for {seconds} s) holds {tables}. "
        for pid, tables, state, application, seconds in connection.execute(
            _BLOCKERS, [list(TABLES)]
        )
    )
