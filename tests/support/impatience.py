"""A database whose API gives up a statement sooner than Supabase's 8 s, so that tests of what is slow are quick."""

from collections.abc import Iterator
from contextlib import contextmanager

from smsretry.local.stack import Stack

_LIMITED = """
select p.oid::regprocedure::text as name, split_part(setting, '=', 2) as was
from pg_proc p cross join unnest(p.proconfig) setting
where p.pronamespace = 'public'::regnamespace and setting like 'statement_timeout=%'
"""
_LET_GO = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'smsretry rpc'"


@contextmanager
def impatient(stack: Stack, *, seconds: float = 1.0) -> Iterator[None]:
    """The API's role gives up after so long, and so do the functions that have a time of their own."""
    with stack.connect() as connection:
        limited = connection.execute(_LIMITED).fetchall()
        try:
            connection.execute(
                f"alter role authenticator set statement_timeout = '{seconds}s'".encode()
            )
            for function in limited:
                connection.execute(
                    f"alter function {function['name']} set statement_timeout = '{seconds}s'".encode()
                )
            connection.execute(
                _LET_GO
            )  # a connection keeps what its role had when it was made
            yield
        finally:
            connection.execute("alter role authenticator set statement_timeout = '8s'")
            for function in limited:
                undone = f"alter function {function['name']} set statement_timeout = '{function['was']}'"
                connection.execute(undone.encode())
            connection.execute(_LET_GO)
