"""What every benchmark of runs needs: the embedded stack by day, texts that are due, and workers as processes."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.town.texts import new_text, open_business, write
from tests.support.stacks import running_stack

DAY = datetime(2027, 1, 12, 17, tzinfo=UTC)
"""Noon in New York, on a Tuesday."""
_FILL = """
with b as (
    insert into businesses (user_id, name, timezone)
    select gen_random_uuid(), 'Shop ' || n, 'America/New_York' from generate_series(1, %(businesses)s) n
    returning id
), c as (
    insert into customers (business_id, phone, timezone, sms_consent_status)
    select (array(select id from b))[1 + n %% %(businesses)s], '+1212' || (5550000 + n %% 9000000),
           'America/New_York', 'opted_in'
    from generate_series(1, %(texts)s) n
    returning id, business_id
), s as (
    insert into send_logs (business_id, customer_id, channel, subject)
    select business_id, id, 'sms', 'Thank you for your visit. Reply STOP to end.' from c
    returning id, business_id, customer_id
)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, reason)
select business_id, id, customer_id, smsretry.clock() - interval '1 second', 'twilio_error' from s
"""
_EMPTY = "truncate businesses, customers, send_logs, smsretry.consents, smsretry.runs, smsretry.senders cascade"


@dataclass(frozen=True)
class Done:
    """What a worker's process came to."""

    seconds: float
    cpu_seconds: float
    """The worker's own, without the stand-ins'."""
    sends: int
    first_to_last: float
    """Seconds from the first message that Twilio's stand-in took to the last."""
    database_seconds: float
    """PostgreSQL's CPU time."""
    standins_seconds: float
    """That of the stand-ins and of the endpoint, which run in the benchmark's process."""
    most_at_once: int
    """Of the sends under way at the stand-in."""

    @property
    def per_second(self) -> float:
        """Texts a second, from the first to the last."""
        return self.sends / max(self.first_to_last, 1e-9)


@dataclass(frozen=True)
class Rig:
    """The stack, and perhaps a Prefect server."""

    stack: Stack
    prefect: PrefectServer | None

    def fill(self, texts: int, *, businesses: int = 20) -> None:
        """So many texts are due, and nothing else is there."""
        self.stack.set_clock(DAY)
        self.stack.twilio.ledger.clear()
        with self.stack.connect() as connection:
            connection.execute(_EMPTY)
            connection.execute(
                "analyze"
            )  # as of an evening: a day's texts come all at once, and nothing is known of them
            connection.execute(_FILL, {"texts": texts, "businesses": businesses})

    def queue(self, owner: str, *phones: str, due_at: datetime) -> UUID:
        """A text to each of these numbers, of a business of that name, whose id this returns."""
        texts = [
            new_text("benchmark", owner, number, due_at, phone=phone)
            for number, phone in enumerate(phones)
        ]
        texts = [
            replace(text, customer_id=uuid4(), send_log_id=uuid4(), retry_id=uuid4())
            for text in texts
        ]
        with self.stack.connect() as connection:
            open_business(connection, texts[0].business_id)
            write(connection, texts)
        return texts[0].business_id

    def environment(self, **changes: str) -> dict[str, str]:
        """A worker's."""
        prefect = self.prefect.environment() if self.prefect else {}
        return {**os.environ, **self.stack.environment(), **prefect, **changes}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What Twilio's stand-in took."""
        return self.stack.twilio.ledger.entries()

    def run(self, command: Sequence[str], **environment: str) -> Done:
        """Run a worker's process to its end."""
        self.stack.twilio.most_posts_at_once = 0
        began = time.monotonic()
        database, standins = self._database_seconds(), time.process_time()
        used = _ended(
            subprocess.Popen(
                [sys.executable, *command],
                env=self.environment(**environment),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
        accepted = sorted(entry.accepted_at for entry in self.entries)
        span = accepted[-1] - accepted[0] if accepted else timedelta(0)
        return Done(
            time.monotonic() - began,
            used.ru_utime + used.ru_stime,
            len(accepted),
            span.total_seconds(),
            self._database_seconds() - database,
            time.process_time() - standins,
            self.stack.twilio.most_posts_at_once,
        )

    def _database_seconds(self) -> float:
        """The CPU time of the server, its processes and those that have ended."""
        data = self.stack.postgres.data_dir / "pgdata"
        server = (data / "postmaster.pid").read_text().split()[0]
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                columns = path.read_text().rpartition(")")[2].split()
                if server in (path.parent.name, columns[1]):
                    is_server = path.parent.name == server
                    ticks += sum(map(int, columns[11 : 15 if is_server else 13]))
        return ticks / os.sysconf("SC_CLK_TCK")


def _ended(worker: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """What it used. Raises RuntimeError: it failed."""
    complaint = worker.stderr.read() if worker.stderr else b""
    _, status, used = os.wait4(worker.pid, 0)
    worker.returncode = os.waitstatus_to_exitcode(status)
    if worker.returncode:
        raise RuntimeError(complaint.decode()[-2000:])
    return used


@contextmanager
def rig(
    *, prefect: bool = False, milliseconds: float = 0, services: Collection[str] = ()
) -> Iterator[Rig]:
    """Start it, and stop it at the end. A send takes so long at Twilio."""
    with running_stack() as stack:
        stack.twilio.seconds_each = milliseconds / 1000
        main = stack.twilio.accounts.main
        main.services = dict.fromkeys(services, main.numbers)
        if not prefect:
            yield Rig(stack, None)
            return
        with (
            TemporaryDirectory() as directory,
            PrefectServer(Path(directory), stack.postgres) as server,
        ):
            yield Rig(stack, server)
