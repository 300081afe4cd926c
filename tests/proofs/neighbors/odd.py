"""A tenant whose rows hold what no row should, and who tries to write what no tenant may."""

import json
from typing import Any, Final

import psycopg

from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Text, enqueue, write_people

_MEGABYTE: Final = 1_000_000


class Odd(Neighbor):
    """Writes whatever a tenant may write, and tries what it may not. Some of it no worker can read."""

    name = "odd values"
    _refused: Final[tuple[dict[str, Any], ...]] = (
        {"scheduled_for": "infinity"},
        {"scheduled_for": "-infinity"},
        {"scheduled_for": "0044-03-15 12:00+00 BC"},
        {"scheduled_for": "12000-01-01 00:00+00"},
        {"attempt_count": -1},
        {"max_attempts": 2_147_483_647},
        {"attempt_count": 9, "max_attempts": 3},
        {"status": "processing"},
        {"claim_no": 9_223_372_036_854_775_807},
        {"expires_at": "infinity"},
        {"reason": "because"},
    )
    _bodies: Final = (
        ("", "failed: Text is empty"),
        (None, "failed: Text is empty"),
        (" \n\t ", "failed: Text is empty"),
        ("x" * 4 * _MEGABYTE, "failed: Text is longer"),
        ("😀" * 801, "failed: Twilio 21617"),
        ("{{name}} \\u0000 %s {0} $$", "completed"),
    )
    _numbers: Final = ("", " ", "+", "５５５", "call me", "9" * _MEGABYTE, "+12125550123;ext=1", "+1212555012\n", None)
    _zones: Final = ("", "Mars/Olympus", "../../etc/passwd", "z" * _MEGABYTE, "UTC+25", "America/New_York\n", "-05:00")
    _rows: Final[tuple[tuple[dict[str, Any], str], ...]] = (
        ({"last_error": "e" * 2 * _MEGABYTE}, "completed"),
        ({"attempt_count": 10, "max_attempts": 10}, "failed: Gave up after 10 attempts"),
        ({"attempt_count": 0, "max_attempts": 1}, "completed"),
        ({"attempt_count": 9, "max_attempts": 10, "reason": "rate_limit"}, "completed"),
        ({"reason": None, "last_error": ""}, "completed"),
    )

    def __init__(self) -> None:
        self._later: list[tuple[int, Text]] = []
        self._bounds: str | None = None
        """The constraint that is taken away for a while."""

    def move_in(self, street: Street) -> None:
        texts = [
            *(self._text(street, end, body=body) for body, end in self._bodies),
            *(self._text(street, "(failed|held): .*(number|E.164)", phone=phone) for phone in self._numbers),
            *(self._text(street, "completed", zone=zone) for zone in self._zones),
            *(self._text(street, end, queued=row) for row, end in self._rows),
        ]
        for text in texts:
            if (
                text.phone in self._numbers
            ):  # if the old processor claims it, nobody can look for it under such a number
                text.may_end += ("in doubt: The worker died",)
        street.move_in(self.name, texts, zone="Nowhere/At_All")
        self._try_what_is_refused(street)
        # Somebody takes the bounds away.
        found = street.connection.execute(
            "select pg_get_constraintdef(oid) as bounds from pg_constraint where conname = 'sms_retry_queue_instants'"
        ).fetchone()
        assert found is not None
        self._bounds = found["bounds"]
        street.connection.execute("alter table sms_retry_queue drop constraint sms_retry_queue_instants")
        for n, instant in enumerate(("-infinity", "0044-03-15 12:00+00 BC")):
            unread = self._text(street, "failed: Row cannot be read: columns scheduled_for")
            unread.may_end += ("completed",)  # if the old processor claims it, recovery gives it another instant
            write_people(street.connection, unread)
            unread.queued["scheduled_for"] = instant
            self._later.append((1 + n * street.busy // 2, unread))

    def minute(self, street: Street, n: int) -> None:
        for due, text in self._later:
            if due == n:
                enqueue(street.connection, text)

    def move_out(self, street: Street) -> None:
        if not self._bounds:
            return
        street.connection.execute(
            "update sms_retry_queue set scheduled_for = now() where scheduled_for < '2000-01-01'; "
            f"alter table sms_retry_queue add constraint sms_retry_queue_instants {self._bounds}".encode()
        )

    def _text(self, street: Street, end: str, **more: Any) -> Text:
        n = len(street.texts)
        return street.text(self.name, n, n * 7 % street.busy, may_end=(end,), **more)

    def _try_what_is_refused(self, street: Street) -> None:
        """As a tenant: row level security, grants and constraints must say no to each."""
        plain = self._text(street, "completed")
        business_id = plain.business_id
        write_people(street.connection, plain)
        for row in (*self._refused, {}):
            claims = json.dumps({"sub": str(business_id), "role": "authenticated"})
            due = plain.queued
            try:
                with street.connection.transaction():
                    street.connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
                    street.connection.execute("set local role authenticated")
                    plain.queued = row
                    enqueue(street.connection, plain)
            except psycopg.Error as error:
                street.counts["inserts refused to a tenant"] += 1
                if not row:
                    street.bugs.append(f"A tenant may not queue a retry: {error}")
            else:
                if row:
                    street.bugs.append(f"A tenant may insert {sorted(row)}")
            finally:
                plain.queued = due
