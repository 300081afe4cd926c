"""What can be spoilt, to see that the checks notice: the worker's profile, or a function or a row of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smsretry.local.stack import Stack
from smsretry.retry.profile import DEFAULT, Profile

_TRIGGER: Final = """
    create function spoilt.{name}() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create trigger {name} before update on {table} for each row execute function spoilt.{name}();
"""


@dataclass(frozen=True, slots=True)
class Spoil:
    """One thing that is wrong."""

    profile: Profile = DEFAULT
    sql: str = ""
    replaces: tuple[str, ...] = ()
    """Functions that `sql` replaces."""


def _trigger(name: str, body: str, table: str = "sms_retry_queue") -> str:
    return _TRIGGER.format(name=name, body=body, table=table)


SPOILS: Final = {
    "nothing": Spoil(),
    "federal hours alone": Spoil(Profile(quiet_hours_rules="federal")),
    "no daily cap": Spoil(
        sql="""create or replace function
                   smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
               returns timestamptz language sql as 'select null::timestamptz'""",
        replaces=("smsretry.cap_reached_at(uuid, text, integer, timestamptz)",),
    ),
    "three hours until everybody's turn": Spoil(Profile(opening_spread=timedelta(hours=3))),
    "no guard at closing": Spoil(Profile(closing_guard=timedelta(minutes=-30))),
    "opt-outs are forgotten": Spoil(
        sql=_trigger("deaf", "new.sms_consent_status := old.sms_consent_status;", "customers")
    ),
    "reasons are forgotten": Spoil(
        sql=_trigger("mute", "new.why := 'no reason'; if new.status = 'failed' then new.last_error := null; end if;")
    ),
    "sent texts are queued again, or called failed": Spoil(
        sql=_trigger(
            "again",
            """if new.status = 'completed' then
                   new.status := case when new.id::text < '8' then 'pending' else 'failed' end;
                   new.scheduled_for := smsretry.clock() + interval '1 hour';
                   new.last_error := coalesce(new.last_error, 'spoilt');
               end if;""",
        )
        + """create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
             returns boolean language sql immutable as 'select false';""",
        replaces=("smsretry.is_sent(jsonb, text)",),
    ),
}


@contextmanager
def spoilt(stack: Stack, spoil: Spoil) -> Iterator[None]:
    """The stack with this wrong; afterwards it is as it was."""
    with stack.connect() as connection:
        originals = [
            connection.execute("select pg_get_functiondef(%s::regprocedure) as sql", [name]).fetchone()
            for name in spoil.replaces
        ]
        connection.execute("create schema spoilt")
        try:
            if spoil.sql:
                connection.execute(spoil.sql.encode())
            yield
        finally:
            connection.execute("drop schema spoilt cascade")
            for original in originals:
                if original:
                    connection.execute(original["sql"].encode())
