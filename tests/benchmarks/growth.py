"""What texts leave in the database, and what it costs to ask after them. By hand: `python -m tests.benchmarks.growth`.

Each text is a scheduled send that is queued, sent and reported by two callbacks, sent and delivered. Bytes are
PostgreSQL's, by table and index; what prune leaves is measured after the tables were packed anew. Then texts whose
delivery is open are looked after: when Twilio says nothing final, and when all are delivered.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import psycopg

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Prune
from smsretry.desk.desk import Desk
from smsretry.desk.questions.answers import Done
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.benchmarks.rig import DAY, Rig, rig
from tests.benchmarks.table import show

Connection = psycopg.Connection[dict[str, Any]]

TABLES = (
    "public.scheduled_sends", "public.send_logs", "public.sms_retry_queue", "public.sms_send_attempts",
    "smsretry.inbound_texts", "smsretry.runs", "smsretry.events", "smsretry.consents",
)  # fmt: skip
_PLAN = """
with c as (
    insert into customers (business_id, phone, timezone, sms_consent_status)
    select b.id, '+1212' || (5550000 + n), 'America/New_York', 'opted_in'
    from generate_series(1, %(texts)s) n,
         lateral (select id from businesses order by md5(id::text || n) limit 1) b
    returning id, business_id
)
insert into scheduled_sends (business_id, customer_id, body, scheduled_for)
select business_id, id, 'Thank you for your visit. Reply STOP to end.', smsretry.clock() from c
"""
_SIZES = """
select c.oid::regclass::text as name,
       pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) as bytes
from pg_class c
where c.oid = any (%(tables)s::regclass[]::oid[])
   or c.oid in (select i.indexrelid from pg_index i where i.indrelid = any (%(tables)s::regclass[]::oid[]))
order by c.relkind desc, name
"""


class Counted(SupabaseQueue):
    """Counts its calls."""

    calls = 0

    def _once(self, function: str, values: Mapping[str, object]) -> Any:
        self.calls += 1
        return super()._once(function, values)


def sizes(connection: Connection) -> dict[str, int]:
    """Bytes of each table and index, tables first."""
    found = connection.execute(_SIZES.encode(), {"tables": list(TABLES)})
    return {row["name"]: row["bytes"] for row in found}


def send(at: Rig, texts: int) -> None:
    """Plan so many texts, queue them and send them."""
    settings = at.stack.settings()
    with at.stack.connect() as connection:
        connection.execute(_PLAN.encode(), {"texts": texts})
    with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender:
        queue_scheduled_sends(queue)
        at.stack.move_clock(timedelta(seconds=1))
        results, _ = run_once(Run(Services(queue, sender, DEFAULT, 20)), limit=texts, seconds=600)
    assert len(results) == texts, f"{len(results)} of {texts} were sent"


def deliver(connection: Connection) -> None:
    """Twilio's two callbacks for each."""
    for status in ("sent", "delivered"):
        connection.execute(
            "select settle_sms_attempt(a.id, a.twilio_sid, delivery_status => %s) from sms_send_attempts a", [status]
        )


def growth(at: Rig, texts: int) -> list[list[object]]:
    """A line a table and an index."""
    with at.stack.connect() as connection, SupabaseOperators(at.stack.settings()) as operators:
        connection.execute(
            "insert into businesses (user_id, name) select gen_random_uuid(), 'Shop ' || n "
            "from generate_series(1, 20) n"
        )
        connection.execute("vacuum full")
        empty = sizes(connection)
        send(at, texts)
        deliver(connection)
        connection.execute("vacuum analyze")
        full = sizes(connection)
        at.stack.move_clock(timedelta(days=91))
        began = time.perf_counter()
        gone = Desk(operators, profile=DEFAULT, meaning=code_meaning).answer(Prune(keep_days=90))
        taken = time.perf_counter() - began
        assert isinstance(gone, Done)
        assert gone.texts == texts, f"{gone.texts} of {texts} were pruned"
        connection.execute("vacuum full")
        left = sizes(connection)
        print(f"pruned {gone.texts} texts in {taken:.2f} s")
    rows: list[list[object]] = [
        [name, (full[name] - empty[name]) / texts, (left[name] - empty[name]) / texts] for name in full
    ]
    total: list[object] = ["all", *(sum(float(str(row[column])) for row in rows) for column in (1, 2))]
    return [row for row in rows if row[1] or row[2]] + [total]


def looks(at: Rig, texts: int) -> Iterator[Sequence[object]]:
    """Cost of the looks after texts that are open: a line a look, for 1,000 of them."""
    at.stack.set_clock(DAY + timedelta(days=100))
    send(at, texts)
    settings = at.stack.settings()
    with Counted(settings) as queue, TwilioSender(settings) as sender:
        for name, after, final in (("nothing final", 6, False), ("all delivered", 6, True), ("none is open", 6, False)):
            at.stack.move_clock(timedelta(minutes=after))
            for entry in at.stack.twilio.ledger.entries() if final else ():
                at.stack.twilio.report(entry.sid, "delivered")
            queue.calls, fetched, began = 0, at.stack.twilio.fetches, time.perf_counter()
            came_to = sync_deliveries(Services(queue, sender, DEFAULT), limit=10_000)
            taken = time.perf_counter() - began
            share = texts / 1000
            fetches = at.stack.twilio.fetches - fetched
            yield name, str(came_to), fetches / share, queue.calls / share, 1000 * taken / share


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    given = parser.parse_args()
    with rig(prefect=False) as at:
        at.stack.set_clock(DAY)
        show(
            "kB per 1,000 texts, or bytes a text",
            ["table or index", "seen through", "after prune"],
            growth(at, given.texts),
        )
        at.stack.twilio.ledger.clear()
        headings = ["a look after 1,000 open texts", "came to", "requests to Twilio", "calls of SQL functions", "ms"]
        show("", headings, [list(line) for line in looks(at, 1000)])


if __name__ == "__main__":
    main()
