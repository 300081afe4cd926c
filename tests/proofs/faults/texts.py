"""The texts of a run: who gets them, on which clocks, and what the checks may expect of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import psycopg

from smsretry.local.stack import Stack
from tests.proofs.faults.orders import dice, pick

_NAMESPACE: Final = UUID("6f1c1d0e-52a1-4f8e-9d57-2f8a1d0c7b11")
_US: Final = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix",
    "America/Los_Angeles", "America/Anchorage", "America/Adak", "Pacific/Honolulu",
)  # fmt: skip
_ZONES: Final[tuple[tuple[str | None, tuple[str, ...]], ...]] = (
    *((name, (name,)) for name in _US),
    (None, ()),
    ("Mars/Olympus", ()),
)
"""What stands in the customer's row, and the clocks that count; none: the area code's and the business's."""
_AREAS: Final = {
    "212": "America/New_York", "312": "America/Chicago", "303": "America/Denver", "602": "America/Phoenix",
    "213": "America/Los_Angeles", "808": "Pacific/Honolulu",
}  # fmt: skip

Kind = Literal["ordinary", "opted_out", "unknown_consent", "bad_number", "no_number"]
_ORDINARY: Final[tuple[Kind, ...]] = ("ordinary",) * 45
_KINDS: Final[tuple[Kind, ...]] = (
    *_ORDINARY, "opted_out", "opted_out", "unknown_consent", "bad_number", "no_number",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class PlannedText:
    """One text, as the harness meant it."""

    number: int
    kind: Kind
    retry_id: UUID
    send_log_id: UUID
    customer_id: UUID
    business_id: UUID
    phone: str | None
    body: str
    zone: str | None
    clocks: tuple[str, ...]
    """IANA names; a text may go out when it is day on all of them."""
    due_at: datetime
    opted_out_at: datetime | None = None
    """No text may be accepted after it."""


def plan(
    count: int, *, seed: str, start: datetime, spread: timedelta, only_zone: str | None = None, after: int = 0
) -> list[PlannedText]:
    """Texts due within `spread` from the start.

    Args:
        only_zone: ordinary texts in this zone, and nothing else.
        after: how many were planned before.
    """
    businesses: list[tuple[UUID, str | None]] = [
        (uuid5(_NAMESPACE, f"{seed}/business/{n}"), (*_US, None, "EST")[n % 10]) for n in range(20)
    ]
    texts = []
    for n in range(after, after + count):
        business_id, business_zone = businesses[n % len(businesses)]
        kind: Kind = "ordinary" if only_zone else pick(_KINDS, seed, "kind", n)
        zone, clocks = (only_zone, (only_zone,)) if only_zone else pick(_ZONES, seed, "zone", n)
        area, line = list(_AREAS)[n // 10_000 % len(_AREAS)], n % 10_000
        if not clocks:
            others = {"EST": "America/New_York"}.get(business_zone or "", business_zone)
            clocks = (_AREAS[area], others) if others else (_AREAS[area],)
        phone = {"bad_number": f"555-{line:04}", "no_number": None}.get(kind, f"+1{area}555{line:04}")
        texts.append(
            PlannedText(
                number=n,
                kind=kind,
                retry_id=uuid5(_NAMESPACE, f"{seed}/retry/{n}"),
                send_log_id=uuid5(_NAMESPACE, f"{seed}/log/{n}"),
                customer_id=uuid5(_NAMESPACE, f"{seed}/customer/{n}"),
                business_id=business_id,
                phone=phone,
                body=f"Text {n:05} of run {seed}",
                zone=zone,
                clocks=tuple(clocks),
                due_at=start + spread * dice(seed, "due", n),
            )
        )
    return texts


def business_zone(text: PlannedText) -> str | None:
    """The zone of the text's business."""
    return (*_US, None, "EST")[text.number % 20 % 10]


def insert(stack: Stack, texts: Sequence[PlannedText], *, queued: bool = True) -> None:
    """Write what the application would have written; with `queued` also the queue rows, each due at its time."""
    with stack.connect() as connection, connection.transaction(), connection.cursor() as cursor:
        _insert_people(cursor, texts)
        cursor.executemany(
            """insert into send_logs (id, business_id, customer_id, channel, subject)
               values (%s, %s, %s, 'sms', %s)""",
            [(t.send_log_id, t.business_id, t.customer_id, t.body) for t in texts],
        )
        if queued:
            cursor.executemany(
                """insert into sms_retry_queue
                   (id, business_id, send_log_id, customer_id, scheduled_for, expires_at)
                   values (%s, %s, %s, %s, %s, %s)""",
                [
                    (t.retry_id, t.business_id, t.send_log_id, t.customer_id, t.due_at, t.due_at + timedelta(hours=48))
                    for t in texts
                ],
            )
        cursor.execute("analyze sms_retry_queue")


def insert_scheduled(stack: Stack, texts: Sequence[PlannedText]) -> None:
    """Write each as a scheduled send, whose id its send log will have."""
    with stack.connect() as connection, connection.transaction(), connection.cursor() as cursor:
        _insert_people(cursor, texts)
        cursor.executemany(
            """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for, not_after)
               values (%s, %s, %s, %s, %s, %s)""",
            [
                (t.send_log_id, t.business_id, t.customer_id, t.body, t.due_at, t.due_at + timedelta(hours=48))
                for t in texts
            ],
        )


def _insert_people(cursor: psycopg.Cursor[Any], texts: Sequence[PlannedText]) -> None:
    consent = {"opted_out": "opted_out", "unknown_consent": "unknown"}
    cursor.executemany(
        """insert into businesses (id, user_id, name, timezone) values (%s, gen_random_uuid(), 'Business', %s)
           on conflict (id) do nothing""",
        sorted({(text.business_id, business_zone(text)) for text in texts}, key=str),
    )
    cursor.executemany(
        "insert into customers (id, business_id, phone, timezone, sms_consent_status) values (%s, %s, %s, %s, %s)",
        [(t.customer_id, t.business_id, t.phone, t.zone, consent.get(t.kind, "opted_in")) for t in texts],
    )
