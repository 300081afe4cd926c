"""Scheduled sends that nobody can change: a trigger of the application's forbids it, or they break a later rule."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.records import Connection

STUCK = "Stuck"
"""The body by which they are known."""
_MEDDLE = """
create function public.meddle() returns trigger language plpgsql as $$
begin
    if old.body = 'Stuck' then {} end if;
    return new;
end $$;
create trigger a_meddle before update on scheduled_sends for each row execute function public.meddle();
"""
_AT_THE_END = """
create function public.meddle() returns trigger language plpgsql as $$
begin
    if old.body = 'Stuck' then raise exception 'not like that'; end if;
    return null;
end $$;
create constraint trigger a_meddle after update on scheduled_sends deferrable initially deferred
    for each row execute function public.meddle();
"""
_BEFORE_A_RULE = """
alter table scheduled_sends drop constraint scheduled_sends_instants;
update scheduled_sends set {} where body = 'Stuck';
alter table scheduled_sends add constraint scheduled_sends_instants check (
    status not in ('scheduled', 'queued') or isfinite(scheduled_for) and isfinite(not_after)) not valid;
"""
HARMS = {
    "a trigger raises": _MEDDLE.format("raise exception 'not like that';"),
    "a trigger swallows the update": _MEDDLE.format("return null;"),
    "a trigger raises at the end of the transaction": _AT_THE_END,
    "due before there were calendars": _BEFORE_A_RULE.format(
        "scheduled_for = '-infinity'"
    ),
}
MENDED = "drop function if exists public.meddle cascade"
_RULE = "select pg_get_constraintdef(oid) as it from pg_constraint where conname = 'scheduled_sends_instants'"


@contextmanager
def planted(connection: Connection, harm: str) -> Iterator[None]:
    """Nobody can change those that are there. At the end they are deleted, and the table is as it was."""
    [rule] = connection.execute(_RULE).fetchall()
    connection.execute(harm.encode())
    try:
        yield
    finally:
        connection.execute(MENDED)
        connection.execute("delete from scheduled_sends")
        connection.execute(
            "alter table scheduled_sends drop constraint scheduled_sends_instants"
        )
        # in its own words: doctor compares it with a fresh installation's
        connection.execute(
            f"alter table scheduled_sends add constraint scheduled_sends_instants {rule['it']}".encode()
        )
