"""How many texts a second one database takes. By hand: `python -m tests.benchmarks.database`.

1, 2, 4 and 8 client processes claim, begin and finish the same texts in groups of 50, as workers do, and send nothing.
Each step is measured by itself: all clients do it at once, and wait for each other before the next. The calls go over
the endpoint, and bare over psycopg for comparison. Clients, endpoint and PostgreSQL share this machine's cores; the
embedded PostgreSQL does not wait for a disk (`fsync=off`).
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.groups import LARGEST_GROUP
from smsretry.local.stack import SENDER
from smsretry.settings import Settings
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show

CREWS = (1, 2, 4, 8)
STEPS = ("claims/s", "begins/s", "finishes/s")
Row = dict[str, Any]
Ask = Callable[[str, Row], Any]
"""Calls a function by its parameters' names, and returns its rows."""


@dataclass(frozen=True)
class Way:
    """How a client reaches the database: over the endpoint, or with `url` bare."""

    settings: Settings
    url: str | None

    @contextmanager
    def connect(self) -> Iterator[Ask]:
        """One client's connection."""
        if self.url is None:
            with SupabaseCalls(self.settings) as calls:
                yield calls.repeated
        else:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("set role service_role")
                yield lambda function, values: _bare(connection, function, values)


def _bare(connection: psycopg.Connection[Any], function: str, values: Row) -> Any:
    given = sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in values)
    query = sql.SQL("select to_jsonb(f) from {}({}) f").format(sql.Identifier(function), given)
    told = [Jsonb(value) if isinstance(value, list) else value for value in values.values()]
    answer: Any = [row for (row,) in connection.execute(query, told)]
    return answer[0] if function in ("claim_sms_texts", "group_sms_calls") else answer


def begin(row: Row) -> Row:
    """The values of a send that begins."""
    row["attempt_id"] = str(uuid4())
    names = {name: row[name] for name in ("claim_no", "attempt_id", "phone", "body", "decided_by")}
    rest = {"send_before": "infinity", "quiet_hours_rule": "benchmark", "sent_by": SENDER, "life": "48 hours"}
    return {"retry_id": row["id"], **names, **rest}


def finish(row: Row) -> Row:
    """The values of a send that Twilio accepted."""
    names = {name: row[name] for name in ("claim_no", "attempt_id", "phone")}
    rest = {"outcome": "accepted", "next_status": "completed", "twilio_sid": f"SM{uuid4().hex}"}
    return {"retry_id": row["id"], **names, **rest}


def client(way: Way, barrier: Barrier, found: "multiprocessing.Queue[list[float]]") -> None:
    """One client: claim until nothing is due, begin all, finish all. Tells when each step began and ended."""
    moments = []
    with way.connect() as ask:
        ask("claim_sms_texts", {"limit_count": 0})
        rows: list[Row] = []
        barrier.wait(120)
        moments.append(time.monotonic())
        while claimed := ask("claim_sms_texts", {"limit_count": LARGEST_GROUP})["texts"]:
            rows += claimed
        moments.append(time.monotonic())
        for function, values in (("begin_sms_attempt", begin), ("finish_sms_attempt", finish)):
            barrier.wait(120)
            moments.append(time.monotonic())
            for at in range(0, len(rows), LARGEST_GROUP):
                group = rows[at : at + LARGEST_GROUP]
                calls = [{"function": function, "values": values(row), "lock_order": row["phone"]} for row in group]
                told = ask("group_sms_calls", {"calls": calls})
                assert not any(one.get("code") for one in told), told
            moments.append(time.monotonic())
    found.put(moments)


def measure(at: Rig, way: Way, crew: int, texts: int) -> list[float]:
    """Rows a second of each step."""
    at.fill(texts)
    spawn = multiprocessing.get_context("spawn")
    barrier, found = spawn.Barrier(crew), spawn.Queue()
    clients = [spawn.Process(target=client, args=(way, barrier, found), daemon=True) for _ in range(crew)]
    for one in clients:
        one.start()
    moments = [found.get(timeout=300) for _ in clients]
    for one in clients:
        one.join()
    with at.stack.connect() as connection:
        ended = connection.execute("select count(*) from sms_retry_queue where status = 'completed'").fetchone()
    assert ended == {"count": texts}
    spans = [max(m[2 * n + 1] for m in moments) - min(m[2 * n] for m in moments) for n in range(len(STEPS))]
    return [texts / span for span in spans]


def row_of(name: str, crew: int, rounds: Sequence[Sequence[float]]) -> list[object]:
    """A line of the table. A text needs each step once, so its seconds add up."""
    steps = [median(step) for step in zip(*rounds, strict=True)]
    return [f"{name}, {crew}", *(round(step) for step in steps), round(1 / sum(1 / step for step in steps))]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with rig(prefect=False) as at:
        settings = at.stack.settings()
        ways = {"endpoint": Way(settings, None), "psycopg": Way(settings, at.stack.database_url)}
        results: dict[tuple[str, int], list[list[float]]] = {(name, crew): [] for name in ways for crew in CREWS}
        for _ in range(given.rounds):
            for (name, crew), rounds in results.items():
                rounds.append(measure(at, ways[name], crew, given.texts))
    rows = [row_of(name, crew, rounds) for (name, crew), rounds in results.items()]
    title = f"{given.texts} texts, in groups of {LARGEST_GROUP}"
    show(title, ["clients", *STEPS, "texts/s"], rows)


if __name__ == "__main__":
    main()
