"""Scheduled sends that nobody can change: a trigger of the application's forbids it, or they break a later rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

Connection = psycopg.Connection[dict[str, Any]]

STUCK: Final = "Stuck"
"""The body by which they are known."""
_MEDDLE: Final = """
create function public.meddle() returns trigger language plpgsql as $$
begin
    if old.body = 'Stuck' then {} end if;
    return new;
end $$;
create trigger a_meddle before update on scheduled_sends for each row execute function public.meddle();
"""
_AT_THE_END: Final = """
create function public.meddle() returns trigger language plpgsql as $$
begin
    if old.body = 'Stuck' then raise exception 'not like that'; end if;
    return null;
end $$;
create constraint trigger a_meddle after update on scheduled_sends deferrable initially deferred
    for each row execute function public.meddle();
"""
_BEFORE_A_RULE: Final = """
alter table scheduled_sends drop constraint scheduled_sends_{name};
update scheduled_sends set {wrong} where body = 'Stuck';
alter table scheduled_sends add constraint scheduled_sends_{name} check ({rule}) not valid;
"""
_CENTURY: Final = "between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'"
HARMS: Final = {
    "a trigger raises": _MEDDLE.format("raise exception 'not like that';"),
    "a trigger swallows the update": _MEDDLE.format("return null;"),
    "a trigger undoes the update": _MEDDLE.format("return old;"),
    "a trigger raises at the end of the transaction": _AT_THE_END,
    "a class of the application's own": _BEFORE_A_RULE.format(
        name="message_class", wrong="message_class = 'urgent'", rule="message_class in ('marketing', 'transactional')"
    ),
    "due before there were calendars": _BEFORE_A_RULE.format(
        name="instants",
        wrong="scheduled_for = '-infinity'",
        rule=f"status not in ('scheduled', 'queued') or scheduled_for {_CENTURY} and not_after {_CENTURY}",
    ),
}
NEVER_ENDS: Final = HARMS["due before there were calendars"].replace(
    "scheduled_for = '-infinity'", "not_after = 'infinity'"
)
"""Of use for ever, which a rule refuses."""
MENDED: Final = "drop function if exists public.meddle cascade"


_RULES: Final = """
select conname as name, pg_get_constraintdef(oid) as it from pg_constraint
where conrelid = 'scheduled_sends'::regclass
  and conname in ('scheduled_sends_message_class', 'scheduled_sends_instants')
"""


@contextmanager
def planted(connection: Connection, harm: str) -> Iterator[None]:
    """Nobody can change those that are there. At the end they are deleted, and the table is as it was."""
    rules = connection.execute(_RULES).fetchall()
    connection.execute(harm.encode())
    try:
        yield
    finally:
        connection.execute(MENDED)
        connection.execute("delete from scheduled_sends")
        for rule in rules:  # in their own words: doctor compares them with a fresh installation's
            connection.execute(f"alter table scheduled_sends drop constraint {rule['name']}".encode())
            connection.execute(f"alter table scheduled_sends add constraint {rule['name']} {rule['it']}".encode())
