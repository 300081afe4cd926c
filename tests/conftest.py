"""What the tests share: one embedded stack a session, empty before each test."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from tests.support.builders import BODY, NOON
from tests.support.builders import PHONE as PHONE
from tests.support.scheduling import ByFile

NOON_IN_NEW_YORK = NOON

# The same examples every time, and none is judged by how long it takes.
hypothesis_settings.register_profile("the same every time", derandomize=True, database=None, deadline=None)
hypothesis_settings.load_profile("the same every time")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """One Prefect server for all who need one."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded stack, started once."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(directory) as stack:
        yield stack
    stack.postgres.remove()


# To delete a few rows takes half a millisecond, to truncate 17. What many tests left behind is truncated.
EMPTY = """
do $$
begin
    if pg_relation_size('sms_retry_queue') + pg_relation_size('send_logs') > 1000000 then
        truncate businesses, customers, send_logs, scheduled_sends, sms_retry_queue, sms_send_attempts,
                 smsretry.suppressions, smsretry.stopped_consents, smsretry.unwritten_consents, smsretry.steps,
                 smsretry.held_sends, smsretry.restores, smsretry.stale_opt_ins, smsretry.set_apart,
                 smsretry.business_senders, smsretry.customer_changes;
    else
        delete from sms_send_attempts;
        delete from sms_retry_queue;
        delete from scheduled_sends;
        delete from send_logs;
        delete from customers;
        delete from businesses;
    end if;
    delete from smsretry.business_senders;
    delete from smsretry.senders;
    delete from smsretry.sender_steps;
    delete from smsretry.default_senders;
    delete from smsretry.circuit;
    delete from smsretry.business_circuits;
    delete from smsretry.stopped_states;
    delete from smsretry.sender_time;
    delete from smsretry.suppressions;
    delete from smsretry.stale_opt_ins;
    delete from smsretry.stopped_consents;
    delete from smsretry.unwritten_consents;
    delete from smsretry.runs;
    delete from smsretry.steps;
    delete from smsretry.customer_changes;
    delete from smsretry.imported_files;
    delete from smsretry.inbound_texts;
    delete from smsretry.heard_stops;
    delete from smsretry.held_sends;
    delete from smsretry.restores;
    delete from smsretry.set_apart;
    update smsretry.turns set after = md5(kind || place)::uuid; -- as the migration has it
end
$$
"""


class Sweeper:
    """Makes a stack as good as new before each test, over one connection: a new one takes 3 ms."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._connection = stack.connect()

    def sweep(self) -> Stack:
        """The stack with empty tables, a healthy Twilio and noon in New York."""
        try:
            self._connection.execute(EMPTY)
        except psycopg.OperationalError:  # a test has killed the server, and with it the connection
            self._connection = self._stack.connect()
            self._connection.execute(EMPTY)
        self._stack.twilio.heal()
        self._stack.rpc_faults.clear()
        self._stack.twilio.ledger.clear()
        self._stack.twilio.accounts.forget_others()
        self._stack.set_clock(NOON)
        return self._stack

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture(scope="session")
def sweeper(running_stack: Stack) -> Iterator[Sweeper]:
    """Of the session's stack."""
    with closing(Sweeper(running_stack)) as sweeper:
        yield sweeper


@pytest.fixture
def stack(sweeper: Sweeper) -> Stack:
    """The embedded stack with empty tables, a healthy Twilio and noon in New York."""
    return sweeper.sweep()


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """Settings that point at the stack."""
    return stack.settings()


@pytest.fixture
def queue(settings: Settings) -> Iterator[SupabaseQueue]:
    """The production adapter, over HTTP."""
    with SupabaseQueue(settings) as queue:
        yield queue


@pytest.fixture
def operators(settings: Settings) -> Iterator[SupabaseOperators]:
    """The production adapter of the operators' calls, over HTTP."""
    with SupabaseOperators(settings) as operators:
        yield operators


@pytest.fixture
def sender(settings: Settings) -> Iterator[TwilioSender]:
    """The production adapter, over HTTP."""
    with TwilioSender(settings) as sender:
        yield sender


@dataclass
class Business:
    """Writes rows as the application does, and reads what became of them."""

    connection: psycopg.Connection[dict[str, Any]]
    now: Callable[[], datetime]
    user_id: UUID = field(default_factory=uuid4)
    id: UUID = field(default_factory=uuid4)

    def open(self, timezone: str | None = "America/New_York") -> "Business":
        """Insert the business."""
        self.connection.execute(
            "insert into businesses (id, user_id, name, timezone) values (%s, %s, 'Maple Street Dental', %s)",
            [self.id, self.user_id, timezone],
        )
        return self

    def customer(
        self, *, phone: str | None = PHONE, timezone: str | None = "America/New_York", consent: str = "opted_in"
    ) -> UUID:
        """Insert a customer; returns the id."""
        customer_id = uuid4()
        self.connection.execute(
            "insert into customers (id, business_id, phone, timezone, sms_consent_status) values (%s, %s, %s, %s, %s)",
            [customer_id, self.id, phone, timezone, consent],
        )
        return customer_id

    def send_log(self, customer_id: UUID, *, body: str | None = BODY) -> UUID:
        """Insert a text that was not sent yet; returns the send log's id."""
        log_id = uuid4()
        self.connection.execute(
            "insert into send_logs (id, business_id, customer_id, channel, subject) values (%s, %s, %s, 'sms', %s)",
            [log_id, self.id, customer_id, body],
        )
        return log_id

    def due_text(
        self, *, body: str | None = BODY, due: timedelta = timedelta(minutes=-1), attempts: int = 0, **customer: Any
    ) -> UUID:
        """Insert a customer, a text and its queue row with the original columns only; returns the row's id."""
        customer_id = self.customer(**customer)
        return self.queue_row(self.send_log(customer_id, body=body), customer_id, due=due, attempts=attempts)

    def queue_row(
        self, log_id: UUID, customer_id: UUID, *, due: timedelta = timedelta(minutes=-1), attempts: int = 0
    ) -> UUID:
        """Insert a queue row as the application does; returns its id."""
        row_id = uuid4()
        self.connection.execute(
            """insert into sms_retry_queue (id, business_id, send_log_id, customer_id, attempt_count, scheduled_for)
               values (%s, %s, %s, %s, %s, %s)""",
            [row_id, self.id, log_id, customer_id, attempts, self.now() + due],
        )
        return row_id

    def scheduled(self, *, due: timedelta = timedelta(minutes=1), body: str | None = BODY, **customer: Any) -> UUID:
        """Insert a customer and a scheduled send to it, as the application does; returns its id."""
        scheduled_id = uuid4()
        self.connection.execute(
            """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for)
               values (%s, %s, %s, %s, %s)""",
            [scheduled_id, self.id, self.customer(**customer), body, self.now() + due],
        )
        return scheduled_id

    def scheduled_send(self, scheduled_id: UUID) -> dict[str, Any]:
        """The scheduled send."""
        return self._one("select * from scheduled_sends where id = %s", scheduled_id)

    def text_of(self, scheduled_id: UUID) -> dict[str, Any]:
        """The queue row of a scheduled send."""
        return self._one("select * from sms_retry_queue where send_log_id = %s", scheduled_id)

    def row(self, row_id: UUID) -> dict[str, Any]:
        """The queue row."""
        return self._one("select * from sms_retry_queue where id = %s", row_id)

    def log_of(self, row_id: UUID) -> dict[str, Any]:
        """The send log of a queue row."""
        return self._one(
            "select l.* from send_logs l join sms_retry_queue q on q.send_log_id = l.id where q.id = %s", row_id
        )

    def attempts_of(self, row_id: UUID) -> list[dict[str, Any]]:
        """The attempts of a queue row, in order."""
        return self.connection.execute(
            "select * from sms_send_attempts where retry_id = %s order by begun_at", [row_id]
        ).fetchall()

    def _one(self, query: str, row_id: UUID) -> dict[str, Any]:
        found = self.connection.execute(query.encode(), [row_id]).fetchone()
        assert found is not None
        return found


@pytest.fixture
def business(stack: Stack) -> Iterator[Business]:
    """A business in New York."""
    with stack.connect() as connection:
        yield Business(connection, stack.now).open()
