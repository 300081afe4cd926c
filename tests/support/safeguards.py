"""Take a safeguard away, to see that a proof notices its absence."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from smsretry.local.stack import Stack

_NO_TRIGGER: Final = (
    "drop trigger if exists spoilt on public.sms_retry_queue; drop function if exists smsretry.spoilt()"
)
Patch = tuple[object, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguard:
    """One that can be taken away: in the database, in the package, or in both."""

    sql: str = ""
    replaces: str = ""
    """A function that `sql` replaces."""
    edits: tuple[tuple[str, str], ...] = ()
    """What is replaced in the text of that function, when `sql` does not give a whole one."""
    patches: tuple[Patch, ...] = ()


def _edited(function: str, edits: Iterable[tuple[str, str]]) -> str:
    for pattern, instead in edits:
        function, count = re.subn(pattern, instead, function)
        assert count == 1, f"{pattern} is not in the function: the switch takes nothing away"
    return function


@contextmanager
def without(stack: Stack, safeguard: Safeguard) -> Iterator[None]:
    """The stack and the package with this taken away; afterwards both are as they were."""
    with stack.connect() as connection:
        original = None
        if safeguard.replaces:
            query = "select pg_get_functiondef(%s::regproc) as sql"
            original = connection.execute(query, [safeguard.replaces]).fetchone()
        patches = [patch.object(owner, name, new) for owner, name, new in safeguard.patches]
        try:
            if safeguard.edits and original:
                connection.execute(_edited(original["sql"], safeguard.edits).encode())
            if safeguard.sql:
                connection.execute(safeguard.sql.encode())
            for one in patches:
                one.start()
            yield
        finally:
            for one in patches:
                one.stop()
            connection.execute(_NO_TRIGGER)
            if original:
                connection.execute(original["sql"].encode())
