"""Everything that a test of an application's integration needs: the embedded stack with the application's own schema,
one worker in this process, and Twilio's side of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psycopg

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import LocalStackError
from smsretry.local.business import ZONE, Business, OwnColumns
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.answers import ScheduledSend
from smsretry.retry.models import ItemResult
from smsretry.retry.profile import MOST_TEXTS
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.run import Run, run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.sending.summary import DeliverySummary, RunSummary
from smsretry.sending.webhook_events import RejectedPost
from smsretry.testing.database import apply_schema, empty, remember_rows
from smsretry.vocabulary import Fate
from smsretry.wiring import post_reader, services

NOON: Final = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""Noon in New York, a Tuesday in winter: open everywhere in the contiguous states."""
_NOWHERE: Final = "https://webhook.invalid/twilio"
_WEBHOOK_SECONDS: Final = 15.0  # as long as Twilio waits for a webhook
_ROWS: Final = """
    select id, status, why_code, coalesce(why, last_error, '') as why, scheduled_for
    from sms_retry_queue order by created_at, id limit 20
"""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run of the worker."""

    items: Sequence[ItemResult]
    """One for each claim of a row, in the order of the claims."""
    scheduled: Sequence[ScheduledSend]
    """The scheduled sends whose time was near, and what became of each."""
    summary: RunSummary
    """The numbers, as Prefect's run history has them."""

    @property
    def fates(self) -> list[Fate]:
        """The result of each claimed row."""
        return [item.fate for item in self.items]

    def of(self, row: UUID) -> ItemResult:
        """The result of one text. Raises LookupError: the run did not take it."""
        for item in reversed(self.items):
            if item.retry_id == row:
                return item
        raise LookupError(f"This run did not take row {row}")


class SmsStack(Stack):
    """A running stack. A context manager: it starts in some seconds, and leaves nothing behind.

    Args:
        directory: where its data lies until it ends.
        schema: the application's own, SQL files and folders of them, applied before the migrations of smsretry.
        own_columns: for each table, columns of the application's that have no default and may not be null, each with a
            value or with a callable that makes one. `business()` writes them.

    Raises:
        LocalStackError: a part did not start, or the application's schema has an error.
        MigrationError: the application's schema and the migrations do not fit together.
    """

    def __init__(
        self,
        directory: Path,
        *,
        schema: Sequence[Path] = (),
        own_columns: OwnColumns | None = None,
    ) -> None:
        super().__init__(
            directory,
            before_migrations=lambda url: apply_schema(url, schema),
            write_sample=self._sample,
        )
        self._own_columns = own_columns or {}
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self.options: Final = dict[str, str]()
        """Settings of this test besides those of the stack, such as SMSRETRY_IN_DOUBT or TWILIO_STATUS_CALLBACK_URL."""

    def __enter__(self) -> Self:
        try:
            super().__enter__()
            remember_rows(self.connection())
            return self.empty()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        super().__exit__()
        self.postgres.remove()

    def empty(self) -> Self:
        """Reset it: the rows that the schema came with and no others, a healthy Twilio, noon in New York."""
        try:
            empty(self.connection())
        except psycopg.OperationalError:  # the test before has restarted the server
            empty(self.connection())
        self.start_over(NOON)
        self.options.clear()
        return self

    def connection(self) -> psycopg.Connection[dict[str, Any]]:
        """The stack's own connection as the database's owner, in autocommit, with rows as dicts."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def environment(self) -> dict[str, str]:
        """Environment variables for the application under test, and for a worker.

        DATABASE_URL is the owner's. SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and SUPABASE_ANON_KEY are what supabase-js
        takes. The Twilio variables are the stand-in's; Twilio's SDKs take TWILIO_BASE_URL from nobody but your code.
        """
        ours = {
            "SUPABASE_ANON_KEY": self.key("anon"),
            "DATABASE_URL": self.database_url,
        }
        return {**super().environment(), **ours, **self.options}

    def business(
        self, name: str = "Maple Street Dental", *, timezone: str | None = ZONE
    ) -> Business:
        """A new business, of a new user."""
        return self._business(self.connection()).open(timezone, name=name)

    def _sample(self, connection: psycopg.Connection[Any]) -> None:
        business = self._business(connection).open()
        business.send_log(business.customer())

    def _business(self, connection: psycopg.Connection[Any]) -> Business:
        business = Business(connection, self.now, own_columns=self._own_columns)
        connection.execute(
            "insert into auth.users (id) values (%s)", [business.user_id]
        )
        return business

    def jwt(self, business: Business) -> str:
        """The token of the business's user, as Supabase's auth issues it: with it, row level security applies."""
        return self.key("authenticated", sub=str(business.user_id))

    def run(self, *, limit: int = MOST_TEXTS) -> RunResult:
        """Make one run of the worker as each minute makes it: queue scheduled sends, recover, claim, process.

        It takes what is due by the stack's clock and waits for nothing that comes due later.
        """
        with services(self.settings()) as connected:
            planned = queue_scheduled_sends(connected.queue)
            items, summary = run_once(Run(connected), limit=limit)
        return RunResult(items, planned.sends, summary)

    def look_after_deliveries(self) -> DeliverySummary:
        """Ask Twilio what became of accepted texts, as every five minutes; each is first due five minutes after it."""
        with services(self.settings()) as connected:
            return sync_deliveries(connected)

    def report(
        self, message: Entry, status: str, error_code: int | None = None
    ) -> httpx.Response | None:
        """A message becomes `delivered`, `undelivered` with Twilio's code, and so on, and Twilio reports it.

        It goes to the message's StatusCallback, signed; a message without one is reported into the database, as the
        webhook of `smsretry.webhooks` does it. `twilio.report` is the same without a word to anybody.

        Returns:
            The webhook's answer; None without one.
        """
        self.twilio.report(message.sid, status, error_code)
        return self._tell(
            self.twilio.callback(message.sid, status, error_code, url=_NOWHERE)
        )

    def receive(
        self,
        phone: str,
        body: str,
        *,
        to: str = SENDER,
        webhook: str = _NOWHERE,
        opt_out_type: str | None = None,
    ) -> httpx.Response | None:
        """Somebody texts one of our numbers, STOP for example.

        Args:
            phone: whose text it is.
            to: the number that it is sent to.
            webhook: your webhook's URL, to which Twilio posts it, signed; it must be the URL that the webhook checks
                the signature against. Left out, `smsretry.webhooks` writes it into the database.
            opt_out_type: STOP, START or HELP, which Twilio adds with Advanced Opt-Out.

        Returns:
            The webhook's answer; None without one.
        """
        return self._tell(
            self.twilio.inbound(
                webhook, phone=phone, body=body, to=to, opt_out_type=opt_out_type
            )
        )

    def _tell(self, callback: Callback) -> httpx.Response | None:
        """Raises LocalStackError: the webhook cannot be reached."""
        if callback.url != _NOWHERE:
            return _post(callback)
        read_post = post_reader(
            self.settings(), [_NOWHERE], self.twilio.accounts.tokens()
        )
        event = read_post(
            query="",
            form=callback.body,
            signature=callback.signature,
            signature_settings=callback.signature_settings,
        )
        if isinstance(event, RejectedPost):
            raise LocalStackError(f"The webhook does not take it: {event.why}")
        with SupabaseQueue(self.settings()) as records:
            records.record(event)
        return None

    def describe_queue(self) -> str:
        """The queue's content: a line for each of the first texts, without phone numbers and bodies."""
        try:
            rows = self.connection().execute(_ROWS.encode()).fetchall()
        except psycopg.Error as error:
            return f"The queue cannot be read: {type(error).__name__}"
        lines = [f"By the stack's clock it is {self.now():%Y-%m-%d %H:%M:%S} UTC"]
        for row in rows:
            due = (
                f", due {row['scheduled_for']:%Y-%m-%d %H:%M:%S}"
                if row["status"] == "pending"
                else ""
            )
            lines.append(
                f"{row['id']} {row['status']}{due} [{row['why_code'] or ''}] {row['why']}".rstrip(
                    " []"
                )
            )
        return "\n".join(
            [
                *lines,
                f"Messages that Twilio accepted: {len(self.twilio.ledger.entries())}",
            ]
        )


def _post(callback: Callback) -> httpx.Response:
    try:
        return httpx.post(
            callback.url,
            content=callback.body,
            headers=callback.headers,
            timeout=_WEBHOOK_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        url, trouble = urlsplit(callback.url), type(error).__name__
    raise LocalStackError(
        f"The webhook {url.scheme}://{url.netloc}{url.path} did not answer ({trouble}): start the application "
        "under test first, and give the URL at which it listens"
    )
