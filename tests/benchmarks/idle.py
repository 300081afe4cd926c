"""What a minute costs in which nothing is due, beside a bare flow. By hand: `python -m tests.benchmarks.idle`.

CPU is the process's own, import included; rows are those of Prefect's whole database.
"""

import time
from collections.abc import Sequence
from statistics import median

import psycopg
from psycopg import sql

from smsretry.local.prefect_server import DATABASE
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

CONTENDERS = {
    "a bare flow": ["-m", "tests.benchmarks.bare"],
    "ours, idle": [
        "-c",
        "from flows.process_sms_retries import process_sms_retries as run; run()",
    ],
    "smsretry process, idle": ["-m", "smsretry", "process"],
}
_TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"


def rows(at: Rig) -> int:
    """Of Prefect's whole database."""
    with psycopg.connect(
        at.stack.postgres.url(DATABASE), autocommit=True
    ) as connection:
        names = [sql.Identifier(name) for (name,) in connection.execute(_TABLES)]
        counted = sql.SQL(" union all ").join(
            sql.SQL("select count(*) as n from {}").format(name) for name in names
        )
        [total] = connection.execute(
            sql.SQL("select sum(n)::integer from ({}) each").format(counted)
        ).fetchone() or [0]
    return int(total)


def settled(at: Rig) -> int:
    """The rows when the server has written what it was told."""
    before = rows(at)
    while True:
        time.sleep(3)
        now = rows(at)
        if now == before:
            return now
        before = now


def measure(at: Rig, command: Sequence[str]) -> tuple[float, float, int]:
    """One run: its CPU, its time, and the rows that it left."""
    before = settled(at)
    drain = at.run(command)
    return drain.cpu_seconds, drain.seconds, settled(at) - before


def main() -> None:
    """Measure, and print tables."""
    options = parser(__doc__, rounds=5).parse_args()
    with rig(prefect=True) as at:
        for command in CONTENDERS.values():
            measure(at, command)
        results = [
            {name: measure(at, command) for name, command in CONTENDERS.items()}
            for _ in range(options.rounds)
        ]
    bare = median(result["a bare flow"][0] for result in results)
    rows = []
    for name in CONTENDERS:
        cpu = median(result[name][0] for result in results)
        wrote = median(result[name][2] for result in results)
        rows.append(
            [
                name,
                cpu,
                cpu / bare,
                median(result[name][1] for result in results),
                int(wrote),
            ]
        )
    show("An idle minute", ["", "CPU s", "of bare", "s", "rows"], rows)


if __name__ == "__main__":
    main()
