"""Everything that a test of an application's integration needs: the embedded stack with the application's own schema,
one worker in this process, and the other side of it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import psycopg

from smsretry.errors import InputError, MigrationError
from smsretry.local.stack import Stack
from smsretry.retry.models import ItemResult
from smsretry.retry.profile import MOST_TEXTS
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.run import ItemFailed, Run, run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.sending.summary import DeliverySummary
from smsretry.settings import Settings, variables
from smsretry.testing.business import TABLES, ZONE, Business, OwnColumns
from smsretry.testing.clock import NOON, Clock
from smsretry.testing.emptying import empty, remember_rows
from smsretry.testing.run_result import RunResult
from smsretry.testing.schema import SchemaSource, apply_schema, names
from smsretry.testing.seeds import Seeds
from smsretry.testing.twilio import Twilio
from smsretry.wiring import delivery_services, services


class SmsStack:
    """A running stack. A context manager: it starts in some seconds, and leaves nothing behind.

    Args:
        directory: where its data lies until it ends.
        schema: the application's own schema, one source or several, applied before the migrations of smsretry.
        own_columns: for each table, columns of the application's that have no default and may not be null, each with a
            value or with a callable that makes one. Seeds write them.

    Raises:
        InputError: `own_columns` names a table that seeds do not write.
        LocalStackError: a part did not start, or the application's schema has an error.
        MigrationError: the application's schema and the migrations do not fit together.
    """

    def __init__(
        self,
        directory: Path,
        *,
        schema: SchemaSource | Sequence[SchemaSource] = (),
        own_columns: OwnColumns | None = None,
    ) -> None:
        self.schema: Final = [schema] if isinstance(schema, str | Path) or callable(schema) else list(schema)
        """The application's own, in the order in which it is applied."""
        self._own_columns = own_columns or {}
        if unknown := sorted(self._own_columns.keys() - set(TABLES)):
            raise InputError(
                f"Seeds write no rows of {', '.join(unknown)}: own columns are those of {', '.join(TABLES)}"
            )
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._exit = ExitStack()
        self.local: Final = Stack(directory, before_migrations=lambda url: apply_schema(url, self.schema))
        """The embedded stack beneath: its database may be killed, and calls may fail."""
        self.clock: Final = Clock(self.local)
        self.twilio: Final = Twilio(self.local, self.connection)
        self.options: Final = dict[str, str]()
        """Settings of this test besides those of the stack, such as SMSRETRY_IN_DOUBT or TWILIO_STATUS_CALLBACK_URL."""
        self.seeds: Seeds
        """Texts for each outcome."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.callback(self.local.postgres.remove)
            try:
                starting.enter_context(self.local)
            except MigrationError as error:
                where = f"on top of your schema ({names(self.schema)})" if self.schema else "on an empty database"
                raise MigrationError(f"The migrations of smsretry, {where}: {error}") from None
            starting.callback(self._let_go)
            remember_rows(self.connection())
            self.empty()
            self._exit = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def empty(self) -> Self:
        """Reset it: the rows that the schema came with and no others, a healthy Twilio, noon in New York."""
        try:
            empty(self.connection())
        except psycopg.OperationalError:  # the test before has restarted the server
            self._let_go()
            empty(self.connection())
        self.local.start_over(NOON)
        self.options.clear()
        self.seeds = Seeds(self.clock, self.twilio, self.business)
        return self

    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """The stack's own connection as the database's owner, in autocommit, with rows as dicts."""
        if self._connection is None or self._connection.closed:
            self._connection = self.local.connect()
        return self._connection

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the application under test, and for a worker of its own.

        DATABASE_URL is the owner's. SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and SUPABASE_ANON_KEY are what supabase-js
        takes. The Twilio variables are the stand-in's; Twilio's SDKs take TWILIO_BASE_URL from nobody but your code.
        """
        return {
            **self.local.environment(),
            "SUPABASE_ANON_KEY": self.local.key("anon"),
            "DATABASE_URL": self.local.database_url,
            **self.options,
        }

    def settings(self) -> Settings:
        """The worker's settings. Raises InputError if one of `options` is no setting."""
        if unknown := sorted(self.options.keys() - variables(Settings).keys()):
            raise InputError(f"No such setting: {', '.join(unknown)}. flows/README.md has the table of settings")
        return self.local.settings(self.options)

    def business(self, name: str = "Maple Street Dental", *, timezone: str | None = ZONE) -> Business:
        """A new business, of a new user."""
        connection = self.connection()
        business = Business(connection, self.local.now, own_columns=self._own_columns)
        connection.execute(
            "insert into auth.users (id, email) values (%s, %s)",
            [business.user_id, f"{business.user_id}@example.com"],
        )
        return business.open(timezone, name=name)

    def existing_business(self, business_id: UUID) -> Business:
        """A business that the application under test has made. Raises LookupError if there is none with this id."""
        connection = self.connection()
        row = connection.execute("select user_id from businesses where id = %s", [business_id]).fetchone()
        if row is None:
            raise LookupError(f"businesses has no row with the id {business_id}")
        return Business(connection, self.local.now, row["user_id"], business_id, own_columns=self._own_columns)

    def jwt(self, business: Business) -> str:
        """The token of the business's user, as Supabase's auth issues it: with it, row level security applies."""
        return self.local.key("authenticated", sub=str(business.user_id))

    def run(self, *, limit: int = MOST_TEXTS) -> RunResult:
        """Make one run of the worker as each minute makes it: queue scheduled sends, recover, claim, process.

        It takes what is due by the stack's clock and waits for nothing that comes due later.
        """
        with services(self.settings()) as connected:
            planned = queue_scheduled_sends(connected.queue)
            items, summary = run_once(Run(connected), limit=limit)
        results = [item for item in items if isinstance(item, ItemResult)]
        errors = [item for item in items if isinstance(item, ItemFailed)]
        return RunResult(results, errors, planned.sends, planned.stopped_because, summary)

    def look_after_deliveries(self) -> DeliverySummary:
        """Ask Twilio what became of accepted texts, as every five minutes; each is first due five minutes after it."""
        with delivery_services(self.settings()) as connected:
            return sync_deliveries(connected)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
