"""Businesses that change and lose their senders while their texts are under way or in doubt, and who sent for whom."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg

from smsretry.local.stack import Stack
from tests.proofs.faults.orders import dice, pick
from tests.support.platform import Address, OwnSender, Platform

_SHARE: Final = 0.35
"""Of the rounds, in which some business moves; one more in as many of them while workers run."""
_ON_THE_ENVIRONMENTS: Final = 5
"""One business of so many has no sender of its own at first."""
_ENVIRONMENTS: Final = (None,) * 4
"""How often the environment's sender is drawn, for each of the others once."""
_HAS_ONE: Final = "select 1 from smsretry.business_senders where business_id = %s"
_IS_KNOWN: Final = "select 1 from smsretry.senders where account = %s and sent_by = %s"
_REMOVE: Final = "select remove_sms_sender(%s, who => 'proof', because => 'Dice')"
_BEGUN: Final = """
create table smsretry_local.begun (attempt_id uuid primary key, at timestamptz not null);
grant insert on smsretry_local.begun to service_role;
create function smsretry_local.note_begun() returns trigger language plpgsql security definer as $$
begin
    insert into smsretry_local.begun values (new.id, smsretry.clock());
    return null;
end $$;
create trigger proof_begun after insert on public.sms_send_attempts
for each row execute function smsretry_local.note_begun();
"""
_NOT_BEGUN: Final = """
drop trigger proof_begun on public.sms_send_attempts;
drop function smsretry_local.note_begun();
drop table smsretry_local.begun;
"""


@dataclass(frozen=True, slots=True)
class _Move:
    began: datetime
    ended: datetime | None
    """None: nobody knows whether it was written."""
    to: Address


class Movers:
    """Who sends for whom in one run."""

    def __init__(self, stack: Stack, seed: str) -> None:
        self.platform: Final = Platform.open(stack, seed=seed)
        self.counts: Counter[str] = Counter()
        self._stack, self._seed = stack, seed
        self._businesses: list[UUID] = []
        self._moves: defaultdict[UUID, list[_Move]] = defaultdict(list)

    def move_in(self, businesses: Iterable[UUID]) -> None:
        """Each that is new has a sender of its own at first, or the environment's."""
        new = [business_id for business_id in businesses if business_id not in self._businesses]
        self._businesses += new
        for n, business_id in enumerate(new):
            own = n % _ON_THE_ENVIRONMENTS and self.platform.senders[n % len(self.platform.senders)]
            self._move(business_id, own or None)

    def move_some(self, when: str, n: int) -> None:
        """In some rounds one business gets another sender, or the environment's; senders without a business go."""
        if dice(self._seed, "moves?", when, n) >= _SHARE:
            return
        self.move(pick(tuple(self._businesses), self._seed, "mover", when, n), when, n)

    def move(self, business_id: UUID, *why: object) -> None:
        """This business gets another sender, or the environment's: which one, the dice decide."""
        sender = pick((*_ENVIRONMENTS, *self.platform.senders), self._seed, "moves to", *why)
        self._move(business_id, sender)
        self.counts["environment's" if sender is None else "own"] += 1

    def senders_of(self, business_id: UUID, since: datetime, until: datetime) -> set[Address]:
        """What it may have been sent from at some moment between these two."""
        found = set[Address]()
        for move in self._moves[business_id]:
            if move.began > until:
                break
            if move.ended is not None and move.ended <= since:
                found.clear()
            found.add(move.to)
        return found

    def settle(self) -> None:
        """Moves of which nobody knows whether they were written are looked up, now that nothing moves."""
        unsure = [business_id for business_id, moves in self._moves.items() if moves[-1].ended is None]
        with self._stack.connect() as connection:
            for business_id in unsure:
                row = connection.execute("select * from smsretry.sender_of(%s, null)", [business_id]).fetchone()
                own = (row["account"], row["sent_by"]) if row and row["id"] else self.platform.environment
                now = self._stack.now()
                self._moves[business_id].append(_Move(now, now, own))

    def _move(self, business_id: UUID, sender: OwnSender | None) -> None:
        to = sender.address if sender else self.platform.environment
        began, ended, before = self._stack.now(), None, self._moves[business_id]
        try:
            with self._stack.connect() as connection:
                if sender:
                    sender.assign(connection, business_id)
                elif connection.execute(_HAS_ONE, [business_id]).fetchone():
                    connection.execute(_REMOVE, [business_id])
                ended = self._stack.now()
                self.counts["removed"] += bool(before and not connection.execute(_IS_KNOWN, before[-1].to).fetchone())
        except psycopg.OperationalError:
            pass  # Postgres is down just now
        self._moves[business_id].append(_Move(began, ended, to))


@contextmanager
def moving(stack: Stack, seed: str) -> Iterator[Movers]:
    """Movers; the database also notes when each begin was over. Between its own time and that it asked who sends."""
    with stack.connect() as connection:
        connection.execute(_BEGUN.encode())
    try:
        yield Movers(stack, seed)
    finally:
        with stack.connect() as connection:
            connection.execute(_NOT_BEGUN.encode())
