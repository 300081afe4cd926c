"""A business with its workers and their provider: most tests of a text's whole way need no more than that."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.business import Business
from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from smsretry.local.twilio.standin import TwilioStandin
from smsretry.retry.answers import BeginAnswer
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Provider
from tests.support import builders
from tests.support.claims import claim_due
from tests.support.records import Connection, Record, columns


@dataclass
class Shop(Business):
    """Writes rows as the application does, has a worker deal with them, and reads what became of them."""

    stack: Stack = field(repr=False, kw_only=True)
    queue: SupabaseQueue = field(repr=False, kw_only=True)
    provider: Provider = field(repr=False, kw_only=True)

    def neighbor(self) -> "Shop":
        """Another business, of another user. The same worker serves both."""
        neighbor = Shop(
            self.connection,
            self.now,
            stack=self.stack,
            queue=self.queue,
            provider=self.provider,
        )
        neighbor.open()
        return neighbor

    # The worker

    def run(self, profile: Profile = DEFAULT) -> list[str]:
        """One whole run; what each text came to."""
        return builders.run(self.queue, self.provider, profile)

    def results(self) -> dict[UUID, ItemResult]:
        """Likewise, with all that the run tells of each text."""
        run = builders.run_over(self.queue, self.provider)
        return {result.retry_id: result for result in builders.results_of(run)}

    def claims(self, limit: int = 50, **options: Any) -> list[Claim]:
        """What a worker claims of what is due."""
        return claim_due(self.queue, limit, **options)

    def claim(self) -> Claim:
        """The only text that is due."""
        [claim] = self.claims()
        return claim

    def begin(
        self, claim: Claim, attempt_id: UUID | None = None, *, cap: int | None = None
    ) -> BeginAnswer:
        """Let a send begin, within the next hour."""
        return builders.begin(self.queue, claim, attempt_id, cap=cap)

    def process(self, claim: Claim) -> ItemResult:
        """Decide about a claimed text and carry it out."""
        return process_sms_retry_item(claim, queue=self.queue, provider=self.provider)

    def recover(self) -> list[UUID]:
        """Take back what a silent worker holds."""
        return [row.id for row in self.queue.recover(10)]

    @property
    def twilio(self) -> TwilioStandin:
        """Their provider."""
        return self.stack.twilio

    @property
    def messages(self) -> tuple[Entry, ...]:
        """All that the provider accepted."""
        return self.stack.twilio.ledger.entries()

    # Its time

    def later(self, **time: float) -> None:
        """So much time passes."""
        self.stack.move_clock(timedelta(**time))

    def at(self, moment: datetime) -> None:
        """It is this moment."""
        self.stack.set_clock(moment)

    # The database

    def sql(self, statement: str, *values: object) -> list[Record]:
        """Somebody runs a statement; the rows of its answer."""
        answer = self.connection.execute(statement.encode(), values or None)
        return answer.fetchall() if answer.description is not None else []

    def value(self, query: str, *values: object) -> Any:
        """The only value that it answers."""
        [row] = self.sql(query, *values)
        [value] = row.values()
        return value

    def status_of(self, row_id: UUID) -> str:
        """The status of a text."""
        return str(self.row(row_id)["status"])

    def statuses(self, row_id: UUID) -> tuple[str, str]:
        """Likewise, and of its send log."""
        return self.status_of(row_id), str(self.log_of(row_id)["status"])

    def end_of(self, row_id: UUID) -> tuple[str, str | None]:
        """The status of a text, and why in a word."""
        row = self.row(row_id)
        return columns(row, "status", "why_code")

    @contextmanager
    def changed(self, change: str, undo: str) -> Iterator[None]:
        """The schema or a grant is another one for a while."""
        self.sql(change)
        try:
            yield
        finally:
            self.sql(undo)

    @contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """The database's clock stands still, so that what it decides does not depend on how fast this machine is."""
        running = self.value("select pg_get_functiondef('smsretry.clock'::regproc)")
        stopped = f"returns timestamptz language sql volatile as $$ select timestamptz '{self.now().isoformat()}' $$"
        with self.changed(
            f"create or replace function smsretry.clock() {stopped}", running
        ):
            yield

    @contextmanager
    def acting_as(self, role: str, user: UUID | None = None) -> Iterator[None]:
        """As PostgREST for a request with this role and user; all of it is undone at the end."""
        with acting_as(self.connection, role, user):
            yield


@contextmanager
def acting_as(
    connection: Connection, role: str, user: UUID | None = None
) -> Iterator[None]:
    """Likewise, on this connection."""
    claims = {"role": role} | ({} if user is None else {"sub": str(user)})
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)]
        )
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        yield
