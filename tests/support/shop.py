"""A business with its workers and their provider: most tests of a text's whole way need no more than that."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from psycopg import sql

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Order, Prune, Requeue
from smsretry.desk.questions.answers import Change, Done
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
from tests.support.orders import record_consent
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

    # A person

    def carry_out(self, form: Form, **arguments: object) -> Done:
        """A person's order."""
        with SupabaseOperators(self.stack.settings()) as operators:
            return operators.carry_out(form, **arguments)

    def change(self, order: type[Order], **values: object) -> Change:
        """A person's order about texts, signed."""
        signed = {"dry_run": False, "who": "Ann", "because": "Mended"} | values
        return cast(Change, self.carry_out(order.model_validate(signed)))

    def requeue(self, *rows: UUID) -> Change:
        """Somebody puts these texts back."""
        return self.change(Requeue, retry_ids=rows)

    def resolve(self, row: UUID, sid: str | None) -> bool:
        """Somebody says that it went out as this message, or not at all. False: it is not theirs to say now."""
        return not self.carry_out(builders.resolution(row, sid)).fails

    def record_consent(
        self,
        consent: Literal["opted_in", "opted_out", "unchanged"],
        source: str = "telephone",
        *,
        everywhere: bool = False,
        phone: str = builders.PHONE,
    ) -> Done:
        """Somebody records what a customer said to this business, or to all."""
        with SupabaseOperators(self.stack.settings()) as operators:
            return record_consent(
                operators,
                phone,
                consent=consent,
                source=source,
                business_id=None if everywhere else self.id,
            )

    def prune(self, keep_days: int = 7) -> None:
        """What ended before goes."""
        self.carry_out(Prune(keep_days=keep_days, dry_run=False))

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

    def fields(self, row_id: UUID, names: str) -> tuple[Any, ...]:
        """These columns of a text, of which the names stand in one string."""
        return columns(self.row(row_id), *names.split())

    def log_fields(self, row_id: UUID, names: str) -> tuple[Any, ...]:
        """Likewise, of its send log."""
        return columns(self.log_of(row_id), *names.split())

    def sends(self, row_id: UUID, name: str) -> list[Any]:
        """A column of its attempts, in their order."""
        return [attempt[name] for attempt in self.attempts_of(row_id)]

    def status_of(self, row_id: UUID) -> str:
        """The status of a text."""
        return str(self.row(row_id)["status"])

    def ends(self, *rows: UUID) -> str:
        """The statuses of these texts, or of all in their order, one after the other."""
        ordered = "select id from sms_retry_queue order by created_at, id"
        ids = rows or [row["id"] for row in self.sql(ordered)]
        return " ".join(map(self.status_of, ids))

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
    def locked(self, rows: str, *values: object) -> Iterator[None]:
        """Another transaction holds these rows."""
        with self.stack.connect() as connection, connection.transaction():
            connection.execute(f"select from {rows} for update".encode(), values)
            yield

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
